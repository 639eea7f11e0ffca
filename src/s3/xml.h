// SPDX-License-Identifier: GPL-3.0-or-later
// What S3 answers in XML: refusals and lists. Nothing of it is trusted; texts are bounded.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/object_store.h"

namespace s3crate::s3 {

// For messages: short, and nothing in it that could play with a terminal.
[[nodiscard]] std::string plain_text(std::string_view text);

struct Refusal {
  int status = 0;
  std::string code;     // "NoSuchBucket"; empty if the store did not say
  std::string message;  // for people
  std::string region;   // where the bucket really is
  std::string endpoint;
  bool is_page = false;  // HTML, made for people
};

// What cannot be read is left empty: a proxy may have answered.
[[nodiscard]] Refusal parse_refusal(int status, ByteView body);

struct Listing {
  std::vector<store::ObjectInfo> keys;  // whole names, decoded, in the order they came
  bool truncated = false;
  std::string token;  // for the next page
};

// kUnsupported if it is something else than a list; kCorrupt if it is a bad one, or one of more than
// `keys_max` keys.
[[nodiscard]] Result<Listing> parse_listing(ByteView body, std::size_t keys_max);

}  // namespace s3crate::s3
