// SPDX-License-Identifier: GPL-3.0-or-later
// Points of the past, as users name them: POINT in s3crate-blk(1).
#pragma once

#include <variant>

#include "volume/volume.h"

namespace s3crate::volume {

struct TagName {
  std::string text;
  friend bool operator==(const TagName&, const TagName&) = default;
};
using Point = std::variant<Generation, TagName, WallTime>;

// Digits alone are a generation; 2026-11-20, 2026-11-20T12:00:00Z and "2h ago" a time; all else is a tag. kBadArgument: neither.
[[nodiscard]] Result<Point> parse_point(std::string_view text, WallTime now);
// As it can be typed: "42", "nightly", "2026-11-20T12:00:00Z".
[[nodiscard]] std::string format_point(const Point& point);

// The commit at a point of the history of `head`, which load_head() answered; what a time means is said in volume/timeline.h. It is
// tied to `head` by hashes. kNotFound: there is none such; kCorrupt: damage hides it.
[[nodiscard]] Result<Commit> resolve(Volume& volume, const Commit& head, const Point& point);

}  // namespace s3crate::volume
