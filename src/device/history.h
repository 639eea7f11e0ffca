// SPDX-License-Identifier: GPL-3.0-or-later
// History: the past generations of a volume beside its live disk: what is called what, and each of them as a disk for reading.
//
// It has a reader of the volume of its own, which one call at a time uses: a flag with a condition, not a lock, because the store is
// asked meanwhile. Reads of an open past wait for none of this.
//
// Bounds: `open_max` pasts at a time, whose changes in memory are `weight_max` together; the one that was closed last is kept open
// until its place is needed. What is beyond is kNoSpace.
//
// Threading: all calls are thread-safe and may block on the store.
// Errors: kNotFound, kBadArgument: there is no such name or generation; else as of Disk.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "device/past_disk.h"
#include "volume/timeline.h"

namespace s3crate::device {

struct Past {
  Generation generation;
  std::uint64_t disk_bytes = 0;
  WallTime time{};
  bool fixed = false;  // the name that it was found by will never mean another
};
struct PastName {
  std::string name;
  Generation generation;
};
struct HistoryOptions {
  bool goes_on = false;      // what is committed after it was opened is shown
  Duration age_max{};        // then so old may be what is known of the newest generation
  std::function<Generation()> committed;  // the newest one that this process has made
  std::uint32_t open_max = 16;
  std::uint64_t weight_max = 400'000;
};

class History {
 public:
  // What it lists: the newest generations, and tags.
  static constexpr std::size_t kListedGenerations = 16, kListedTags = 1000;

  // `head` as load_head() answered; `volume`, a reader of its own.
  History(Env env, std::unique_ptr<volume::Volume> volume, const volume::Commit& head, const SharedParts& caches, const HistoryOptions& options);
  ~History();

  // A generation, a tag or a time, as in POINT.
  [[nodiscard]] Result<Past> find(std::string_view name);
  [[nodiscard]] Result<Past> at(Generation generation);
  [[nodiscard]] Result<std::vector<PastName>> list();

  // Must be gone before the live disk is. kNoSpace: too many are open.
  [[nodiscard]] Result<std::shared_ptr<Readable>> open(Generation generation);
  // As of Readable; opens it for a moment if need be.
  [[nodiscard]] Result<std::uint64_t> allocated_bytes(Generation generation);

 private:
  class Turn;  // to use what follows
  enum class Look { if_old, now };
  [[nodiscard]] Result<> look_for_newer(Look look);
  [[nodiscard]] Result<volume::CatalogueEntry> find_row(const volume::Point& point);
  [[nodiscard]] Result<std::shared_ptr<PastDisk>> open_in_turn(Generation generation);
  // Of those that are open; forgets the others.
  struct Load {
    std::size_t count = 0;
    std::uint64_t weight = 0;
  };
  [[nodiscard]] Load load();

  Env env_;
  const SharedParts caches_;
  const HistoryOptions options_;
  Mutex mu_;
  const std::unique_ptr<CondVar> free_;
  bool busy_ GUARDED_BY(mu_) = false;

  // Of the one whose turn it is.
  const std::unique_ptr<volume::Volume> volume_;
  volume::Timeline timeline_;
  MonotonicTime looked_;  // for a newer head
  std::map<Generation, std::weak_ptr<PastDisk>> open_;
  std::shared_ptr<PastDisk> last_;
  std::map<Generation, std::uint64_t> allocated_;  // of some, as counted
};

}  // namespace s3crate::device
