// SPDX-License-Identifier: GPL-3.0-or-later
// The encodings that S3 speaks: URL and XML escapes, base64, dates, digests. Written for the strict
// server alone and over OpenSSL, so that it shares no mistake with the client that it judges.
#pragma once

#include <openssl/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace s3crate::test::strict {

// Unreserved characters stay, all else becomes %XX in upper case; '/' stays in paths.
[[nodiscard]] std::string url_encode(std::string_view text, std::string_view keep = "");
[[nodiscard]] std::optional<std::string> url_decode(std::string_view text);
[[nodiscard]] std::string xml_escape(std::string_view text);
[[nodiscard]] std::string lower_case(std::string_view text);
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);

[[nodiscard]] std::string base64(ByteView data);
[[nodiscard]] std::optional<Bytes> base64_decode(std::string_view text);

[[nodiscard]] Bytes hmac_sha256(ByteView key, std::string_view text);
[[nodiscard]] std::string sha256_hex(std::string_view text);

// SHA-256 or MD5 of what arrives piece by piece.
class Digest {
 public:
  enum class Kind { kSha256, kMd5 };
  explicit Digest(Kind kind);
  void update(ByteView data);
  [[nodiscard]] Bytes finish();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const;
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

[[nodiscard]] std::string http_date(std::time_t time);  // Fri, 20 Nov 2026 12:00:00 GMT
[[nodiscard]] std::string iso_date(std::time_t time);   // 2026-11-20T12:00:00.000Z
[[nodiscard]] std::string amz_date(std::time_t time);   // 20261120T120000Z
[[nodiscard]] std::optional<std::time_t> parse_amz_date(std::string_view text);

}  // namespace s3crate::test::strict
