// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/put_limit.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace s3crate::device {

namespace {
constexpr double kWorthIt = 1.1;
}

PutLimit::PutLimit(std::uint32_t start, std::uint32_t max) : limit_(start), min_(start), max_(max) { CHECK(start >= 1 && start <= max); }

bool PutLimit::ended(std::uint64_t bytes, bool more, MonotonicTime now) {
  if (min_ == max_) return false;
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
    const bool was_more = limit_ > before_;
    const bool is_kept = was_more ? rate >= kWorthIt * rate_before_ : rate * kWorthIt > rate_before_;
    if (!is_kept) limit_ = before_;
    before_ = 0;
    // What pays is followed at once. (To find that less does as well is no hurry.)
    if (is_kept && was_more && limit_ < max_) return begin_try(rate, true);
    rest_ = kRestWindows;
    settling_ = true;
    return !is_kept;
  }
  if (rest_ > 0) {
    --rest_;
    return false;
  }
  upwards_ = limit_ == min_ || (limit_ < max_ && !upwards_);
  return begin_try(rate, upwards_);
}

bool PutLimit::begin_try(double rate, bool upwards) {
  before_ = limit_;
  rate_before_ = rate;
  limit_ = upwards ? std::min(max_, limit_ + std::max(1u, limit_ / 2)) : std::max(min_, limit_ - std::max(1u, limit_ / 3));
  settling_ = true;
  return true;
}

}  // namespace s3crate::device
