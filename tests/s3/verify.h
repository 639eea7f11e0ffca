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

// Nothing if the body is the one that x-amz-content-sha256, Content-MD5 and
// x-amz-checksum-sha256 announce.
[[nodiscard]] std::optional<Response> verify_body(const Request& request);

}  // namespace s3crate::test::strict
