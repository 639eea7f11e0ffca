// SPDX-License-Identifier: GPL-3.0-or-later
// What the layers of the head say, all together or up to a generation: for readers, for SEEK_DATA, for the encoder.
#include <algorithm>

#include "device/head.h"

namespace s3crate::device {

using volume::MaybeRoot;
using volume::Run;

namespace {
constexpr std::size_t kClassifiedMax = 256;
}  // namespace

void Head::add_overlay(Gather& gather) const {
  if (current_) gather.add_batch(*current_);
  for (auto batch = frozen_.rbegin(); batch != frozen_.rend() && !gather.complete(); ++batch) gather.add_batch(**batch);
}

void Head::add_committed(Gather& gather) const {
  const PendingSegments none;
  gather.add_runs(committed_, none);
  if (checkpointing_) gather.add_runs(*checkpointing_, none);
}

MaybeRoot Head::gather(Gather& gather) {
  MutexLock lock(mu_);
  add_overlay(gather);
  for (auto it = generations_.rbegin(); it != generations_.rend() && !gather.complete(); ++it) {
    gather.add_patches((*it)->patches);
    gather.add_runs((*it)->runs, pending_);
  }
  add_committed(gather);
  return root_;
}

MaybeRoot Head::gather_as_of(const PendingGeneration& generation, Gather& gather) {
  MutexLock lock(mu_);
  for (auto it = generations_.rbegin(); it != generations_.rend(); ++it) {
    if ((*it)->ordinal > generation.ordinal) continue;
    gather.add_patches((*it)->patches);
    gather.add_runs((*it)->runs, pending_);
  }
  add_committed(gather);
  return root_;
}

Head::Classified Head::classify(BlockIndex from, BlockIndex to) {
  MutexLock lock(mu_);
  Classified out;
  out.root = root_;
  out.until = to;
  // The layers laid over each other, oldest first; what none of them holds is for the tree.
  volume::RunMap all;
  Run data{.block = from, .count = 1, .hole = false, .first = 0, .extent = {}};
  auto mark = [&](BlockIndex at, BlockIndex until, bool hole) {
    Run run = data;
    run.block = at;
    run.count = until - at;
    run.hole = hole;
    run.extent.number = static_cast<std::uint32_t>(at.value);  // keeps neighbours apart; never looked at
    all.put(run);
  };
  auto mark_runs = [&](const volume::RunMap& runs) {
    out.until = std::min(out.until, runs.visit_some(from, to, kClassifiedMax, [&](const Run& run) { mark(run.block, run.end(), run.hole); }));
  };
  auto mark_blocks = [&](const std::map<BlockIndex, BlockData>& blocks) {
    std::size_t left = kClassifiedMax;
    for (auto it = blocks.lower_bound(from); it != blocks.end() && it->first < to; ++it) {
      mark(it->first, it->first.next(), false);
      if (--left > 0) continue;
      out.until = std::min(out.until, it->first.next());
      break;
    }
  };
  auto mark_batch = [&](const Batch& batch) {
    mark_runs(batch.holes());
    mark_blocks(batch.blocks());
  };
  if (checkpointing_) mark_runs(*checkpointing_);
  mark_runs(committed_);
  for (const GenerationPtr& generation : generations_) {
    mark_runs(generation->runs);
    mark_blocks(generation->patches);
  }
  for (const auto& batch : frozen_) mark_batch(*batch);
  if (current_) mark_batch(*current_);
  all.tile(from, out.until,
           [&](const Run& run) { out.parts.push_back({run.block, run.end(), run.hole ? Kind::hole : Kind::data}); },
           [&](BlockIndex at, BlockIndex until) { out.parts.push_back({at, until, Kind::tree}); });
  return out;
}

bool Head::surely_hole(BlockIndex from, BlockIndex to, volume::PageLoader& pages) {
  bool hole = true;
  std::vector<std::pair<BlockIndex, BlockIndex>> for_tree;
  MaybeRoot root;
  {
    MutexLock lock(mu_);
    std::vector<std::pair<BlockIndex, BlockIndex>> rest{{from, to}};
    auto add = [&](const volume::RunMap& runs) {
      std::vector<std::pair<BlockIndex, BlockIndex>> next;
      for (auto [a, b] : rest)
        runs.tile(a, b, [&](const Run& run) { hole = hole && run.hole; },
                  [&](BlockIndex x, BlockIndex y) { next.emplace_back(x, y); });
      rest = std::move(next);
    };
    for (auto it = generations_.rbegin(); it != generations_.rend(); ++it) {
      auto patch = (*it)->patches.lower_bound(from);
      if (patch != (*it)->patches.end() && patch->first < to) return false;
      add((*it)->runs);
    }
    add(committed_);
    if (checkpointing_) add(*checkpointing_);
    for_tree = std::move(rest);
    root = root_;
  }
  return hole && std::ranges::all_of(for_tree, [&](auto range) {
    return volume::map_surely_hole(pages, root, range.first, range.second);
  });
}

}  // namespace s3crate::device
