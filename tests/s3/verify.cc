// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/s3/verify.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "tests/s3/text.h"

namespace s3crate::test::strict {
namespace {

constexpr std::time_t kSkewMax = 15 * 60;
constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256 ";

Response malformed(const std::string& message, const std::string& extra = "") {
  return error_response(400, "AuthorizationHeaderMalformed", message, extra);
}

// The Authorization header in its parts.
struct Authorization {
  std::string access_key, date, region, scope, signed_headers, signature;
  std::vector<std::string> names;  // signed_headers, split
};

std::optional<Response> parse_authorization(const std::string& header, Authorization& out) {
  if (!header.starts_with(kAlgorithm)) return malformed("only AWS4-HMAC-SHA256 is supported");
  std::map<std::string, std::string> fields;
  for (std::string part : split(header.substr(kAlgorithm.size()), ',')) {
    part.erase(0, part.find_first_not_of(' '));
    auto equals = part.find('=');
    if (equals == std::string::npos) return malformed("a part without =");
    if (!fields.emplace(part.substr(0, equals), part.substr(equals + 1)).second)
      return malformed("a part came twice");
  }
  if (fields.size() != 3 || !fields.contains("Credential") || !fields.contains("SignedHeaders") ||
      !fields.contains("Signature"))
    return malformed("Credential, SignedHeaders and Signature are wanted");
  auto scope = split(fields["Credential"], '/');
  if (scope.size() != 5 || scope[3] != "s3" || scope[4] != "aws4_request")
    return malformed("the credential is not KEY/DATE/REGION/s3/aws4_request");
  out.access_key = scope[0];
  out.date = scope[1];
  out.region = scope[2];
  out.scope = fmt::format("{}/{}/s3/aws4_request", out.date, out.region);
  out.signed_headers = fields["SignedHeaders"];
  out.names = split(out.signed_headers, ';');
  out.signature = fields["Signature"];
  return std::nullopt;
}

// All that must be signed is, and the list is in order.
std::optional<Response> check_signed_names(const Request& request, const Authorization& auth) {
  for (std::size_t i = 0; i < auth.names.size(); ++i) {
    const std::string& name = auth.names[i];
    if (request.header(name) == nullptr)
      return malformed(fmt::format("the signed header {} did not come", name));
    if (i > 0 && auth.names[i - 1] >= name) return malformed("SignedHeaders are not sorted");
  }
  for (const auto& [name, value] : request.headers) {
    bool must = name == "host" || name == "content-type" || name.starts_with("x-amz-");
    if (must && std::find(auth.names.begin(), auth.names.end(), name) == auth.names.end())
      return error_response(
          403, "AccessDenied", "There were headers present in the request which were not signed",
          fmt::format("<HeadersNotSigned>{}</HeadersNotSigned>", xml_escape(name)));
  }
  return std::nullopt;
}

std::string trimmed(const std::string& value) {
  std::string out;
  for (char c : value) {
    if (c == '\t') c = ' ';
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += c;
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// parse_query has held that the query is canonical, but for the = of names without a value.
std::string canonical_query(const std::string& raw) {
  if (raw.empty()) return "";
  std::string out;
  for (const std::string& part : split(raw, '&')) {
    if (!out.empty()) out += '&';
    out += part;
    if (part.find('=') == std::string::npos) out += '=';
  }
  return out;
}

std::string canonical_request(const Request& request, const Authorization& auth) {
  std::string headers;
  for (const std::string& name : auth.names)
    headers += fmt::format("{}:{}\n", name, trimmed(*request.header(name)));
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path,
                     canonical_query(request.query), headers, auth.signed_headers,
                     *request.header("x-amz-content-sha256"));
}

std::optional<Response> check_time(const Request& request, const Authorization& auth,
                                   std::time_t now) {
  const std::string* date = request.header("x-amz-date");
  auto time = date != nullptr ? parse_amz_date(*date) : std::nullopt;
  if (!time)
    return error_response(403, "AccessDenied",
                          "AWS authentication requires a valid x-amz-date header");
  if (auth.date != date->substr(0, 8))
    return malformed("the credential's date is not that of x-amz-date");
  if (*time < now - kSkewMax || *time > now + kSkewMax)
    return error_response(
        403, "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        fmt::format("<RequestTime>{}</RequestTime><ServerTime>{}</ServerTime>"
                    "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>",
                    *date, iso_date(now)));
  return std::nullopt;
}

std::optional<Response> check_payload_header(const Request& request, const Settings& settings) {
  const std::string* digest = request.header("x-amz-content-sha256");
  if (digest == nullptr)
    return error_response(400, "MissingSecurityHeader", "x-amz-content-sha256 is missing");
  if (digest->starts_with("STREAMING-"))
    return error_response(501, "NotImplemented", "Signed chunks are not implemented");
  if (*digest == "UNSIGNED-PAYLOAD") {
    if (request.tls || settings.unsigned_payload != 0) return std::nullopt;
    return error_response(400, "InvalidRequest", "Over plain http the payload must be signed");
  }
  Bytes bytes(32);
  if (!from_hex(*digest, bytes))
    return error_response(400, "InvalidArgument",
                          "x-amz-content-sha256 must be UNSIGNED-PAYLOAD or a valid sha256 value");
  return std::nullopt;
}

std::optional<Response> check_token(const Request& request, const Settings& settings) {
  const std::string* token = request.header("x-amz-security-token");
  if (settings.session_token.empty() ? token == nullptr
                                     : token != nullptr && *token == settings.session_token)
    return std::nullopt;
  if (token == nullptr)
    return error_response(403, "InvalidAccessKeyId",
                          "The access key is temporary, and its session token did not come");
  return error_response(400, "InvalidToken",
                        "The provided token is malformed or otherwise invalid.");
}

std::optional<Response> check_credential(const Authorization& auth, const Settings& settings) {
  if (auth.access_key != settings.access_key)
    return error_response(
        403, "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
        fmt::format("<AWSAccessKeyId>{}</AWSAccessKeyId>", xml_escape(auth.access_key)));
  if (auth.region != settings.region)
    return malformed(fmt::format("The authorization header is malformed; the region '{}' is wrong; "
                                 "expecting '{}'",
                                 auth.region, settings.region),
                     fmt::format("<Region>{}</Region>", xml_escape(settings.region)));
  return std::nullopt;
}

std::optional<Response> check_signature(const Request& request, const Authorization& auth,
                                        const Settings& settings) {
  std::string canonical = canonical_request(request, auth);
  std::string to_sign = fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", *request.header("x-amz-date"),
                                    auth.scope, sha256_hex(canonical));
  Bytes key = hmac_sha256(as_bytes("AWS4" + settings.secret_key), auth.date);
  for (const char* part : {auth.region.c_str(), "s3", "aws4_request"}) key = hmac_sha256(key, part);
  std::string wanted = to_hex(hmac_sha256(key, to_sign));
  if (wanted.size() == auth.signature.size() &&
      CRYPTO_memcmp(wanted.data(), auth.signature.data(), wanted.size()) == 0)
    return std::nullopt;
  return error_response(
      403, "SignatureDoesNotMatch",
      "The request signature we calculated does not match the signature you provided.",
      fmt::format("<StringToSign>{}</StringToSign><CanonicalRequest>{}</CanonicalRequest>",
                  xml_escape(to_sign), xml_escape(canonical)));
}

bool overlooks_crc32c(const Request& request, const Settings& settings) {
  return settings.checksums == "ignored" || settings.crc32c == "ignored" ||
         (settings.crc32c == "with_algorithm" && request.header("x-amz-sdk-checksum-algorithm") == nullptr);
}

std::optional<Response> verify_crc32c(const Request& request, const Settings& settings) {
  if (overlooks_crc32c(request, settings)) return std::nullopt;
  if (settings.crc32c == "501") return error_response(501, "NotImplemented", "CRC32C is not implemented");
  const std::string* value = request.header(kCrc32cHeader);
  if (value == nullptr)
    return error_response(400, "InvalidRequest", "x-amz-sdk-checksum-algorithm came without a checksum");
  const auto bytes = base64_decode(*value);
  if (!bytes || bytes->size() != 4)
    return error_response(400, "InvalidRequest", "Value for x-amz-checksum-crc32c header is invalid.");
  std::uint32_t crc = 0;
  for (std::size_t i = 0; i < 4; ++i)
    crc |= std::uint32_t{(*bytes)[i]} << (settings.crc32c == "swapped" ? 8 * i : 24 - 8 * i);
  if (crc == request.body_crc32c) return std::nullopt;
  if (settings.crc32c == "500") return error_response(500, "InternalError", "We encountered an internal error. Please try again.");
  return error_response(400, settings.crc32c == "minio" ? "XAmzContentChecksumMismatch" : "BadDigest", "The CRC32C you specified did not match the calculated checksum.");
}

}  // namespace

