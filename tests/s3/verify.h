// SPDX-License-Identifier: GPL-3.0-or-later
// Who sent a request, and is it written as the strictest of S3's relatives wants it? AWS Signature
// Version 4 is computed anew from what arrived.
#pragma once

#include <ctime>
#include <optional>

#include "tests/s3/message.h"
#include "tests/s3/settings.h"

namespace s3crate::test::strict {

// The query's parameters, or why they are refused: each must be encoded the canonical way, sorted
// by name, and come once.
[[nodiscard]] std::optional<Response> parse_query(const std::string& raw, Query& out);

// Nothing if the request is signed as it must be. `now` is the server's clock.
[[nodiscard]] std::optional<Response> verify_signature(const Request& request,
                                                       const Settings& settings, std::time_t now);

// Nothing if the body is the one that x-amz-content-sha256, Content-MD5,
// x-amz-checksum-sha256 and x-amz-checksum-crc32c announce.
[[nodiscard]] std::optional<Response> verify_body(const Request& request, const Settings& settings);

inline constexpr const char* kCrc32cHeader = "x-amz-checksum-crc32c";
// Whether the answer to a PUT says that this has been looked at.
[[nodiscard]] bool repeats_crc32c(const Request& request, const Settings& settings);

}  // namespace s3crate::test::strict
