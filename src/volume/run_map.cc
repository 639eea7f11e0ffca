// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/run_map.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::volume {

Run clip(const Run& run, BlockIndex from, BlockIndex to) {
  Run out = run;
  if (from > run.block) {
    out.block = from;
    if (!run.hole) out.first = static_cast<std::uint16_t>(run.first + (from - run.block));
  }
  BlockIndex end = std::min(run.end(), to);
  CHECK(out.block < end);
  out.count = end - out.block;
  return out;
}

bool joins(const Run& a, const Run& b) {
  if (a.end() != b.block || a.hole != b.hole) return false;
  return a.hole || (a.extent == b.extent && a.first + a.count == b.first);
}

void RunMap::split_at(BlockIndex at) {
  auto it = runs_.upper_bound(at);
  if (it == runs_.begin()) return;
  --it;
  Run& run = it->second;
  if (run.block == at || run.end() <= at) return;
  Run tail = clip(run, at, run.end());
  run.count = at - run.block;
  runs_.emplace_hint(std::next(it), at, tail);
}

void RunMap::erase(BlockIndex from, BlockIndex to) {
  if (from >= to) return;
  split_at(from);
  split_at(to);
  runs_.erase(runs_.lower_bound(from), runs_.lower_bound(to));
}

void RunMap::put(const Run& run) {
  CHECK(run.count > 0);
  erase(run.block, run.end());
  Run merged = run;
  auto next = runs_.lower_bound(run.block);
  if (next != runs_.end() && joins(merged, next->second)) {
    merged.count += next->second.count;
    next = runs_.erase(next);
  }
  if (next != runs_.begin()) {
    Run& before = std::prev(next)->second;
    if (joins(before, merged)) {
      before.count += merged.count;
      return;
    }
  }
  runs_.emplace_hint(next, merged.block, merged);
}

std::map<BlockIndex, Run>::const_iterator RunMap::first_behind(BlockIndex from) const {
  auto it = runs_.upper_bound(from);
  if (it != runs_.begin() && std::prev(it)->second.end() > from) --it;
  return it;
}

BlockIndex RunMap::visit_some(BlockIndex from, BlockIndex to, std::size_t runs_max,
                              const std::function<void(const Run&)>& each) const {
  if (from >= to) return to;
  for (auto it = first_behind(from); it != runs_.end() && it->first < to; ++it) {
    const Run run = clip(it->second, from, to);
    each(run);
    if (--runs_max == 0) return run.end();
  }
  return to;
}

void RunMap::tile(BlockIndex from, BlockIndex to, const std::function<void(const Run&)>& covered,
                  const std::function<void(BlockIndex, BlockIndex)>& gap) const {
  if (from >= to) return;
  BlockIndex at = from;
  for (auto it = first_behind(from); it != runs_.end() && it->first < to; ++it) {
    if (it->first > at) gap(at, it->first);
    Run run = clip(it->second, from, to);
    covered(run);
    at = run.end();
  }
  if (at < to) gap(at, to);
}

void RunMap::visit(BlockIndex from, BlockIndex to, const std::function<void(const Run&)>& each) const {
  tile(from, to, each, [](BlockIndex, BlockIndex) {});
}

void RunMap::update(BlockIndex from, BlockIndex to, const std::function<void(Run&)>& change) {
  split_at(from);
  split_at(to);
  for (auto it = runs_.lower_bound(from); it != runs_.end() && it->first < to; ++it) change(it->second);
}

std::vector<Run> RunMap::runs() const {
  std::vector<Run> out;
  out.reserve(runs_.size());
  for (const auto& [block, run] : runs_) out.push_back(run);
  return out;
}

void RunMap::check_invariants() const {
  const Run* before = nullptr;
  for (const auto& [block, run] : runs_) {
    CHECK(block == run.block && run.count > 0);
    CHECK(before == nullptr || before->end() <= run.block);
    before = &run;
  }
}

}  // namespace s3crate::volume
