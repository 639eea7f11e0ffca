// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/occupancy.h"

#include <algorithm>

#include "base/parallel.h"

namespace s3crate::device {

namespace {

// Of the map's leaves, so many are looked at to know how much data there is: all of them, if there are not more.
constexpr std::size_t kSamples = 64;
constexpr std::size_t kSamplesTogether = 16;

struct Allocated {
  std::uint64_t in_memory = 0, in_tree = 0;  // blocks
};

// What the layers in memory hold between two blocks, and what of the tree they leave.
Result<Allocated> count_between(Head& head, volume::PageLoader& pages, BlockIndex from, BlockIndex to, bool with_tree) {
  Allocated out;
  const auto count = [&](const volume::Run& run) { out.in_tree += run.hole ? 0 : run.count; };
  while (from < to) {
    const Head::Classified seen = head.classify(from, to);
    for (const Head::Part& part : seen.parts) {
      if (part.kind == Head::Kind::data) out.in_memory += part.to - part.from;
      if (part.kind == Head::Kind::tree && with_tree)
        TRY(volume::map_lookup(pages, seen.root, part.from, part.to, count));
    }
    from = seen.until;
  }
  return out;
}

Result<std::uint64_t> count_once(Executor& executor, Head& head, volume::PageLoader& pages) {
  const BlockIndex end(head.disk_bytes() / head.block_size());
  double blocks = static_cast<double>(TRY(count_between(head, pages, BlockIndex(0), end, false)).in_memory);
  const volume::MaybeRoot root = head.classify(BlockIndex(0), BlockIndex(1)).root;
  std::vector<Result<double>> samples(root ? TRY(volume::map_samples(pages, *root, kSamples)) : 0);
  parallel(executor, samples.size(), kSamplesTogether, [&](std::size_t i) {
    samples[i] = [&]() -> Result<double> {
      const auto sample = TRY(volume::map_sample(pages, *root, i, samples.size()));
      const Allocated counted = TRY(count_between(head, pages, sample.from, std::min(sample.to, end), true));
      return sample.leaves * static_cast<double>(counted.in_tree);
    }();
  });
  for (const auto& sample : samples) blocks += TRY(sample);
  return std::min(static_cast<std::uint64_t>(blocks + 0.5), end.value);
}

}  // namespace

Result<std::uint64_t> seek_in(Head& head, volume::PageLoader& pages, std::uint64_t offset, std::uint64_t end_bytes, bool hole) {
  const std::uint64_t bs = head.block_size();
  const BlockIndex end(end_bytes / bs);
  for (BlockIndex at(offset / bs); at < end;) {
    const Head::Classified seen = head.classify(at, end);
    // The first data of the tree behind the parts so far: between changes that are far apart there may be none.
    std::optional<BlockIndex> tree_data;
    for (const Head::Part& part : seen.parts) {
      BlockIndex found = part.to;
      if (part.kind != Head::Kind::tree) {
        if ((part.kind == Head::Kind::hole) == hole) found = part.from;
      } else if (hole) {
        found = TRY(volume::map_seek(pages, seen.root, part.from, part.to, true));
      } else {
        if (!tree_data || *tree_data < part.from)
          tree_data = TRY(volume::map_seek(pages, seen.root, part.from, seen.until, false));
        found = std::min(*tree_data, part.to);
      }
      if (found < part.to) return std::max(offset, found.value * bs);
    }
    at = seen.until;
  }
  return end_bytes;
}

Result<std::uint64_t> count_allocated(Executor& executor, Head& head, volume::PageLoader& pages) {
  // What a checkpoint moves into the tree meanwhile would count twice.
  for (int tries = 0;; ++tries) {
    const std::uint64_t checkpoints = head.counters().checkpoints;
    const std::uint64_t blocks = TRY(count_once(executor, head, pages));
    if (tries == 2 || head.counters().checkpoints == checkpoints) return blocks * head.block_size();
  }
}

}  // namespace s3crate::device
