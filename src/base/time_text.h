// SPDX-License-Identifier: GPL-3.0-or-later
// Times and sizes as people and JSON read them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace s3crate {

[[nodiscard]] std::string format_time(WallTime time);           // RFC 3339, UTC, seconds: 2026-11-20T12:00:00Z
// The same, or the day alone, which is its beginning. nullopt: not of this form, or no day from 1970 to 2261.
[[nodiscard]] std::optional<WallTime> parse_time(std::string_view text);
// "2h ago", "90 min ago", "3 days ago". nullopt: not of this form, or before 1970.
[[nodiscard]] std::optional<WallTime> parse_ago(std::string_view text, WallTime now);
[[nodiscard]] std::string format_duration(Duration duration);   // "3 s", "12 min", "5 h", "9 d"
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);    // "512 B", "12.5 MiB"

}  // namespace s3crate
