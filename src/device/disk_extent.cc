// SPDX-License-Identifier: GPL-3.0-or-later
// Where a disk has data, and how much: for SEEK_DATA, SEEK_HOLE and st_blocks, on disks and maps of any size.
#include <algorithm>

#include "base/parallel.h"
#include "device/disk_impl.h"

namespace s3crate::device {

namespace {
// Of the map's leaves, so many are looked at to know how much data there is: all of them, if there are not more.
constexpr std::size_t kSamples = 64;
constexpr std::size_t kSamplesTogether = 16;
}  // namespace

Result<std::uint64_t> DiskImpl::seek(std::uint64_t offset, bool hole) { return seek_in(offset, size(), hole); }

Result<std::uint64_t> DiskImpl::seek_in(std::uint64_t offset, std::uint64_t end_bytes, bool hole) {
  const std::uint64_t bs = block_size();
  const BlockIndex end(end_bytes / bs);
  for (BlockIndex at(offset / bs); at < end;) {
    const Head::Classified seen = head_->classify(at, end);
    // The first data of the tree behind the parts so far: between changes that are far apart there may be none.
    std::optional<BlockIndex> tree_data;
    for (const Head::Part& part : seen.parts) {
      BlockIndex found = part.to;
      if (part.kind != Head::Kind::tree) {
        if ((part.kind == Head::Kind::hole) == hole) found = part.from;
      } else if (hole) {
        found = TRY(volume::map_seek(volume_.pages(), seen.root, part.from, part.to, true));
      } else {
        if (!tree_data || *tree_data < part.from)
          tree_data = TRY(volume::map_seek(volume_.pages(), seen.root, part.from, seen.until, false));
        found = std::min(*tree_data, part.to);
      }
      if (found < part.to) return std::max(offset, found.value * bs);
    }
    at = seen.until;
  }
  return end_bytes;
}

// What the layers in memory hold between two blocks, and what of the tree they leave.
Result<DiskImpl::Allocated> DiskImpl::count_between(BlockIndex from, BlockIndex to, bool with_tree) {
  Allocated out;
  const auto count = [&](const volume::Run& run) { out.in_tree += run.hole ? 0 : run.count; };
  while (from < to) {
    const Head::Classified seen = head_->classify(from, to);
    for (const Head::Part& part : seen.parts) {
      if (part.kind == Head::Kind::data) out.in_memory += part.to - part.from;
      if (part.kind == Head::Kind::tree && with_tree)
        TRY(volume::map_lookup(volume_.pages(), seen.root, part.from, part.to, count));
    }
    from = seen.until;
  }
  return out;
}

Result<std::uint64_t> DiskImpl::count_allocated() {
  // What a checkpoint moves into the tree meanwhile would count twice.
  for (int tries = 0;; ++tries) {
    const std::uint64_t checkpoints = head_->counters().checkpoints;
    const std::uint64_t blocks = TRY(count_once());
    if (tries == 2 || head_->counters().checkpoints == checkpoints) return blocks * block_size();
  }
}

Result<std::uint64_t> DiskImpl::count_once() {
  const BlockIndex end(size() / block_size());
  double blocks = static_cast<double>(TRY(count_between(BlockIndex(0), end, false)).in_memory);
  const volume::MaybeRoot root = head_->classify(BlockIndex(0), BlockIndex(1)).root;
  std::vector<Result<double>> samples(root ? TRY(volume::map_samples(volume_.pages(), *root, kSamples)) : 0);
  parallel(env_.executor, samples.size(), kSamplesTogether, [&](std::size_t i) {
    samples[i] = [&]() -> Result<double> {
      const auto sample = TRY(volume::map_sample(volume_.pages(), *root, i, samples.size()));
      const Allocated counted = TRY(count_between(sample.from, std::min(sample.to, end), true));
      return sample.leaves * static_cast<double>(counted.in_tree);
    }();
  });
  for (const auto& sample : samples) blocks += TRY(sample);
  return std::min(static_cast<std::uint64_t>(blocks + 0.5), end.value);
}

// One at a time counts, when something changed since the last; others get the last one's figure.
Result<std::uint64_t> DiskImpl::allocated_bytes() {
  const HeadCounters now = head_->counters();
  const std::uint64_t state = now.batches + now.commits + now.checkpoints + now.dirty_bytes;
  {
    MutexLock lock(allocated_mu_);
    if (allocated_ && (counting_ || allocated_state_ == state)) return *allocated_;
    counting_ = true;
  }
  auto counted = count_allocated();
  MutexLock lock(allocated_mu_);
  counting_ = false;
  if (!counted) return counted;
  allocated_ = *counted;
  allocated_state_ = state;
  return *counted;
}

}  // namespace s3crate::device
