// SPDX-License-Identifier: GPL-3.0-or-later
// ByteSet: which bytes of one block are there: sorted, disjoint, not touching ranges.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace s3crate::device {

class ByteSet {
 public:
  struct Range {
    std::uint32_t from = 0, to = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };

  void add(std::uint32_t from, std::uint32_t to) {
    if (from >= to) return;
    auto first = std::lower_bound(ranges_.begin(), ranges_.end(), from, [](const Range& r, std::uint32_t at) { return r.to < at; });
    auto last = first;
    for (; last != ranges_.end() && last->from <= to; ++last) {
      from = std::min(from, last->from);
      to = std::max(to, last->to);
    }
    first = ranges_.erase(first, last);
    ranges_.insert(first, {from, to});
  }
  void add(const ByteSet& other) {
    for (const Range& range : other.ranges_) add(range.from, range.to);
  }
  [[nodiscard]] bool covers(std::uint32_t size) const {
    return ranges_.size() == 1 && ranges_[0].from == 0 && ranges_[0].to >= size;
  }
  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

}  // namespace s3crate::device
