// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/url.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace s3crate::cli {
namespace {

constexpr std::array<std::pair<std::string_view, char>, 3> kEscapes = {{{"%40", '@'}, {"%23", '#'}, {"%25", '%'}}};
constexpr std::size_t kUrlMax = 4096;
// With the longest name of an object behind it, a key stays below S3's 1,024 bytes.
constexpr std::size_t kPrefixMax = 500;
constexpr std::string_view kFile = "file://";
constexpr std::string_view kS3 = "s3://";

std::string unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto* escape = std::find_if(kEscapes.begin(), kEscapes.end(), [&](const auto& e) { return text.starts_with(e.first); });
    out += escape == kEscapes.end() ? text[0] : escape->second;
    text.remove_prefix(escape == kEscapes.end() ? 1 : escape->first.size());
  }
  return out;
}

std::string escape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto* found = std::find_if(kEscapes.begin(), kEscapes.end(), [&](const auto& e) { return e.second == text[i]; });
    // A % that begins no escape needs none itself.
    const bool plain = text[i] == '%' && std::none_of(kEscapes.begin(), kEscapes.end(), [&](const auto& e) {
      return text.substr(i).starts_with(e.first);
    });
    if (found == kEscapes.end() || plain) out += text[i];
    else out += found->first;
  }
  return out;
}

Result<std::string> normal_directory(std::string_view path, std::string_view url) {
  std::string out;
  while (!path.empty()) {
    const auto slash = std::min(path.find('/'), path.size());
    const auto part = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(Code::kBadArgument, "{}: write the directory without \"..\"", url);
    out += '/';
    out += part;
  }
  if (out.empty()) return fail(Code::kBadArgument, "{}: a volume needs a directory of its own", url);
  return out;
}

// S3's rules for new buckets; they are also what a virtual host needs.
Result<> check_bucket(std::string_view bucket, std::string_view url) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789.-";
  const auto is_mark = [](char c) { return c == '.' || c == '-'; };
  const auto bad = [&](std::string_view why) { return fail(Code::kBadArgument, "{}: {}", url, why); };
  if (bucket.empty()) return bad("the bucket is missing, as in s3://BUCKET/PREFIX");
  if (bucket.find(':') != std::string_view::npos) {
    return bad("a bucket of another tenant (TENANT:BUCKET) cannot be named: use keys of that tenant");
  }
  if (bucket.size() < 3 || bucket.size() > 63) return bad("the name of a bucket has 3 to 63 characters");
  if (bucket.find_first_not_of(kAllowed) != std::string_view::npos) {
    return bad("the name of a bucket has lower-case letters, digits, dots and hyphens only");
  }
  if (is_mark(bucket.front()) || is_mark(bucket.back())) return bad("the name of a bucket begins and ends with a letter or digit");
  if (bucket.find("..") != std::string_view::npos) return bad("the name of a bucket has no two dots in a row");
  if (std::count(bucket.begin(), bucket.end(), '.') == 3 && bucket.find_first_not_of("0123456789.") == std::string_view::npos) {
    return bad("an IP address cannot be the name of a bucket; the server is named by --endpoint");
  }
  return {};
}

// Other than in a directory, "a//b" and "a/b" are two places, and some servers and proxies change "." and "..": all of
// these are refused. One slash at the end means the same place.
Result<std::string> normal_prefix(std::string prefix, std::string_view url) {
  if (prefix.size() > kPrefixMax) return fail(Code::kBadArgument, "the prefix of the URL is longer than {} bytes", kPrefixMax);
  if (prefix.empty()) return prefix;
  const std::string between = fmt::format("/{}{}", prefix, prefix.ends_with('/') ? "" : "/");
  for (const char* odd : {"//", "/./", "/../"}) {
    if (between.find(odd) == std::string::npos) continue;
    return fail(Code::kBadArgument, "{}: write the prefix without \"..\", \".\" and doubled slashes", url);
  }
  if (prefix.ends_with('/')) prefix.pop_back();
  return prefix;
}

// Takes #FINGERPRINT and @POINT off the end of `rest`.
Result<> take_ending(std::string_view text, std::string_view& rest, Url& url) {
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    url.point = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (url.point.empty() || url.point.find_first_of("@#/") != std::string::npos) {
      return fail(Code::kBadArgument, "{}: behind @ stands a generation, a tag or a time; within the place write %40 for @", text);
    }
  }
  if (const auto hash = rest.find('#'); hash != std::string_view::npos) {
    auto fingerprint = parse_fingerprint(rest.substr(hash + 1));
    if (!fingerprint) {
      return fail(fingerprint.error().within(fmt::format("{}: behind # stands a fingerprint (within the place write %23 for #)", text)));
    }
    url.fingerprint = std::move(*fingerprint);
    rest = rest.substr(0, hash);
  }
  return {};
}

Result<Url> parse_file_url(std::string_view text) {
  std::string_view rest = text.substr(kFile.size());
  if (!rest.starts_with('/')) {
    return fail(Code::kBadArgument, "{}: the directory must be absolute, as in file:///srv/disk", text);
  }
  Url url;
  TRY(take_ending(text, rest, url));
  url.directory = TRY(normal_directory(unescape(rest), text));
  return url;
}

Result<Url> parse_s3_url(std::string_view text) {
  std::string_view rest = text.substr(kS3.size());
  const auto at = rest.find('@');
  if (at < rest.find('/') && rest.find(':') < at) {
    return fail(Code::kBadArgument, "keys do not belong into a URL, where other users can read them: see CREDENTIALS in the man page");
  }
  Url url;
  url.kind = Url::Kind::s3;
  TRY(take_ending(text, rest, url));
  const auto slash = std::min(rest.find('/'), rest.size());
  url.bucket = rest.substr(0, slash);
  TRY(check_bucket(url.bucket, text));
  url.prefix = TRY(normal_prefix(unescape(rest.substr(std::min(slash + 1, rest.size()))), text));
  return url;
}

}  // namespace

std::string Url::text() const {
  if (kind == Kind::directory) return fmt::format("{}{}", kFile, escape(directory));
  return fmt::format("{}{}{}{}", kS3, bucket, prefix.empty() ? "" : "/", escape(prefix));
}

Result<std::string> parse_fingerprint(std::string_view text) {
  std::string out;
  for (char c : text) out += c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  const bool hex = out.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!hex || out.size() < 16 || out.size() > 64) {
    return fail(Code::kBadArgument, "\"{}\" is not a fingerprint: that is 16 to 64 hexadecimal digits, as info prints them", text);
  }
  return out;
}

Result<Url> parse_url(std::string_view text) {
  if (text.size() > kUrlMax || std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return fail(Code::kBadArgument, "the URL is too long or has control characters");
  }
  if (text.starts_with(kS3)) return parse_s3_url(text);
  if (text.starts_with(kFile)) return parse_file_url(text);
  if (text.starts_with("/")) return fail(Code::kBadArgument, "\"{}\" is not a URL: write file://{}", text, text);
  if (text.starts_with("http://") || text.starts_with("https://")) {
    return fail(Code::kBadArgument, "{}: write s3://BUCKET/PREFIX, and the server behind --endpoint", text);
  }
  return fail(Code::kBadArgument, "\"{}\" is not a URL: write file:///DIRECTORY or s3://BUCKET/PREFIX", text);
}

}  // namespace s3crate::cli
