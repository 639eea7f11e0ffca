// SPDX-License-Identifier: GPL-3.0-or-later
// Times and sizes as people and JSON read them.
#pragma once

#include <string>

#include "base/clock.h"

namespace s3crate {

[[nodiscard]] std::string format_time(WallTime time);           // RFC 3339, UTC, seconds: 2026-11-20T12:00:00Z
[[nodiscard]] std::string format_duration(Duration duration);   // "3 s", "12 min", "5 h", "9 d"
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);    // "512 B", "12.5 MiB"

}  // namespace s3crate
