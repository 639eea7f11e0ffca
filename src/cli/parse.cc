// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/parse.h"

#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "base/time_text.h"

namespace s3crate::cli {
namespace {

// The number at the beginning of `text`, and what follows it.
struct Number {
  std::uint64_t value = 0;
  std::string_view rest;
};
std::optional<Number> leading_number(std::string_view text) {
  Number number;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number.value);
  if (error != std::errc()) return std::nullopt;
  number.rest = {stop, static_cast<std::size_t>(end - stop)};
  return number;
}

std::optional<std::uint64_t> multiply(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

constexpr std::string_view kSizeUnits = "KMGTPE";

std::optional<std::uint64_t> size_factor(std::string_view unit) {
  if (unit.empty()) return 1;
  if (unit.size() != 1) return std::nullopt;
  const char upper = unit[0] >= 'a' && unit[0] <= 'z' ? static_cast<char>(unit[0] - 'a' + 'A') : unit[0];
  const auto at = kSizeUnits.find(upper);
  if (at == std::string_view::npos) return std::nullopt;
  return std::uint64_t{1} << (10 * (at + 1));
}

std::optional<std::uint64_t> nanoseconds_of(std::string_view unit) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  if (unit == "ms") return kSecond / 1000;
  if (unit == "s") return kSecond;
  if (unit == "m") return kSecond * 60;
  if (unit == "h") return kSecond * 3600;
  if (unit == "d") return kSecond * 86400;
  return std::nullopt;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto number = leading_number(text);
  const auto factor = number ? size_factor(number->rest) : std::nullopt;
  if (!factor) return fail(Code::kBadArgument, "\"{}\" is not a size: give a whole number and K, M, G or T, as in 10G", text);
  const auto bytes = multiply(number->value, *factor);
  if (!bytes) return fail(Code::kBadArgument, "\"{}\" is too large a size", text);
  return *bytes;
}

Result<Duration> parse_duration(std::string_view text) {
  const auto number = leading_number(text);
  if (number && number->value == 0 && number->rest.empty()) return Duration::zero();
  const auto factor = number ? nanoseconds_of(number->rest) : std::nullopt;
  if (!factor) return fail(Code::kBadArgument, "\"{}\" is not a time: give a whole number and ms, s, m, h or d, as in 30s", text);
  const auto ns = multiply(number->value, *factor);
  if (!ns || *ns > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 4) {
    return fail(Code::kBadArgument, "\"{}\" is too long a time", text);
  }
  return Duration(static_cast<std::int64_t>(*ns));
}

Result<std::uint64_t> parse_count(std::string_view text) {
  const auto number = leading_number(text);
  if (!number || !number->rest.empty()) return fail(Code::kBadArgument, "\"{}\" is not a whole number", text);
  return number->value;
}

Result<std::uint64_t> parse_percent(std::string_view text) {
  const auto number = leading_number(text);
  if (!number || (!number->rest.empty() && number->rest != "%") || number->value < 1 || number->value > 100) {
    return fail(Code::kBadArgument, "\"{}\" is not a percentage from 1 to 100", text);
  }
  return number->value;
}

Result<WallTime> parse_moment(std::string_view text, WallTime now) {
  if (const auto time = parse_time(text)) return *time;
  if (const auto time = parse_ago(text, now)) return *time;
  if (const auto time = parse_ago(fmt::format("{} ago", text), now)) return *time;
  return fail(Code::kBadArgument, "\"{}\" is no time of the past: write 2026-11-20, 2026-11-20T12:00:00Z or 2h", text);
}

Result<bool> parse_flag(std::string_view text) {
  if (text == "yes" || text == "true" || text == "on" || text == "1") return true;
  if (text == "no" || text == "false" || text == "off" || text == "0") return false;
  return fail(Code::kBadArgument, "\"{}\" is neither yes nor no", text);
}

std::string short_size(std::uint64_t bytes) {
  std::size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit < kSizeUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{}", bytes) : fmt::format("{}{}", bytes, kSizeUnits[unit - 1]);
}

}  // namespace s3crate::cli
