// SPDX-License-Identifier: GPL-3.0-or-later
// PutLimit: how many segments are put at a time. As many as make the uploads faster: a store that is far away, or gives each
// connection little, needs more of them than one nearby, and each takes the memory of a segment.
//
// While all are busy and more waits, puts are looked at in windows of as many as may be under way. A try allows half as many more, or a
// third fewer, by turns; the window after the one in which it took effect decides. More have to be a tenth faster, and then the next try follows; fewer
// must not be a tenth slower. Else it is taken back. kRestWindows pass before another try.
//
// Threading: its owner's lock guards it.
#pragma once

#include "base/clock.h"

namespace s3crate::device {

class PutLimit {
 public:
  static constexpr int kRestWindows = 32;

  // Starts with `start`, and never allows fewer, nor more than `max`. Where they are the same that is what it is.
  PutLimit(std::uint32_t start, std::uint32_t max);

  [[nodiscard]] std::uint32_t now() const { return limit_; }
  // A put of so many bytes ended well; `more`: another segment waits for its place. Whether the limit changed.
  bool ended(std::uint64_t bytes, bool more, MonotonicTime now);

 private:
  bool judge(double rate);
  bool begin_try(double rate, bool upwards);

  std::uint32_t limit_;
  const std::uint32_t min_, max_;
  std::uint32_t before_ = 0;  // the limit that a try left; 0: none is under way
  double rate_before_ = 0;    // bytes per second, with it
  int rest_ = 0;              // windows until the next try
  bool upwards_ = false;      // the last one after a rest was
  bool settling_ = true;      // of this window nothing is to be believed: what is under way began in another
  // This window: what ended in it, and since when.
  MonotonicTime begin_{};
  std::uint64_t bytes_ = 0;
  std::uint32_t puts_ = 0;
};

}  // namespace s3crate::device
