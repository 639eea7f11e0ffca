// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/progress_line.h"

#include <cstdio>

#include "base/time_text.h"

namespace s3crate::cli {
namespace {
constexpr auto kInterval = std::chrono::seconds(1);
}  // namespace

ProgressLine::ProgressLine(Clock& clock, ProgressStyle style)
    : clock_(clock), style_(style), next_(clock.monotonic_now() + kInterval) {}

ProgressLine::~ProgressLine() {
  if (drawn_) std::fputs("\r\033[K", stderr);
}

void ProgressLine::show(const Amounts& amounts) {
  const auto now = clock_.monotonic_now();
  if (amounts.phase != phase_) {
    phase_ = amounts.phase;
    began_ = now;
  }
  if (style_ == ProgressStyle::kOff || now < next_) return;
  next_ = now + kInterval;
  const double span = std::chrono::duration<double>(now - at_).count();
  const double rate = static_cast<double>(amounts.bytes - bytes_) / span;
  const bool known = at_ != MonotonicTime{};
  bytes_ = amounts.bytes;
  at_ = now;
  if (style_ == ProgressStyle::kJson) {
    const nlohmann::json line = {{"phase", amounts.phase},
                                 {"done", amounts.done},
                                 {"total", amounts.total},
                                 {"bytes", amounts.bytes},
                                 {"bytes_per_second", known ? static_cast<std::uint64_t>(rate) : 0}};
    std::fprintf(stderr, "%s\n", line.dump().c_str());
    return;
  }
  const auto amount = [&](std::uint64_t n) {
    return amounts.in_bytes ? format_bytes(n) : fmt::format("{}", n);
  };
  std::string text = fmt::format("{}: {}", amounts.phase, amount(amounts.done));
  if (amounts.total > 0) text += fmt::format(" of {}", amount(amounts.total));
  if (amounts.bytes > 0) text += fmt::format(", {} read", format_bytes(amounts.bytes));
  if (amounts.bytes > 0 && known) text += fmt::format(", {}/s", format_bytes(static_cast<std::uint64_t>(rate)));
  text += left(amounts, now);
  drawn_ = style_ == ProgressStyle::kLine;
  std::fprintf(stderr, drawn_ ? "\r\033[K%s" : "%s\n", text.c_str());
  std::fflush(stderr);
}

std::string ProgressLine::left(const Amounts& amounts, MonotonicTime now) const {
  if (amounts.done == 0 || amounts.done > amounts.total) return "";
  const double share =
      static_cast<double>(amounts.total - amounts.done) / static_cast<double>(amounts.done);
  const auto time = std::chrono::duration<double>(now - began_) * share;
  return fmt::format(", {} left", format_duration(std::chrono::duration_cast<Duration>(time)));
}

}  // namespace s3crate::cli
