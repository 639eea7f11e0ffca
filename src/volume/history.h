// SPDX-License-Identifier: GPL-3.0-or-later
// History: the generations of a volume, newest first, a page at a time, each with the tags that name it now. It costs the commits
// above the checkpoint that are shown (all of them, once, where it goes on below it or did not begin at the newest), and pages of
// the catalogue and the tags: never a walk down the chain.
#pragma once

#include <map>
#include <set>

#include "volume/timeline.h"

namespace s3crate::volume {

struct HistoryEntry {
  Generation generation;
  std::string problem;  // if not empty, the rest is unknown
  CommitKind kind = CommitKind::data;
  WallTime time{};
  std::uint64_t disk_bytes = 0;
  std::uint64_t bytes_added = 0;  // of the objects born in it
  std::vector<std::string> tags;  // that name it now; ascending
};

// The hash of a generation below `head`, as the history of `head` has it (volume/timeline.h). What stands under its number proves
// nothing: a store may show commits of one history among those of another. Zeros: it shows signed
// commits that do not follow each other. kCorrupt, kNotFound: it cannot be told, for damage.
[[nodiscard]] Result<Hash> hash_below(Volume& volume, const Commit& head, Generation generation);

class History {
 public:
  // Begins at the newest generation, or at `start`.
  [[nodiscard]] static Result<History> open(Volume& volume, std::optional<Point> start = std::nullopt);

  // Up to n more. Fewer: that was the last. Ends before the first commit made before `since`, if
  // that is given.
  [[nodiscard]] Result<std::vector<HistoryEntry>> next(std::size_t n, std::optional<WallTime> since = std::nullopt);

  [[nodiscard]] Timeline& timeline() { return timeline_; }

 private:
  History(Volume& volume, const Commit& head) : timeline_(volume, head), unnoted_(head.header.generation) {}
  // All that was said about tags of generations from `lowest` on; what an event says names only older ones.
  [[nodiscard]] Result<> note_tags(Generation lowest);

  Timeline timeline_;
  Generation at_;        // the next; 0: the end
  Generation unnoted_;   // the newest whose word about tags was not heard
  bool all_noted_ = false;
  std::set<std::string> decided_;                     // tags that a younger commit set or took away
  std::map<Generation, std::set<std::string>> tags_;  // of what is still to come
};

}  // namespace s3crate::volume
