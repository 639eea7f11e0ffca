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
constexpr std::string_view kFile = "file://";

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

}  // namespace

std::string Url::text() const { return fmt::format("{}{}", kFile, escape(directory)); }

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
  if (text.starts_with("s3://")) {
    return fail(Code::kUnsupported, "{}: this version knows no S3 yet, only file:///DIRECTORY", text);
  }
  if (!text.starts_with(kFile)) {
    if (text.starts_with("/")) return fail(Code::kBadArgument, "\"{}\" is not a URL: write file://{}", text, text);
    return fail(Code::kBadArgument, "\"{}\" is not a URL: write file:///DIRECTORY", text);
  }
  std::string_view rest = text.substr(kFile.size());
  if (!rest.starts_with('/')) {
    return fail(Code::kBadArgument, "{}: the directory must be absolute, as in file:///srv/disk", text);
  }
  Url url;
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    url.point = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (url.point.empty() || url.point.find_first_of("@#/") != std::string::npos) {
      return fail(Code::kBadArgument, "{}: behind @ stands a generation, a tag or a time; in a directory write %40 for @", text);
    }
  }
  if (const auto hash = rest.find('#'); hash != std::string_view::npos) {
    auto fingerprint = parse_fingerprint(rest.substr(hash + 1));
    if (!fingerprint) return fail(fingerprint.error().within(fmt::format("{}: behind # stands a fingerprint (in a directory write %23 for #)", text)));
    url.fingerprint = std::move(*fingerprint);
    rest = rest.substr(0, hash);
  }
  url.directory = TRY(normal_directory(unescape(rest), text));
  return url;
}

}  // namespace s3crate::cli
