// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/point.h"

#include <algorithm>
#include <charconv>

#include "base/time_text.h"
#include "volume/timeline.h"

namespace s3crate::volume {

Result<Point> parse_point(std::string_view text, WallTime now) {
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos) {
    std::uint64_t number = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return fail(Code::kBadArgument, "\"{}\" is too large a generation", text);
    return Generation(number);
  }
  if (const auto time = parse_time(text)) return *time;
  if (const auto time = parse_ago(text, now)) return *time;
  if (is_tag_name(text)) return TagName{std::string(text)};
  return fail(Code::kBadArgument, "\"{}\" is no point of the past: write a generation, a tag, or a time as in 2026-11-20T12:00:00Z or "
              "\"2h ago\"", text);
}

std::string format_point(const Point& point) {
  if (const auto* generation = std::get_if<Generation>(&point)) return fmt::format("{}", *generation);
  if (const auto* tag = std::get_if<TagName>(&point)) return tag->text;
  return format_time(std::get<WallTime>(point));
}

Result<Commit> resolve(Volume& volume, const Commit& head, const Point& point) {
  const CatalogueEntry row = TRY(Timeline(volume, head).find(point));
  if (row.generation == head.header.generation) return head;
  return volume.load_commit(CommitRef{row.generation, row.hash});
}

}  // namespace s3crate::volume
