// SPDX-License-Identifier: GPL-3.0-or-later
#include <time.h>

#include "base/clock.h"

namespace s3crate {
namespace {

Duration read_clock(clockid_t id) {
  timespec ts{};
  clock_gettime(id, &ts);
  return std::chrono::seconds(ts.tv_sec) + Duration(ts.tv_nsec);
}

class SystemClock final : public Clock {
 public:
  // CLOCK_MONOTONIC is what std::chrono::steady_clock counts, which executor_threads.cc relies on.
  MonotonicTime monotonic_now() override { return MonotonicTime(read_clock(CLOCK_MONOTONIC)); }
  BootTime boottime_now() override { return BootTime(read_clock(CLOCK_BOOTTIME)); }
  WallTime wall_now() override { return WallTime(read_clock(CLOCK_REALTIME)); }
};

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

}  // namespace s3crate
