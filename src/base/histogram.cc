// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace s3crate {
namespace {

// Nanoseconds 0 to 3 have a bucket each; then every power of two has four.
std::size_t bucket_of(std::uint64_t ns) {
  if (ns < 4) return static_cast<std::size_t>(ns);
  unsigned log2 = static_cast<unsigned>(std::bit_width(ns)) - 1;
  return (log2 - 1) * 4 + (ns >> (log2 - 2) & 3);
}

std::uint64_t largest_in(std::size_t bucket) {
  if (bucket < 4) return bucket;
  unsigned log2 = static_cast<unsigned>(bucket / 4) + 1;
  return ((bucket % 4 + 5) << (log2 - 2)) - 1;
}

}  // namespace

void Histogram::add(Duration duration) {
  auto ns = static_cast<std::uint64_t>(std::max<Duration::rep>(duration.count(), 0));
  buckets_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return total;
}

Duration Histogram::percentile(double fraction) const {
  auto wanted = static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count())));
  if (wanted == 0) return {};
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i].load(std::memory_order_relaxed);
    if (seen >= wanted) return Duration(static_cast<Duration::rep>(largest_in(i)));
  }
  return Duration::max();
}

}  // namespace s3crate
