// SPDX-License-Identifier: GPL-3.0-or-later
// RunMap: an ordered set of runs without overlaps: one delta layer of the map in memory. A later put replaces what it covers.
// Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "segment/types.h"

namespace s3crate::volume {

using segment::Run;

// The part of `run` that lies in [from, to), which must overlap it.
[[nodiscard]] Run clip(const Run& run, BlockIndex from, BlockIndex to);
// Whether `b` goes on where `a` ends, in blocks and in the extent (or both are holes).
[[nodiscard]] bool joins(const Run& a, const Run& b);

class RunMap {
 public:
  // Replaces all of [run.block, run.end()). Joins with its neighbours where they go on.
  void put(const Run& run);
  // Takes everything in [from, to) out.
  void erase(BlockIndex from, BlockIndex to);

  // Calls `each` with the runs that overlap [from, to), clipped to it, in order.
  void visit(BlockIndex from, BlockIndex to, const std::function<void(const Run&)>& each) const;
  // The same, of the first `runs_max` of them. Answers where the last one ends, or `to` if these are all.
  [[nodiscard]] BlockIndex visit_some(BlockIndex from, BlockIndex to, std::size_t runs_max,
                                      const std::function<void(const Run&)>& each) const;
  // Calls `covered` and `gap` so that together they tile [from, to) in order.
  void tile(BlockIndex from, BlockIndex to, const std::function<void(const Run&)>& covered,
            const std::function<void(BlockIndex, BlockIndex)>& gap) const;
  // Calls `change` on each run that overlaps [from, to): it may alter the extent, not the blocks.
  void update(BlockIndex from, BlockIndex to, const std::function<void(Run&)>& change);

  [[nodiscard]] std::vector<Run> runs() const;
  [[nodiscard]] std::size_t size() const { return runs_.size(); }
  [[nodiscard]] bool empty() const { return runs_.empty(); }
  void clear() { runs_.clear(); }
  void check_invariants() const;

 private:
  void split_at(BlockIndex at);
  [[nodiscard]] std::map<BlockIndex, Run>::const_iterator first_behind(BlockIndex from) const;
  std::map<BlockIndex, Run> runs_;
};

}  // namespace s3crate::volume
