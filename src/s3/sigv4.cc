// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/sigv4.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <map>

namespace s3crate::s3 {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

std::string encode(std::string_view text, bool keep_slashes) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (is_unreserved(c) || (c == '/' && keep_slashes)) {
      out += c;
    } else {
      auto byte = static_cast<std::uint8_t>(c);
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// Without spaces around it, and with one for each run of spaces.
std::string trimmed(std::string_view value) {
  std::string out;
  for (char c : value) {
    bool space = c == ' ' || c == '\t';
    if (space && (out.empty() || out.back() == ' ')) continue;
    out += space ? ' ' : c;
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// By lower-case name; the values of one name joined in the order they are sent.
std::map<std::string, std::string> canonical_headers(const Headers& headers) {
  std::map<std::string, std::string> out;
  for (const Header& header : headers) {
    auto [at, is_new] = out.emplace(lower(header.name), trimmed(header.value));
    if (!is_new) at->second += "," + trimmed(header.value);
  }
  return out;
}

std::string signed_names(const std::map<std::string, std::string>& headers) {
  std::string names;
  for (const auto& [name, value] : headers) {
    if (!names.empty()) names += ';';
    names += name;
  }
  return names;
}

std::string scope_text(std::string_view amz_date, const SigningScope& scope) {
  return fmt::format("{}/{}/{}/aws4_request", amz_date.substr(0, 8), scope.region, scope.service);
}

crypto::Sha256 signing_key(ByteView secret, std::string_view amz_date, const SigningScope& scope) {
  Bytes first;
  first.reserve(4 + secret.size());  // so that no copy is left behind
  append(first, as_bytes("AWS4"));
  append(first, secret);
  crypto::Sha256 key = crypto::hmac_sha256(first, as_bytes(amz_date.substr(0, 8)));
  crypto::wipe(first);
  for (std::string_view part : {scope.region, scope.service, std::string_view("aws4_request")}) {
    key = crypto::hmac_sha256(key, as_bytes(part));
  }
  return key;
}

}  // namespace

std::string uri_encode(std::string_view text) { return encode(text, false); }
std::string uri_encode_path(std::string_view path) { return encode(path, true); }

std::string canonical_query(const Query& query) {
  Query encoded;
  for (const auto& [name, value] : query) {
    encoded.emplace_back(uri_encode(name), uri_encode(value));
  }
  std::ranges::sort(encoded);
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += name + "=" + value;
  }
  return out;
}

std::string amz_date(WallTime time) {
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch());
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds.count())));
}

std::string canonical_request(const SignedRequest& request) {
  auto headers = canonical_headers(request.headers);
  std::string out = fmt::format("{}\n{}\n{}\n", request.method, request.path, request.query);
  for (const auto& [name, value] : headers) out += name + ":" + value + "\n";
  return out + "\n" + signed_names(headers) + "\n" + std::string(request.payload_hash);
}

std::string string_to_sign(std::string_view amz_date, const SigningScope& scope,
                           std::string_view canonical_request) {
  return fmt::format("{}\n{}\n{}\n{}", kAlgorithm, amz_date, scope_text(amz_date, scope),
                     to_hex(crypto::sha256(as_bytes(canonical_request))));
}

std::string authorization(const Credentials& credentials, std::string_view amz_date,
                          const SigningScope& scope, const SignedRequest& request) {
  std::string to_sign = string_to_sign(amz_date, scope, canonical_request(request));
  crypto::Sha256 key = signing_key(credentials.secret, amz_date, scope);
  crypto::Sha256 signature = crypto::hmac_sha256(key, as_bytes(to_sign));
  crypto::wipe(key);
  return fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                     credentials.access_key, scope_text(amz_date, scope),
                     signed_names(canonical_headers(request.headers)), to_hex(signature));
}

void sign_s3(const Credentials* credentials, std::string_view region, WallTime now,
             std::string_view method, std::string_view path, std::string_view query,
             std::string_view payload_hash, Headers& headers) {
  if (credentials == nullptr) return;
  std::string date = amz_date(now);
  headers.push_back({"x-amz-date", date});
  headers.push_back({"x-amz-content-sha256", std::string(payload_hash)});
  if (!credentials->session_token.empty()) {
    headers.push_back({"x-amz-security-token", credentials->session_token});
  }
  std::string value = authorization(*credentials, date, {region, "s3"},
                                    {method, path, query, headers, payload_hash});
  headers.push_back({"Authorization", std::move(value)});
}

}  // namespace s3crate::s3
