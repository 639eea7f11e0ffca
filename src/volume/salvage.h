// SPDX-License-Identifier: GPL-3.0-or-later
// Salvage: the disk of a volume that has lost commits, all of them or some, out of the indexes of its segments.
//
// It begins with the newest generation that its commits still tell (volume/rebuild.h), or with the newest checkpoint that an index tells
// (volume/checkpoint_mark.h) if that is newer and whole, or with the empty disk; and lays over it what the segments behind that say has been written, in write
// order (volume/write_order.h): up to the first gap, or past gaps, if one wants that.
//
// What is believed: the keys, by their copies, verified like the commits; a commit by its signature and number, since the ones that would tie
// it to a newest one are lost; an index by its signature. Of the past only the disk comes back: no tags, no other generations.
//
// Nothing is written. Memory: 400 bytes for each segment behind the first generation, 130 for each of `runs_max` runs (with gaps twice), and what
// rebuild() takes before that.
#pragma once

#include "volume/index_reader.h"
#include "volume/rebuild.h"

namespace s3crate::volume {

struct SalvageOptions {
  bool through_gaps = false;
  std::size_t runs_max = 4'000'000;
  std::size_t segments_max = 1'000'000;
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const CheckProgress&)> progress = {};  // "commits", "map", "indexes", "segments"
};

struct SegmentCount {
  std::uint64_t segments = 0, bytes = 0;
};
struct SalvageReport {
  std::optional<CommitRef> from;     // the newest generation that its commits tell; nullopt: none does, or a checkpoint is newer
  std::optional<Generation> from_checkpoint;  // then it begins with the state of this generation, which indexes tell
  std::optional<Generation> newest;  // the highest number of a commit that is there
  std::vector<std::string> damages;  // of commits and segments, a sentence each
  std::uint64_t generations = 0;     // laid over it
  SegmentCount laid, left;           // what they are made of; what is behind the gap, or in a segment that is damaged
  SegmentCount dropped, unfinished;  // what was never part of the disk; what an import left that did not come to its end
  std::string gap;                   // why it ends where it does; empty: nothing is known to be missing
  std::uint64_t gaps = 0;            // that it went past
  std::uint64_t disk_bytes = 0;
  std::vector<ByteRange> unvouched;  // of the disk: may be other data. The first 10,000
  std::uint64_t unvouched_bytes = 0;
  std::vector<ByteRange> unreadable;  // whose data stood in commits that are lost. The first 10,000
  std::uint64_t unreadable_bytes = 0;
};
struct Salvaged {
  View state;
  SalvageReport report;
};

// `volume` was opened, and knows no keys yet. kCorrupt: no copy of its keys; kUnsupported: more than may be held in memory; kCancelled; errors of
// the store.
[[nodiscard]] Result<Salvaged> salvage(Env env, Volume& volume, const SalvageOptions& options);

}  // namespace s3crate::volume
