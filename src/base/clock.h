// SPDX-License-Identifier: GPL-3.0-or-later
// Clock: the only source of time. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>

namespace s3crate {

using Duration = std::chrono::nanoseconds;
// Since an arbitrary point; never goes back; stands still while the machine is suspended.
using MonotonicTime = std::chrono::time_point<struct MonotonicTag, Duration>;
// Like MonotonicTime, but goes on while the machine is suspended.
using BootTime = std::chrono::time_point<struct BootTag, Duration>;
// Nanoseconds since 1970-01-01T00:00:00Z. May jump. Decides nothing about safety.
using WallTime = std::chrono::time_point<struct WallTag, Duration>;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonotonicTime monotonic_now() = 0;
  [[nodiscard]] virtual BootTime boottime_now() = 0;
  [[nodiscard]] virtual WallTime wall_now() = 0;
};

Clock& system_clock();

}  // namespace s3crate
