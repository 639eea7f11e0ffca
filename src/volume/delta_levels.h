// SPDX-License-Identifier: GPL-3.0-or-later
// DeltaLevels: what the next commit's changes are relative to, and which earlier changes it
// therefore repeats, so that whoever opens a generation reads few commits. s3crate-blk-format(5),
// "How changes are read".
//
// A commit with changes is of level k if it is the first such commit with its generation / 16^k,
// for the largest k. Its delta base is the newest earlier one of level k or above, and it repeats
// all changes since then. So the commits that are read, from any one down to the checkpoint, never
// descend in level, and of one level there are at most 15: between two of a higher level no more
// multiples of 16^k fit.
//
//   base(k)   the newest commit of level k or above; base(0): the newest of all
//   layer(k)  the changes of (base(k+1), base(k)]
//
// A commit of level k takes in layers 0 to k-1 and becomes part of layer k. So each change is moved
// once a level, and all layers together hold what a reader of the newest generation would read.
//
// They hold at most `bytes_max`, as encoded: with more, the highest layer is dropped, and the
// levels above it are passed over: their commits take the base of a lower level, and begin their
// own level anew. That adds at most 15 commits a lower level to what is read, once; passed_over()
// says when. What a checkpoint holds needs no repeating.
#pragma once

#include <array>
#include <span>

#include "volume/commit.h"
#include "volume/run_map.h"

namespace s3crate::volume {

// What one commit says has changed. Runs are sorted by block, without overlaps.
struct Changes {
  std::vector<Run> runs;
  std::vector<ObjectInfo> objects;
};
// A bound of what they take in a commit.
[[nodiscard]] std::size_t encoded_max(std::span<const Run> runs,
                                      std::span<const ObjectInfo> objects);

// A commit that was read on the way from a generation to its checkpoint.
struct BaseCommit {
  CommitRef ref;
  Changes changes;  // since the one that follows
};

class DeltaLevels {
 public:
  static constexpr std::size_t kBytesMax = 8 << 20;
  static constexpr int kLevelMax = 15;  // 16^15 is the highest power among generations

  // Goes on above `newest`, a commit with changes (generation 0: none yet), without knowing what
  // was changed in it and before: levels are passed over until they have begun anew. `bases`: what
  // is read below it, as far as known, oldest first.
  explicit DeltaLevels(const CommitRef& newest = {}, std::vector<Generation> bases = {},
                       std::size_t bytes_max = kBytesMax);
  // Goes on from what was read: `read`, newest first, are above `as_of`; `below` is at or below it.
  DeltaLevels(std::span<const BaseCommit> read, const CommitRef& below, Generation as_of,
              std::size_t bytes_max = kBytesMax);

  [[nodiscard]] const CommitRef& newest() const { return bases_[0]; }
  // The commits that are read from the newest one down to the checkpoint, oldest first.
  [[nodiscard]] const std::vector<Generation>& chain() const { return chain_; }
  // The newest commit that passed a level over. 0: none.
  [[nodiscard]] Generation passed_over() const { return passed_over_; }

  // What commit `generation` shall say, if it changes `own`. Nothing moves before committed().
  struct Plan {
    CommitRef base;
    Changes changes;  // own ones, and those that are repeated
  };
  [[nodiscard]] Plan plan(Generation generation, Changes own) const;
  // That commit is stored. `runs` and `objects`: since `base`.
  void committed(const CommitRef& commit, const CommitRef& base, std::span<const Run> runs,
                 std::span<const ObjectInfo> objects);
  // The checkpoint that commits name from here on holds all up to `as_of`.
  void checkpoint(Generation as_of);

  [[nodiscard]] std::size_t bytes() const;  // held, as encoded
  void check_invariants() const;

 private:
  // As they are held: sorted, without overlaps.
  struct Layer {
    RunMap runs;
    std::vector<ObjectInfo> objects;
    std::size_t bytes = 0;
    void add(std::span<const Run> more_runs, std::span<const ObjectInfo> more_objects);
    [[nodiscard]] bool empty() const { return runs.empty() && objects.empty(); }
  };
  [[nodiscard]] static int level(Generation before, Generation generation);
  [[nodiscard]] std::optional<Changes> with_repeated(int level, const Changes& own) const;
  void forget_from(int layer);
  void keep_bounds();

  std::size_t bytes_max_;
  std::array<CommitRef, kLevelMax + 1> bases_;
  std::array<Layer, kLevelMax> layers_;
  int known_ = 0;  // layers below are complete, so levels up to it can be used; others are empty
  std::vector<Generation> chain_;
  Generation passed_over_;
};

}  // namespace s3crate::volume
