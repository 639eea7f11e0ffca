// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/damages.h"

#include "volume/map_walk.h"

namespace s3crate::device {

void Damages::note(std::string_view disk, std::uint64_t offset, std::uint64_t length, const Error& error) {
  if (!volume::is_damage(error)) return;
  MutexLock lock(mu_);
  if (met_.reads++ == 0) met_.first = fmt::format("{} bytes of {} from {} on cannot be read: {}", length, disk, offset, error.message());
}

Damages::Met Damages::met() const {
  MutexLock lock(mu_);
  return met_;
}

}  // namespace s3crate::device
