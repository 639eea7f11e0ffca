// SPDX-License-Identifier: GPL-3.0-or-later
// AWS Signature Version 4 as S3 wants it: pure functions from a request to the headers that prove
// who sent it. S3 encodes the path once and does not normalise it; other services do, and are not
// served here.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "s3/credentials.h"

namespace s3crate::s3 {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;
// Names and values in plain text.
using Query = std::vector<std::pair<std::string, std::string>>;

// Every byte but the unreserved ones as %XX.
[[nodiscard]] std::string uri_encode(std::string_view text);
// The same, with slashes left as they are.
[[nodiscard]] std::string uri_encode_path(std::string_view path);
// Encoded and in order: what is signed and what is sent, so that the two cannot differ.
[[nodiscard]] std::string canonical_query(const Query& query);
// "20261120T120000Z".
[[nodiscard]] std::string amz_date(WallTime time);

// Stands for a payload that the signature does not cover.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

struct SignedRequest {
  std::string_view method;
  std::string_view path;          // encoded
  std::string_view query;         // canonical
  const Headers& headers;         // all of them are signed; with Host
  std::string_view payload_hash;  // hexadecimal SHA-256, or kUnsignedPayload
};

struct SigningScope {
  std::string_view region;
  std::string_view service;
};

[[nodiscard]] std::string canonical_request(const SignedRequest& request);
[[nodiscard]] std::string string_to_sign(std::string_view amz_date, const SigningScope& scope,
                                         std::string_view canonical_request);
// The value of the Authorization header.
[[nodiscard]] std::string authorization(const Credentials& credentials, std::string_view amz_date,
                                        const SigningScope& scope, const SignedRequest& request);

// Adds x-amz-date, x-amz-content-sha256, x-amz-security-token and Authorization to the headers of a
// request to S3; nothing if the credentials are null.
void sign_s3(const Credentials* credentials, std::string_view region, WallTime now,
             std::string_view method, std::string_view path, std::string_view query,
             std::string_view payload_hash, Headers& headers);

}  // namespace s3crate::s3
