// SPDX-License-Identifier: GPL-3.0-or-later
// SimDisk: a filesystem in memory that keeps what is in the page cache apart from what is on the disk, as Linux
// does. It outlives the processes that use it, which come to it through SimFileIo.
//
// - A write changes the page cache at once and remembers a copy of the sectors it touched, as they were then. A
//   successful sync writes those to the disk in order. A power cut writes any subset of them, so that each sector
//   ends in one of the states it had since the last sync, and what is left is the page cache of the next boot.
// - A failed sync writes any subset, and forgets the rest: the pages are called clean. Reads still see them, no
//   later sync writes them, the next power cut loses them (unless a later write touched the same sector).
// - Names made or removed reach the disk by a sync of their directory; in a power cut any of them may.
// - The size of a file after a power cut is at least that of the sectors that survived, and at most what it was;
//   what lies between reads as zeros. Files only grow: the FileIo edge has no truncate.
// - A killed process loses nothing of this.
//
// Simplified: the room that a file takes is its size, holes or not; one removed while open takes none.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "io/file_io.h"
#include "tests/sim/file_bytes.h"
#include "tests/sim/sim_faults.h"
#include "tests/sim/sim_random.h"

namespace s3crate::sim {

class Incarnation;

inline constexpr std::uint64_t kSectorSize = 512;
inline constexpr std::uint64_t kFileSizeMax = std::uint64_t{1} << 32;

struct DiskFaults {
  std::uint32_t write_error_per_million = 0;
  std::uint32_t read_error_per_million = 0;
  std::uint32_t sync_error_per_million = 0;
  std::uint32_t directory_sync_error_per_million = 0;
  bool read_only = false;  // since it was mounted anew: no write, whoever had opened what
  std::uint32_t full_per_million = 0;  // of writes and allocations: somebody else took the room for a moment
  std::uint64_t capacity = kFileSizeMax;  // bytes
  std::uint64_t quota = kFileSizeMax;     // the same, and free_bytes() does not know of it
  Duration sync_latency_max{};
};

// A file or a directory.
struct Node {
  struct Unsynced {
    std::uint64_t number = 0;
    std::uint64_t offset = 0;  // of a sector
    Bytes sectors;             // as they were in the page cache; empty: only the size changed
    std::uint64_t size_after = 0;
  };
  struct UnsyncedName {
    std::string name;
    std::shared_ptr<Node> node;  // null: removed
  };

  std::uint64_t inode = 0;
  bool is_directory = false;

  FileBytes cached;   // the file, as processes see it
  FileBytes durable;  // as it is on the disk
  std::deque<Unsynced> unsynced;
  std::uint64_t next_write = 0;
  std::uint64_t failed_syncs = 0;  // every File that was open hears of each once, as with Linux's errseq_t
  std::shared_ptr<const Incarnation> lock_owner;
  const void* lock_file = nullptr;

  std::map<std::string, std::shared_ptr<Node>> entries;
  std::map<std::string, std::shared_ptr<Node>> durable_entries;
  std::vector<UnsyncedName> unsynced_names;

  std::uint64_t power_cuts_seen = 0;
};

class SimDisk {
 public:
  SimDisk(std::uint64_t device, Dice dice, FaultCounts& counts);
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  DiskFaults faults;

  // The processes on it must have ended before.
  void power_cut();

  // All that is in the page cache and on the disk, for another one to begin with. Nobody holds a lock there.
  struct Image {
    std::shared_ptr<const Node> root;
    std::uint64_t next_inode = 0;
  };
  [[nodiscard]] Image image() const;
  void restore(const Image& image);
  // Grows with every change of an image.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }

  // The rest is for SimFileIo.
  [[nodiscard]] Result<std::shared_ptr<Node>> find(const std::string& path) const;
  struct Place {
    std::shared_ptr<Node> directory;
    std::string name;
  };
  [[nodiscard]] Result<Place> place(const std::string& path) const;  // of something that may not be there yet
  [[nodiscard]] std::shared_ptr<Node> make(const Place& place, bool is_directory);
  void set_name(const Place& place, std::shared_ptr<Node> node);  // null removes

  // False if there is no room. Changes the page cache only.
  [[nodiscard]] bool write(Node& file, std::uint64_t offset, ByteView data);
  [[nodiscard]] bool grow(Node& file, std::uint64_t size);
  // Writes numbered below `end` reach the disk, or some of their sectors do.
  void sync(Node& file, std::uint64_t end);
  void fail_sync(Node& file, std::uint64_t end);
  void sync_names(Node& directory);
  // What is clean is read from the disk again: also what a failed sync called clean.
  void drop_cached(Node& file, std::uint64_t offset, std::uint64_t size);

  [[nodiscard]] std::uint64_t used_bytes() const;
  [[nodiscard]] std::uint64_t device() const { return device_; }
  [[nodiscard]] Dice& dice() { return dice_; }
  [[nodiscard]] FaultCounts& counts() { return counts_; }

 private:
  // How a disk treats the writes it was not made to keep: all the same way, or each its own.
  struct Fate {
    std::uint32_t keep_percent;
    std::uint32_t tear_percent;
  };
  Fate throw_fate();
  bool has_room(const Node& file, std::uint64_t size) const;
  void settle(Node& file, const Node::Unsynced& write, Fate fate, Fault lost);
  void power_cut(Node& node, Fate fate);

  const std::uint64_t device_;
  Dice dice_;
  FaultCounts& counts_;
  std::uint64_t next_inode_ = 2;
  std::uint64_t power_cuts_ = 0;
  std::uint64_t changes_ = 0;
  std::shared_ptr<Node> root_;
};

}  // namespace s3crate::sim
