// SPDX-License-Identifier: GPL-3.0-or-later
// What users type, into numbers. Everything that is not exactly of the form is an
// error that says which form it should have.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace s3crate::cli {

// "4096", "512K", "8M", "10G", "1T", also P and E: powers of 1024; either case.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);
// "250ms", "30s", "10m", "2h", "1d"; a plain number only if it is 0.
[[nodiscard]] Result<Duration> parse_duration(std::string_view text);
// Decimal digits only.
[[nodiscard]] Result<std::uint64_t> parse_count(std::string_view text);
// "1" to "100", with or without "%".
[[nodiscard]] Result<std::uint64_t> parse_percent(std::string_view text);
// A time of the past: "2026-11-20", "2026-11-20T12:00:00Z", or "2h", "2h ago", "3 days ago" before `now`.
[[nodiscard]] Result<WallTime> parse_moment(std::string_view text, WallTime now);
// yes, no, true, false, on, off, 1, 0.
[[nodiscard]] Result<bool> parse_flag(std::string_view text);

// As parse_size takes it: "12M" if that is exact, else "12582913".
[[nodiscard]] std::string short_size(std::uint64_t bytes);

}  // namespace s3crate::cli
