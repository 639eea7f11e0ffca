// SPDX-License-Identifier: GPL-3.0-or-later
// SegmentPuts: puts segments side by side, and tells which are there.
#pragma once

#include <deque>

#include "device/uploader.h"

namespace s3crate::device {

class SegmentPuts {
 public:
  SegmentPuts(Env env, Uploader& uploader, std::size_t at_once, StopFlag stop);
  ~SegmentPuts();  // waits for those under way

  // Waits until there is a place for it. kCancelled by `stop`, or if one could not be put.
  [[nodiscard]] Result<> add(PlacedSegment segment);
  // Until all are there; false: after that time they are not.
  [[nodiscard]] Result<bool> wait_for_all(Duration time);
  // Whether none is under way, or will not be soon.
  [[nodiscard]] bool is_idle_within(Duration time);
  // Those that are there, and were not told of before, by key; and how many those are.
  [[nodiscard]] std::vector<segment::ObjectInfo> take();
  [[nodiscard]] std::size_t there();

 private:
  void work();
  [[nodiscard]] Result<bool> wait_until_fewer_than(std::size_t n, MonotonicTime deadline) REQUIRES(mu_);

  Env env_;
  Uploader& uploader_;
  const std::size_t at_once_;
  const StopFlag stop_;
  const std::unique_ptr<CondVar> changed_;
  Mutex mu_;
  std::deque<PlacedSegment> waiting_ GUARDED_BY(mu_);
  std::size_t held_ GUARDED_BY(mu_) = 0;  // waiting or under way
  std::vector<segment::ObjectInfo> there_ GUARDED_BY(mu_);
  std::optional<Error> failed_ GUARDED_BY(mu_);
  bool ended_ GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<Task>> tasks_;
};

}  // namespace s3crate::device
