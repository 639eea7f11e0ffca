// SPDX-License-Identifier: GPL-3.0-or-later
// Where a disk has data, and how much.
#include "device/disk_impl.h"
#include "device/occupancy.h"

namespace s3crate::device {

Result<std::uint64_t> DiskImpl::seek(std::uint64_t offset, bool hole) {
  auto found = seek_in(*head_, volume_.pages(), offset, size(), hole);
  if (!found) note_failed_read(offset, found.error());
  return found;
}

// One at a time counts, when something changed since the last; others get the last one's figure.
Result<std::uint64_t> DiskImpl::allocated_bytes() {
  const HeadCounters now = head_->counters();
  const std::uint64_t state = now.batches + now.commits + now.checkpoints + now.dirty_bytes;
  {
    MutexLock lock(allocated_mu_);
    if (allocated_ && (counting_ || allocated_state_ == state)) return *allocated_;
    counting_ = true;
  }
  auto counted = count_allocated(env_.executor, *head_, volume_.pages());
  MutexLock lock(allocated_mu_);
  counting_ = false;
  if (!counted) return counted;
  allocated_ = *counted;
  allocated_state_ = state;
  return *counted;
}

}  // namespace s3crate::device
