// SPDX-License-Identifier: GPL-3.0-or-later
// How often each fault really happened. Every fault is listed, so that one that never fires is seen as a zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
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

// Where something can go wrong: a kind of request or file operation, and the kind of object or file that it is for. Known is what
// was reached; hit, where a process ended, or an error was injected.
class Failpoints {
 public:
  void reached(char operation, std::string_view target) { ++at(operation, target).reached; }
  void hit(char operation, std::string_view target) { ++at(operation, target).hit; }
  void add(const Failpoints& other);
  [[nodiscard]] std::size_t known() const;
  [[nodiscard]] std::size_t hit() const;
  // How many there are, and which of them were not hit.
  [[nodiscard]] std::string to_string() const;

 private:
  struct Counts {
    std::uint64_t reached = 0, hit = 0;
  };
  using Targets = std::map<std::string, Counts, std::less<>>;
  Counts& at(char operation, std::string_view target);
  std::map<char, Targets> points_;
};

// What an object, or a file, is to a failpoint: what its name begins with, or ends with.
[[nodiscard]] std::string_view object_target(std::string_view name);
[[nodiscard]] std::string_view file_target(std::string_view path);

}  // namespace s3crate::sim
