// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_faults.h"

#include <fmt/format.h>

namespace s3crate::sim {
namespace {

// As the edges name their steps.
std::string_view operation_name(char operation) {
  switch (operation) {
    case 'P': return "put";
    case 'G': return "get";
    case 'g': return "get_range";
    case 'H': return "head";
    case 'S': return "list objects";
    case 'X': return "remove object";
    case 'r': return "read";
    case 'w': return "write";
    case 's': return "datasync";
    case 'z': return "size";
    case 'a': return "allocate";
    case 'i': return "identity of open";
    case 'l': return "lock";
    case 'O': return "open";
    case 'L': return "link";
    case 'R': return "remove";
    case 'M': return "make directory";
    case 'D': return "sync directory";
    case 'T': return "list directory";
    case 'I': return "identity";
    case 'F': return "free bytes";
    default: return "unknown";
  }
}

}  // namespace

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

void Failpoints::add(const Failpoints& other) {
  for (const auto& [operation, targets] : other.points_) {
    for (const auto& [target, counts] : targets) {
      Counts& mine = at(operation, target);
      mine.reached += counts.reached, mine.hit += counts.hit;
    }
  }
}

Failpoints::Counts& Failpoints::at(char operation, std::string_view target) {
  Targets& targets = points_[operation];
  auto found = targets.find(target);
  if (found == targets.end()) found = targets.emplace(target, Counts{}).first;
  return found->second;
}

std::size_t Failpoints::known() const {
  std::size_t n = 0;
  for (const auto& [operation, targets] : points_) n += targets.size();
  return n;
}

std::size_t Failpoints::hit() const {
  std::size_t n = 0;
  for (const auto& [operation, targets] : points_)
    for (const auto& [target, counts] : targets) n += counts.hit > 0;
  return n;
}

std::string Failpoints::to_string() const {
  std::string out = fmt::format("  {} of {} failpoints hit", hit(), known());
  std::string_view before = "; not: ";
  for (const auto& [operation, targets] : points_) {
    for (const auto& [target, counts] : targets) {
      if (counts.hit > 0) continue;
      out += fmt::format("{}{} {} ({} times reached)", before, operation_name(operation), target, counts.reached);
      before = ", ";
    }
  }
  return out + "\n";
}

std::string_view object_target(std::string_view name) {
  if (name.starts_with("keys/c")) return "keys/c";
  return name.substr(0, name.find('/'));
}

// Directories of volumes have names of 64 digits.
std::string_view file_target(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (name.size() >= 64) return "volume's directory";
  return name.substr(0, name.find_first_of("-0123456789"));
}

}  // namespace s3crate::sim
