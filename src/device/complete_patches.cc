// SPDX-License-Identifier: GPL-3.0-or-later
// Partial blocks of a cut generation become whole: what is below them comes from older layers, which do not change any more in what
// they say. Parts that make a whole block together need nothing from there.
#include <algorithm>
#include <utility>

#include "device/uploader.h"

namespace s3crate::device {
namespace {

constexpr std::uint64_t kCompletionBlocks = 64;
// A second apart: what is lost then was acknowledged, and a store may show for a while what was before. Once a generation has
// waited so long, each further block gets the few tries that a line that flips bits calls for, and in the end none: all other
// uploads wait as well.
constexpr int kDamagedTries = 60;
constexpr int kDamagedTriesFew = 5;
constexpr int kDamagedTriesMax = 600;  // of all blocks of a generation

// Of a damaged block, when others of its generation took so many.
int tries_for(int waited) {
  if (waited >= kDamagedTriesMax) return 1;
  return std::max(kDamagedTriesFew, kDamagedTries - waited);
}

void add_extent(EncodedBatch& batch, BlockIndex block, std::uint64_t blocks, SegmentSealer::Sealed sealed,
                std::shared_ptr<const Bytes> stored, Seq seq) {
  batch.runs.push_back(run_of(block, blocks, sealed));
  sealed.extent.memory = std::move(stored);
  sealed.extent.seq = seq;
  batch.extents.emplace_back(sealed.segment, std::move(sealed.extent));
}

}  // namespace

Result<EncodedBatch> Uploader::whole_blocks(BlockIndex from, const BufferPtr& buffer, Seq seq) {
  const std::uint32_t block_size = head_.block_size();
  std::map<BlockIndex, BlockData> whole;
  for (std::uint64_t i = 0; i < buffer->size / block_size; ++i)
    whole.emplace(from + i, BlockData{buffer, static_cast<std::uint32_t>(i * block_size), true, {}});
  EncodedBatch out;
  Result<> failed;
  auto data = [&](BlockIndex block, ByteView raw) {
    auto stored = std::make_shared<Bytes>();
    auto sealed = parts_.sealer.seal(raw, *stored);
    if (sealed) add_extent(out, block, raw.size() / block_size, std::move(*sealed), std::move(stored), seq);
    else failed = fail(sealed.error());
  };
  auto zeros = [&](BlockIndex block, std::uint64_t n) {
    out.holes.push_back({.block = block, .count = n, .hole = true, .first = 0, .extent = {}});
  };
  std::deque<Bytes> joined;
  for_each_extent(whole, block_size, parts_.volume.object().extent_bytes, joined, data, zeros);
  TRY(failed);
  return out;
}

Result<EncodedBatch> Uploader::lost_block(BlockIndex block, Seq seq) {
  EncodedBatch out;
  auto stored = std::make_shared<Bytes>();
  auto sealed = TRY(parts_.sealer.seal_lost(*stored));
  add_extent(out, block, 1, std::move(sealed), std::move(stored), seq);
  return out;
}

Result<> Uploader::complete_patches(PendingGeneration& generation) {
  std::vector<BlockIndex> patches;
  {
    MutexLock lock(head_.mutex());
    for (const auto& [block, patch] : generation.patches) patches.push_back(block);
  }
  std::uint32_t block_size = head_.block_size();
  std::uint64_t stretch_max = kCompletionBlocks;
  int tries = 0, waited = 0;
  for (std::size_t begin = 0; begin < patches.size();) {
    std::size_t end = begin + 1;
    while (end < patches.size() && end - begin < stretch_max && patches[end] == patches[end - 1].next()) ++end;
    BlockIndex from = patches[begin];
    std::uint64_t count = end - begin;
    auto buffer = std::make_shared<Buffer>(count * block_size, false);
    Gather gather(from, from + count, block_size, {buffer->bytes.get(), buffer->size});
    volume::MaybeRoot root = head_.gather_as_of(generation, gather);
    auto read = gather.add_tree(parts_.volume.pages(), root);
    if (read) read = gather.finish(parts_.cache, parts_.source);
    const bool lost = is(read, Code::kLost);  // by an earlier write
    const bool damaged = lost || is(read, Code::kCorrupt) || is(read, Code::kNotFound);
    if (damaged && count > 1) {
      stretch_max = 1;
      continue;
    }
    if (damaged && !lost && ++tries < tries_for(waited)) {
      // What came damaged once may come sound the next time; and what is lost was acknowledged.
      TRY(pause(read.error()));
      continue;
    }
    waited += std::exchange(tries, 0);
    if (damaged) {
      // The rest of the block is lost, so the block is. That must be stored: a sound copy of what it held before this write may
      // turn up yet.
      parts_.trouble(read.error().within(fmt::format(
          "block {} is damaged and a part of it was written: it is lost, until it is written as a whole", from)));
    } else {
      TRY(read);
    }
    EncodedBatch completed = TRY(damaged ? lost_block(from, generation.last) : whole_blocks(from, buffer, generation.last));
    head_.complete_patches(generation, completed);
    begin = end;
  }
  return {};
}

}  // namespace s3crate::device
