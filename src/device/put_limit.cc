// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/put_limit.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace s3crate::device {

namespace {
constexpr double kWorthIt = 1.1;
}

PutLimit::PutLimit(std::uint32_t start, std::uint32_t max) : limit_(start), max_(max) { CHECK(start >= 1 && start <= max); }

bool PutLimit::ended(std::uint64_t bytes, bool more, MonotonicTime now) {
  if (limit_ == max_ && before_ == 0) return false;
  if (!more) {
    // The writers are slower than the store now, which says nothing.
    settling_ = true;
    puts_ = 0;
    return false;
  }
  if (puts_++ == 0 && settling_) {
    begin_ = now;
    bytes_ = 0;
  } else {
    bytes_ += bytes;
  }
  if (puts_ <= limit_) return false;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const bool settled = !std::exchange(settling_, false);
  const double rate = seconds > 0 ? static_cast<double>(bytes_) / seconds : 0;
  begin_ = now;
  bytes_ = 0;
  puts_ = 0;
  return settled && judge(rate);
}

bool PutLimit::judge(double rate) {
  if (before_ != 0) {
    const bool was_worth_it = rate >= kWorthIt * rate_before_;
    if (!was_worth_it) {
      limit_ = std::exchange(before_, 0);
      rest_ = kRestWindows;
      settling_ = true;
      return true;
    }
    before_ = 0;
  } else if (rest_ > 0) {
    --rest_;
    return false;
  }
  if (limit_ == max_) return false;
  before_ = limit_;
  rate_before_ = rate;
  limit_ = std::min(max_, limit_ + std::max(1u, limit_ / 2));
  settling_ = true;
  return true;
}

}  // namespace s3crate::device
