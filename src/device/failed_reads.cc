// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/failed_reads.h"

#include "volume/map_walk.h"

namespace s3crate::device {

bool FailedReads::note(std::string_view disk, std::uint64_t offset, const Error& error) {
  if (error.code() == Code::kCancelled) return false;
  const bool damage = volume::is_damage(error);
  MutexLock lock(mu_);
  if (!damage) ++met_.others;
  else if (met_.damaged++ == 0) met_.damage = fmt::format("a read of {} at {} met damage: {}", disk, offset, error.message());
  return damage;
}

FailedReads::Met FailedReads::met() const {
  MutexLock lock(mu_);
  return met_;
}

}  // namespace s3crate::device
