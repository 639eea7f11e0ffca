// SPDX-License-Identifier: GPL-3.0-or-later
// Rebuild: the newest map out of the chain of commits, where pages of the map or of its companions are damaged or gone.
//
// It begins with the newest checkpoint all of whose trees can be read whole, or with none, and lays over it what the commits since say
// has changed. Of those only the ones are needed that a delta base names (volume/delta_levels.h), each by its hash: so what comes out
// is tied to the newest commit, as what load_view() reads is. All commits since are looked at for the objects that they name.
//
// Runs are taken newest first: what is there already hides what comes later. A rollback has the map of an older generation: what
// it rolled back is passed over; every commit above it says that there is one, so it may be lost itself.
//
// Nothing is written. Memory: `runs_max` runs (130 bytes each), `objects_max` objects (250 bytes each), 48 commits.
#pragma once

#include "volume/check.h"
#include "volume/delta_levels.h"

namespace s3crate::volume {

struct RebuildOptions {
  std::size_t runs_max = 4'000'000;
  std::size_t objects_max = 1'000'000;
  std::size_t checkpoints_max = 64;  // so many are tried
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const CheckProgress&)> progress = {};  // "map": pages; "commits": generations
};

struct GenerationRange {  // inclusive
  Generation first, last;
  friend bool operator==(const GenerationRange&, const GenerationRange&) = default;
};

struct RebuildReport {
  bool sound = false;       // nothing has to be repaired: the view is the newest commit's own
  CheckpointRef from;       // the checkpoint that was begun with; generation 0: none
  std::uint64_t commits = 0, runs = 0;     // read; laid over it
  std::vector<std::string> damages;        // what was wrong, a sentence each
  std::optional<GenerationRange> past;     // of these the maps stay damaged, as their checkpoints are
  std::vector<GenerationRange> lost;       // commits that are damaged or gone, of those looked at; ascending
  std::vector<ByteRange> unreadable;       // of the disk: nothing names the objects that hold it
};

struct Rebuilt {
  View view;
  DeltaLevels levels;
  RebuildReport report;
};

// `head` is the newest commit. kCorrupt: a commit that is needed is damaged or gone, with which; kUnsupported: more than may be held in memory;
// kCancelled; errors of the store.
[[nodiscard]] Result<Rebuilt> rebuild(Volume& volume, const Commit& head, const RebuildOptions& options);

}  // namespace s3crate::volume
