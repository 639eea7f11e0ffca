// SPDX-License-Identifier: GPL-3.0-or-later
// A snapshot: a generation whose end is set by somebody who waits for it, while writes go on.
#include "device/disk_impl.h"

namespace s3crate::device {

Result<Head::Cut> Head::cut_now() {
  MutexLock lock(mu_);
  ++cuts_waiting_;
  while (encoding_ && !stopped_) encoding_done_->wait(mu_);
  --cuts_waiting_;
  encoding_done_->notify_all();
  if (stopped_) return fail(Code::kCancelled, "the disk is closing");
  if (failure_) return fail(*failure_);
  if (!generations_.back()->empty()) open_generation();
  changed_->notify_all();
  if (generations_.size() > 1) return Cut{generations_[generations_.size() - 2], {}};
  return Cut{nullptr, committed_generation_};
}

Result<Generation> DiskImpl::snapshot(const std::function<void()>& cut, StopFlag stop) {
  if (options_.read_only) return fail(Code::kUnsupported, "the disk is mounted read-only, and has nothing of its own to store");
  TRY(writer_.encoder->encode_through(head_->freeze(), stop));
  const Head::Cut made = TRY(head_->cut_now());
  cut();
  if (!made.generation) return made.committed;
  MutexLock lock(head_->mutex());
  while (made.generation->number == Generation(0)) {
    if (head_->failure_locked()) return fail(*head_->failure_locked());
    if (head_->stopped_locked()) return fail(Code::kCancelled, "the disk is closing");
    if (is_set(stop)) return fail(Code::kCancelled, "stopped waiting for the store");
    if (stop == nullptr) head_->changed().wait(head_->mutex());
    else head_->changed().wait_until(head_->mutex(), env_.clock.monotonic_now() + kStopPoll);
  }
  return made.generation->number;
}

}  // namespace s3crate::device
