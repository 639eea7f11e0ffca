// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_faults.h"

#include <fmt/format.h>

namespace s3crate::sim {

std::string_view fault_name(Fault fault) {
  switch (fault) {
    case Fault::kProcessKilled: return "process.killed";
    case Fault::kPowerCut: return "power.cut";
    case Fault::kProcessPaused: return "process.paused";
    case Fault::kSpuriousWakeup: return "spurious_wakeup";
    case Fault::kDiskSectorsLost: return "disk.write_lost";
    case Fault::kDiskWriteTorn: return "disk.write_torn";
    case Fault::kDiskNameLost: return "disk.name_lost";
    case Fault::kDiskWriteError: return "disk.write_error";
    case Fault::kDiskReadError: return "disk.read_error";
    case Fault::kDiskSyncError: return "disk.sync_error";
    case Fault::kDiskCleanPageLost: return "disk.clean_page_lost";
    case Fault::kDiskDirectorySyncError: return "disk.directory_sync_error";
    case Fault::kDiskFull: return "disk.full";
    case Fault::kStoreTransientBefore: return "store.transient_before_effect";
    case Fault::kStoreReplyLost: return "store.reply_lost";
    case Fault::kStoreLate: return "store.applied_late";
    case Fault::kStoreLateAfterCrash: return "store.in_flight_at_crash";
    case Fault::kStoreTwice: return "store.applied_twice";
    case Fault::kStoreOwnPutExists: return "store.own_put_exists";
    case Fault::kStoreStale: return "store.stale";
    case Fault::kStoreBitFlip: return "store.bit_flip";
    case Fault::kStoreTruncated: return "store.truncated";
    case Fault::kStoreOutage: return "store.outage";
    case Fault::kStoreFull: return "store.full";
    case Fault::kStoreObjectLost: return "store.object_lost";
    case Fault::kStoreObjectReplaced: return "store.object_replaced";
  }
  return "unknown";
}

void FaultCounts::add(const FaultCounts& other) {
  for (std::size_t i = 0; i < kFaultCount; ++i) counts_[i] += other.counts_[i];
}

std::string FaultCounts::to_string() const {
  std::string out;
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    out += fmt::format("  {:<30} {:>10}\n", fault_name(static_cast<Fault>(i)), counts_[i]);
  }
  return out;
}

}  // namespace s3crate::sim
