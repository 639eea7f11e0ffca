// SPDX-License-Identifier: GPL-3.0-or-later
// History: the generations of a volume, newest first. Each is verified by its signature and by the
// hash that its successor names, so the walk begins at the newest whatever is asked for; tags are
// known on the way, since a tag is younger than what it names. A commit that is missing or damaged
// is told, and passed over.
#pragma once

#include <map>
#include <set>

#include "volume/volume.h"

namespace s3crate::volume {

struct HistoryEntry {
  Generation generation;
  std::string problem;  // if not empty, the rest is unknown
  CommitKind kind = CommitKind::data;
  WallTime time{};
  std::string host;
  std::uint32_t epoch = 0;
  std::uint64_t disk_bytes = 0;
  std::uint64_t objects_added = 0;
  std::uint64_t bytes_added = 0;  // of the objects born in it
  std::vector<std::string> tags;  // that name it now; ascending
};

// The hash of a generation below `head`, as the history of `head` has it: from parent to parent
// down to it, or, at or below the checkpoint, by the catalogue. What stands under its number proves
// nothing: a store may show commits of one history among those of another. Zeros: it shows signed
// commits that do not follow each other. kCorrupt, kNotFound: it cannot be told, for damage.
[[nodiscard]] Result<Hash> hash_below(Volume& volume, const Commit& head, Generation generation);

class History {
 public:
  // Begins at the newest generation, or at `start`.
  [[nodiscard]] static Result<History> open(Volume& volume,
                                            std::optional<Generation> start = std::nullopt);

  // Up to n more. Fewer: that was the last. Ends before the first commit made before `since`, if
  // that is given.
  [[nodiscard]] Result<std::vector<HistoryEntry>> next(
      std::size_t n, std::optional<WallTime> since = std::nullopt);

 private:
  explicit History(Volume& volume) : volume_(&volume) {}
  void note_tags(const CommitBody& body);
  [[nodiscard]] HistoryEntry entry();
  // One down.
  [[nodiscard]] Result<> advance();

  Volume* volume_;
  Generation at_;                 // 0: the end
  std::optional<Commit> commit_;  // at_; nullopt: it cannot be had
  std::string problem_;
  std::set<std::string> decided_;                     // tags that a younger commit set or took away
  std::map<Generation, std::set<std::string>> tags_;  // of what is still to come
};

}  // namespace s3crate::volume