std::optional<Response> parse_query(const std::string& raw, Query& out) {
  if (raw.empty()) return std::nullopt;
  std::string last;
  for (const std::string& part : split(raw, '&')) {
    auto equals = part.find('=');
    std::string raw_name = part.substr(0, equals);
    std::string raw_value = equals == std::string::npos ? "" : part.substr(equals + 1);
    auto name = url_decode(raw_name), value = url_decode(raw_value);
    if (!name || !value || name->empty() || url_encode(*name) != raw_name ||
        url_encode(*value) != raw_value)
      return error_response(400, "InvalidURI", "a query parameter is not encoded canonically");
    if (!out.empty() && raw_name == last)
      return error_response(400, "InvalidURI", fmt::format("the parameter {} came twice", *name));
    if (!out.empty() && raw_name < last)
      return error_response(400, "InvalidURI", "the query parameters are not sorted");
    last = raw_name;
    out.emplace_back(*name, *value);
  }
  return std::nullopt;
}

std::optional<Response> verify_signature(const Request& request, const Settings& settings,
                                         std::time_t now) {
  Authorization auth;
  if (auto bad = parse_authorization(*request.header("authorization"), auth)) return bad;
  if (auto bad = check_signed_names(request, auth)) return bad;
  if (auto bad = check_payload_header(request, settings)) return bad;
  if (auto bad = check_credential(auth, settings)) return bad;
  if (auto bad = check_time(request, auth, now)) return bad;
  if (auto bad = check_token(request, settings)) return bad;
  return check_signature(request, auth, settings);
}

