// SPDX-License-Identifier: GPL-3.0-or-later
// Histogram: how long things took, in buckets that grow by a quarter of a power of two, so that a
// percentile is at most a quarter too high. Lock-free; 2 KiB.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace s3crate {

class Histogram {
 public:
  void add(Duration duration);
  [[nodiscard]] std::uint64_t count() const;
  // The smallest bound that `fraction` (over 0, to 1) of all durations do not exceed; 0 if there
  // are none.
  [[nodiscard]] Duration percentile(double fraction) const;

 private:
  static constexpr std::size_t kBuckets = 256;
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
};

}  // namespace s3crate
