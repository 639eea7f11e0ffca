// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/errors.h"

#include <fmt/args.h>

namespace s3crate::s3 {
namespace {

using store::Verb;

struct Row {
  int status;             // 0: any
  std::string_view code;  // of S3; "*": any
  Code ours;
  std::string_view sentence;  // with the words of error_of()
};

constexpr std::string_view kElsewhere =
    "the bucket {bucket} is elsewhere{where}; asked was {endpoint}, region {region}";

// The first row that fits is taken.
constexpr Row kRows[] = {
    // Who we are.
    {0, "InvalidAccessKeyId", Code::kDenied, "the store does not know this access key"},
    {0, "SignatureDoesNotMatch", Code::kDenied,
     "the signature does not match: the secret key is wrong, or something on the way changed the "
     "request"},
    {0, "ExpiredToken", Code::kDenied, "the session token has expired: get new credentials"},
    {0, "InvalidToken", Code::kDenied, "the session token is refused: get new credentials"},
    {0, "TokenRefreshRequired", Code::kDenied,
     "the session token has expired: get new credentials"},
    {0, "RequestTimeTooSkewed", Code::kTransient,
     "the store's clock and this request's time are too far apart"},
    // Where it is.
    {0, "NoSuchBucket", Code::kDenied, "there is no bucket {bucket} at {endpoint}"},
    {0, "InvalidBucketName", Code::kDenied, "{endpoint} takes {bucket} for no bucket's name"},
    {0, "AuthorizationHeaderMalformed", Code::kDenied, kElsewhere},
    {0, "IllegalLocationConstraintException", Code::kDenied, kElsewhere},
    {301, "*", Code::kDenied, kElsewhere},
    {302, "*", Code::kDenied, kElsewhere},
    {307, "*", Code::kDenied, kElsewhere},
    {308, "*", Code::kDenied, kElsewhere},
    // A full store is an outage: room may be made.
    {0, "QuotaExceeded", Code::kTransient, "the quota of the store is used up"},
    {0, "XMinioStorageFull", Code::kTransient, "the store is full"},
    {507, "*", Code::kTransient, "the store is full"},
    // Damaged on the way.
    {0, "BadDigest", Code::kCorrupt, "what arrived at the store is not what was sent"},
    {0, "InvalidDigest", Code::kCorrupt, "what arrived at the store is not what was sent"},
    {0, "XAmzContentSHA256Mismatch", Code::kCorrupt,
     "what arrived at the store is not what was sent"},
    {0, "XAmzContentChecksumMismatch", Code::kCorrupt,
     "what arrived at the store is not what was sent"},
    {0, "IncompleteBody", Code::kTransient, "not all of it arrived at the store"},
    {400, "RequestTimeout", Code::kTransient, "the store waited too long for the request"},
    // What was asked for.
    {0, "InvalidStorageClass", Code::kBadArgument,
     "the store has no such storage class: {message}"},
    {0, "InvalidEncryptionAlgorithmError", Code::kBadArgument,
     "the store has no such encryption: {message}"},
    {0, "InvalidObjectState", Code::kDenied,
     "the object is archived; restore it in the store first"},
    {0, "EntityTooLarge", Code::kUnsupported, "the store takes no objects of that size: {message}"},
    {0, "SlowDown", Code::kTransient, "the store asks to slow down"},
    {404, "NoSuchKey", Code::kNotFound, "there is no such object"},
    {404, "*", Code::kNotFound, "there is no such object"},
    {412, "*", Code::kExists, "the object exists"},
    {413, "*", Code::kUnsupported, "the store, or a proxy before it, takes no objects of that size ({said})"},
    {409, "*", Code::kTransient, "another request for the same name is under way ({said})"},
    {416, "*", Code::kCorrupt, "the object is shorter than it should be"},
    {401, "*", Code::kDenied, "access is denied ({said}); {permission}"},
    {403, "*", Code::kDenied, "access is denied ({said}); {permission}"},
    {405, "*", Code::kUnsupported, "the store does not offer this ({said})"},
    {501, "*", Code::kUnsupported, "the store does not offer this ({said})"},
    {408, "*", Code::kTransient, "the store waited too long for the request"},
    {429, "*", Code::kTransient, "the store asks to slow down"},
};

std::string_view method(Verb verb) {
  switch (verb) {
    case Verb::put:
      return "PUT";
    case Verb::get:
    case Verb::get_range:
      return "GET";
    case Verb::head:
      return "HEAD";
    case Verb::list:
      return "LIST";
    case Verb::remove:
      return "DELETE";
  }
  return "";
}

std::string permission(const Asked& asked) {
  if (!asked.is_signed) return "the request was anonymous, and the bucket is not public for this";
  if (!asked.permission.empty()) {
    return fmt::format("this needs {} on {}", asked.permission, asked.bucket);
  }
  switch (asked.verb) {
    case Verb::put:
      return fmt::format("this needs s3:PutObject on {}", asked.bucket);
    case Verb::get:
    case Verb::get_range:
    case Verb::head:
      return fmt::format(
          "this needs s3:GetObject on {0} (and s3:ListBucket on {0}, or what is missing "
          "looks forbidden)",
          asked.bucket);
    case Verb::list:
      return fmt::format("this needs s3:ListBucket on {}", asked.bucket);
    case Verb::remove:
      return fmt::format("this needs s3:DeleteObject on {}", asked.bucket);
  }
  return "";
}

// "403 AccessDenied: the store's words".
std::string said(const Refusal& refusal) {
  std::string text = std::to_string(refusal.status);
  if (refusal.is_page) text += ", a web page";
  if (!refusal.code.empty()) text += " " + refusal.code;
  if (!refusal.message.empty()) text += ": " + refusal.message;
  return text;
}

std::string where(const Refusal& refusal) {
  if (!refusal.region.empty()) return fmt::format(": use --region {}", refusal.region);
  if (!refusal.endpoint.empty())
    return fmt::format(": use --endpoint https://{}", refusal.endpoint);
  return fmt::format(" ({})", said(refusal));
}

Row default_row(int status) {
  if (status >= 500) return {0, "*", Code::kTransient, "the store is in trouble ({said})"};
  if (status >= 400) return {0, "*", Code::kDenied, "the store refuses ({said})"};
  return {0, "*", Code::kCorrupt, "the store's answer makes no sense ({said})"};
}

constexpr std::string_view kNotS3 = "{endpoint} does not answer as S3 does ({said}); is it the right --endpoint?";

Row row_for(Verb verb, const Refusal& refusal) {
  if (!is_s3(verb, refusal)) return {0, "*", Code::kDenied, kNotS3};
  for (const Row& row : kRows) {
    if (row.status != 0 && row.status != refusal.status) continue;
    if (row.code == "*" || row.code == refusal.code) return row;
  }
  return default_row(refusal.status);
}

}  // namespace

bool is_s3(Verb verb, const Refusal& refusal) {
  const int status = refusal.status;
  // These mean the same, whoever says so.
  if (status >= 500 && status != 501) return true;
  if (status == 408 || status == 413 || status == 429) return true;
  if (verb == Verb::head && (status == 403 || status == 404)) return true;
  if (refusal.is_page) return false;
  // A bucket that is there can be listed, and of one that is not the answer says so.
  if (verb == Verb::list && status == 404) return refusal.code == "NoSuchBucket";
  if (!refusal.code.empty() || verb == Verb::head) return true;
  // S3 says in words that an object is not there, and where else to ask.
  const bool reads = verb == Verb::get || verb == Verb::get_range;
  if (status == 404) return !reads;
  if (status / 100 == 3) return !refusal.region.empty();
  // What was to be done is done, in other words than S3's.
  return status != 405 && (status / 100 != 2 || reads);
}

std::string asked_text(Verb verb, std::string_view place) {
  return fmt::format("{} {}", method(verb), place);
}

Error error_of(const Asked& asked, const Refusal& refusal) {
  const Row row = row_for(asked.verb, refusal);
  fmt::dynamic_format_arg_store<fmt::format_context> words;
  words.push_back(fmt::arg("bucket", asked.bucket));
  words.push_back(fmt::arg("endpoint", asked.endpoint));
  words.push_back(fmt::arg("region", asked.region));
  words.push_back(fmt::arg("where", where(refusal)));
  words.push_back(fmt::arg("message", refusal.message));
  words.push_back(fmt::arg("said", said(refusal)));
  words.push_back(fmt::arg("permission", permission(asked)));
  return Error(row.ours, fmt::vformat(row.sentence, words))
      .within(asked_text(asked.verb, asked.place));
}

// Garage says InvalidDigest of a CRC-32C, and MinIO XAmzContentChecksumMismatch.
bool says_wrong_checksum(const Refusal& refusal) {
  const std::string& code = refusal.code;
  return refusal.status / 100 == 4 && (code == "BadDigest" || code == "InvalidDigest" || code == "XAmzContentSHA256Mismatch" ||
                                       code == "XAmzContentChecksumMismatch");
}

// The results of X509_verify_cert() that deserve their own words.
std::string refused_certificate(long verify_result, const std::string& text) {
  switch (verify_result) {
    case 9:
      return "the server's certificate is not valid yet (is this machine's clock right?)";
    case 10:
      return "the server's certificate has expired";
    case 18:
      return "the server's certificate is self-signed; give it with --ca-file if you trust it";
    case 19:
    case 20:
    case 21:
      return "the server's certificate comes from an unknown authority; give that one's with "
             "--ca-file";
    case 23:
      return "the server's certificate was revoked";
    default:
      break;
  }
  // curl compares the host itself, and says so in words only.
  bool other_host = text.find("match") != std::string::npos;
  return fmt::format("the server's certificate is {} ({})",
                     other_host ? "for another host" : "not accepted", text);
}

}  // namespace s3crate::s3
