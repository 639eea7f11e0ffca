// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates for the strict server over TLS: a good one, and one for each reason to refuse.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace s3crate::test::strict {

struct Certificate {
  std::string certificate;  // PEM, as is the rest
  std::string key;
  std::string ca;  // what a client is to trust
};

enum class CertificateKind {
  kGood,        // for 127.0.0.1, localhost and *.localhost
  kExpired,     // since yesterday
  kSelfSigned,  // `ca` is somebody else
  kWrongHost,   // for example.org
  kOtherCa,     // good, but `ca` did not sign it
};
[[nodiscard]] std::optional<CertificateKind> certificate_kind(std::string_view name);

[[nodiscard]] Certificate make_certificate(CertificateKind kind);

}  // namespace s3crate::test::strict
