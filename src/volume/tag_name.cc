// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/tag_name.h"

#include <array>
#include <optional>

#include "volume/point.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kNameMax = 255;

// One character of UTF-8 off the front; nullopt: there is none, or one that controls.
std::optional<std::string_view> next_character(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (length == 0 || length > text.size()) return std::nullopt;
  std::uint32_t code = length == 1 ? lead : lead & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return std::nullopt;
    code = code << 6 | (at(i) & 0x3f);
  }
  static constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
  const bool odd = code < kLeast[length] || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff;
  // Lines, and which way text runs: a list of tags could be made to show something else.
  const bool directs = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code == 0x200e || code == 0x200f;
  const bool controls = code < 0x20 || (code >= 0x7f && code < 0xa0) || directs;
  if (odd || controls) return std::nullopt;
  return text.substr(0, length);
}

// 2026-02-30, 9999-12-31T23:59:59Z, 99999999999999999999d ago: who reads it takes it for one, though it is none.
bool looks_like_a_time(std::string_view name) {
  constexpr std::string_view kDate = "dddd-dd-dd";
  const auto fits = [&](std::size_t i) { return kDate[i] == 'd' ? name[i] >= '0' && name[i] <= '9' : name[i] == kDate[i]; };
  bool date = name.size() == kDate.size() || (name.size() > kDate.size() && (name[kDate.size()] == 'T' || name[kDate.size()] == ' '));
  for (std::size_t i = 0; date && i < kDate.size(); ++i) date = fits(i);
  return date || (name[0] >= '0' && name[0] <= '9' && name.ends_with(" ago"));
}

}  // namespace

Result<> validate_tag_name(std::string_view name, WallTime now) {
  const auto bad = [&](std::string_view why) { return fail(Code::kBadArgument, "\"{}\" cannot be a tag: {}", name, why); };
  if (name.empty()) return bad("a name has at least one character");
  if (name.size() > kNameMax) return fail(Code::kBadArgument, "a tag has at most {} bytes, this one has {}", kNameMax, name.size());
  if (name == "." || name == "..") return bad("tags are shown as names of files");
  if (name.find_first_of("/@#") != std::string_view::npos) return bad("a tag has no /, @ and #");
  if (name.starts_with('-') || name.starts_with(' ') || name.ends_with(' ')) return bad("it begins with -, or begins or ends with a space");
  for (std::string_view rest = name; !rest.empty();) {
    const auto character = next_character(rest);
    if (!character) return fail(Code::kBadArgument, "a tag is text in UTF-8 without control characters");
    rest.remove_prefix(character->size());
  }
  const Point point = TRY(parse_point(name, now));
  if (std::holds_alternative<Generation>(point)) return bad("it is the number of a generation");
  if (std::holds_alternative<WallTime>(point) || looks_like_a_time(name)) return bad("it is a time");
  return {};
}

}  // namespace s3crate::volume
