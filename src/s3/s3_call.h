// SPDX-License-Identifier: GPL-3.0-or-later
// What S3Store asks for: one request, before it is signed. Of s3_store.cc and s3_put.cc alone.
#pragma once

#include "s3/s3_store.h"

namespace s3crate::s3 {

inline constexpr std::string_view kEmptyHash =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

[[nodiscard]] std::string base64(ByteView data);

struct S3Store::Call {
  store::Verb verb;
  Lane lane;
  std::string_view method;
  std::string name;  // empty: the bucket
  Headers headers = {};
  Query query = {};
  std::span<const ByteView> body = {};
  std::span<const ByteView> summed = {};  // what its checksums are of
  std::string payload_hash = std::string(kEmptyHash);
  std::string crc32c = {};  // base64, if it goes with a CRC-32C
  int wanted = 200;  // besides it, put and remove take any 2xx
  MutableByteView into = {};
  std::uint64_t body_max = 0;
  // Of the bucket itself, and what it takes to ask for it.
  std::string_view subresource = {};
  std::string_view permission = {};
  Refusal* refusal = nullptr;  // what S3 says if it refuses goes there, too
};

}  // namespace s3crate::s3