std::optional<Response> verify_body(const Request& request, const Settings& settings) {
  const std::string* sha256 = request.header("x-amz-content-sha256");
  if (sha256 != nullptr && *sha256 != "UNSIGNED-PAYLOAD" && *sha256 != request.body_sha256)
    return error_response(
        400, "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.");
  if (const std::string* md5 = request.header("content-md5")) {
    auto bytes = base64_decode(*md5);
    if (!bytes || bytes->size() != 16)
      return error_response(400, "InvalidDigest", "The Content-MD5 you specified is not valid.");
    if (to_hex(*bytes) != request.body_md5)
      return error_response(400, "BadDigest",
                            "The Content-MD5 you specified did not match what we received.");
  }
  for (const auto& [name, value] : request.headers) {
    if (!name.starts_with("x-amz-checksum-") && name != "x-amz-sdk-checksum-algorithm") continue;
    if (name == kCrc32cHeader || (name == "x-amz-sdk-checksum-algorithm" && value == "CRC32C")) {
      if (auto bad = verify_crc32c(request, settings)) return bad;
      continue;
    }
    auto bytes = base64_decode(value);
    if (name != "x-amz-checksum-sha256")
      return error_response(501, "NotImplemented", "Of checksums, only SHA-256 and CRC32C are implemented");
    if (!bytes || to_hex(*bytes) != request.body_sha256)
      return error_response(400, "BadDigest", "The SHA256 you specified did not match.");
  }
  return std::nullopt;
}

bool repeats_crc32c(const Request& request, const Settings& settings) {
  return request.header(kCrc32cHeader) != nullptr && !overlooks_crc32c(request, settings) && settings.crc32c != "silent";
}

}  // namespace s3crate::test::strict
