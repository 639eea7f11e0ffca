// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/time_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>

namespace s3crate {
namespace {

constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:ddZ";
constexpr std::size_t kDateOnly = 10;
constexpr int kYearEnd = 2262;  // of what nanoseconds since 1970 can tell

bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Unit {
  std::string_view name;
  Duration length;
};
constexpr auto kDay = std::chrono::hours(24);
constexpr std::array kSpans = {
    Unit{"ms", std::chrono::milliseconds(1)}, Unit{"s", std::chrono::seconds(1)},  Unit{"second", std::chrono::seconds(1)},
    Unit{"m", std::chrono::minutes(1)},       Unit{"min", std::chrono::minutes(1)}, Unit{"minute", std::chrono::minutes(1)},
    Unit{"h", std::chrono::hours(1)},         Unit{"hour", std::chrono::hours(1)},  Unit{"d", kDay},
    Unit{"day", kDay},                        Unit{"w", 7 * kDay},                  Unit{"week", 7 * kDay}};

}  // namespace

std::optional<WallTime> parse_time(std::string_view text) {
  if (text.size() != kDateOnly && text.size() != kForm.size()) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (kForm[i] == 'd' ? !is_digit(text[i]) : text[i] != kForm[i]) return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t digits) {
    unsigned value = 0;
    for (; at < text.size() && digits > 0; ++at, --digits) value = value * 10 + static_cast<unsigned>(text[at] - '0');
    return value;
  };
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(number(0, 4))), std::chrono::month(number(5, 2)),
                                         std::chrono::day(number(8, 2))};
  const unsigned hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!date.ok() || int(date.year()) < 1970 || int(date.year()) >= kYearEnd || hour > 23 || minute > 59 || second > 59)
    return std::nullopt;
  return WallTime(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) + std::chrono::minutes(minute) +
                  std::chrono::seconds(second));
}

std::optional<WallTime> parse_ago(std::string_view text, WallTime now) {
  constexpr std::string_view kAgo = " ago";
  if (!text.ends_with(kAgo)) return std::nullopt;
  text.remove_suffix(kAgo.size());
  std::uint64_t count = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  for (const Unit& unit : kSpans) {
    // "days", but no "hs".
    const bool plural = unit.name.size() > 1 && text.size() == unit.name.size() + 1 && text.starts_with(unit.name) && text.back() == 's';
    if (text != unit.name && !plural) continue;
    const auto since_1970 = now.time_since_epoch();
    if (since_1970.count() < 0 || count > static_cast<std::uint64_t>(since_1970 / unit.length)) return std::nullopt;
    return now - static_cast<std::int64_t>(count) * unit.length;
  }
  return std::nullopt;
}

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
