// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/segment_puts.h"

#include <algorithm>

namespace s3crate::device {

SegmentPuts::SegmentPuts(Env env, Uploader& uploader, std::size_t at_once, StopFlag stop)
    : env_(env), uploader_(uploader), at_once_(std::max<std::size_t>(1, at_once)), stop_(stop), changed_(env.executor.cond_var()) {
  for (std::size_t i = 0; i < at_once_; ++i) tasks_.push_back(env.executor.spawn("import put", [this] { work(); }));
}

SegmentPuts::~SegmentPuts() {
  {
    MutexLock lock(mu_);
    ended_ = true;
    changed_->notify_all();
  }
  tasks_.clear();
}

void SegmentPuts::work() {
  for (;;) {
    PlacedSegment segment;
    {
      MutexLock lock(mu_);
      while (waiting_.empty() && !ended_) changed_->wait(mu_);
      if (ended_ || failed_) return;
      segment = std::move(waiting_.front());
      waiting_.pop_front();
    }
    auto put = uploader_.put_segment(segment);
    MutexLock lock(mu_);
    --held_;
    if (put) there_.push_back(std::move(*put));
    else if (!failed_) failed_ = put.error();
    changed_->notify_all();
    if (failed_) return;
  }
}

Result<bool> SegmentPuts::wait_until_fewer_than(std::size_t n, MonotonicTime deadline) {
  while (held_ >= n && !failed_) {
    if (is_set(stop_)) return fail(Code::kCancelled, "stopped");
    const MonotonicTime now = env_.clock.monotonic_now();
    if (now >= deadline) return false;
    changed_->wait_until(mu_, std::min(deadline, now + kStopPoll));
  }
  if (failed_) return fail(*failed_);
  return true;
}

Result<> SegmentPuts::add(PlacedSegment segment) {
  MutexLock lock(mu_);
  TRY(wait_until_fewer_than(at_once_, MonotonicTime::max()));
  ++held_;
  waiting_.push_back(std::move(segment));
  changed_->notify_all();
  return {};
}

Result<bool> SegmentPuts::wait_for_all(Duration time) {
  MutexLock lock(mu_);
  return wait_until_fewer_than(1, env_.clock.monotonic_now() + time);
}

bool SegmentPuts::is_idle_within(Duration time) {
  const MonotonicTime deadline = env_.clock.monotonic_now() + time;
  MutexLock lock(mu_);
  ended_ = true;
  changed_->notify_all();
  while (held_ > waiting_.size() && env_.clock.monotonic_now() < deadline) changed_->wait_until(mu_, deadline);
  return held_ == waiting_.size();
}

std::size_t SegmentPuts::there() {
  MutexLock lock(mu_);
  return there_.size();
}

std::vector<segment::ObjectInfo> SegmentPuts::take() {
  MutexLock lock(mu_);
  auto out = std::exchange(there_, {});
  std::ranges::sort(out, {}, &segment::ObjectInfo::key);
  return out;
}

}  // namespace s3crate::device
