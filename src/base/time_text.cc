// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/time_text.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

namespace s3crate {

std::string format_time(WallTime time) {
  using std::chrono::days;
  auto seconds = std::chrono::floor<std::chrono::seconds>(time.time_since_epoch());
  auto whole_days = std::chrono::floor<days>(seconds);
  std::chrono::year_month_day date{std::chrono::sys_days(whole_days)};
  std::chrono::hh_mm_ss clock{seconds - whole_days};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", int(date.year()), unsigned(date.month()), unsigned(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string format_duration(Duration duration) {
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 120'000) return fmt::format("{} s", ms / 1000);
  if (ms < 7'200'000) return fmt::format("{} min", ms / 60'000);
  if (ms < 172'800'000) return fmt::format("{} h", ms / 3'600'000);
  return fmt::format("{} d", ms / 86'400'000);
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) value /= 1024, ++unit;
  if (unit == 0) return fmt::format("{} B", bytes);
  return value < 100 ? fmt::format("{:.1f} {}", value, kUnits[unit]) : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

}  // namespace s3crate
