// SPDX-License-Identifier: GPL-3.0-or-later
// How often each fault really happened. Every fault is listed, so that one that never fires is seen as a zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace s3crate::sim {

enum class Fault : std::uint8_t {
  kProcessKilled,
  kPowerCut,
  kProcessPaused,
  kSpuriousWakeup,
  kDiskSectorsLost,     // an unsynced write of which nothing was on the disk after a power cut
  kDiskWriteTorn,       // one of which some sectors were
  kDiskNameLost,        // an unsynced change of a name that was undone by a power cut
  kDiskWriteError,
  kDiskReadError,
  kDiskSyncError,
  kDiskCleanPageLost,   // called clean by a failed fdatasync, without being on the disk
  kDiskDirectorySyncError,
  kDiskFull,
  kStoreTransientBefore,
  kStoreReplyLost,
  kStoreLate,
  kStoreLateAfterCrash,
  kStoreTwice,
  kStoreOwnPutExists,
  kStoreStale,
  kStoreBitFlip,
  kStoreTruncated,
  kStoreOutage,
  kStoreFull,
  kStoreObjectLost,
  kStoreObjectReplaced,
};
inline constexpr std::size_t kFaultCount = static_cast<std::size_t>(Fault::kStoreObjectReplaced) + 1;

[[nodiscard]] std::string_view fault_name(Fault fault);  // "disk.write_torn"

class FaultCounts {
 public:
  void add(Fault fault) { ++counts_[static_cast<std::size_t>(fault)]; }
  void add(const FaultCounts& other);
  [[nodiscard]] std::uint64_t operator[](Fault fault) const {
    return counts_[static_cast<std::size_t>(fault)];
  }
  // One line per fault, those that never happened included.
  [[nodiscard]] std::string to_string() const;

 private:
  std::array<std::uint64_t, kFaultCount> counts_{};
};

}  // namespace s3crate::sim
