// SPDX-License-Identifier: GPL-3.0-or-later
// The one table from what S3 answers to what our callers do about it (store/object_store.h), and to
// a sentence that says what happened and what helps.
#pragma once

#include <string>

#include "s3/xml.h"
#include "store/metered_store.h"

namespace s3crate::s3 {

// What was asked.
struct Asked {
  store::Verb verb = store::Verb::get;
  std::string place;  // "s3://bucket/prefix/name"
  std::string bucket;
  std::string region;    // as configured
  std::string endpoint;  // as configured
  bool is_signed = true;
  std::string_view permission = {};  // that it takes; empty: the one of the verb
};

// "PUT s3://bucket/prefix/name", for messages.
[[nodiscard]] std::string asked_text(store::Verb verb, std::string_view place);
// Never of an answer that was the one wanted.
[[nodiscard]] Error error_of(const Asked& asked, const Refusal& refusal);
// Whether it says that a body and its checksum do not match.
[[nodiscard]] bool says_wrong_checksum(const Refusal& refusal);
// Why a server's certificate is refused, by what X509_verify_cert() found and curl says.
[[nodiscard]] std::string refused_certificate(long verify_result, const std::string& text);
// Whether it was S3 that answered: if not, its error says so. Anything but S3's own words and statuses is of a web
// server, a gateway without what it stands for, or the page that a hotel shows instead of all others: no proof
// that an object is gone, damaged or forbidden.
[[nodiscard]] bool is_s3(store::Verb verb, const Refusal& refusal);

}  // namespace s3crate::s3
