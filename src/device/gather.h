// SPDX-License-Identifier: GPL-3.0-or-later
// Gather: collects what a range of blocks holds, from the newest layer to the oldest.
//
// A layer covers what it holds in full and leaves the rest to the older ones; a partial block is noted, to be laid over what the
// older ones say. Bytes in memory are copied at once, so that no lock is needed afterwards; extents are noted with whatever keeps
// them readable, and fetched later.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "cache/extent_cache.h"
#include "device/generation.h"
#include "volume/tree.h"

namespace s3crate::device {

using PendingSegments = std::map<segment::ObjectId, PendingSegmentPtr>;

class Gather {
 public:
  // `out` is the memory of blocks [from, to).
  Gather(BlockIndex from, BlockIndex to, std::uint32_t block_size, MutableByteView out);
  // Copies nothing: for stored_runs().
  Gather(BlockIndex from, BlockIndex to, std::uint32_t block_size)
      : from_(from), block_size_(block_size), rest_{{from, to}} {}

  void add_batch(const Batch& batch) { add_blocks(batch.blocks(), &batch.holes()); }
  void add_patches(const std::map<BlockIndex, BlockData>& patches) { add_blocks(patches, nullptr); }
  // `pending` has the segments that the runs may name and the store does not have yet.
  void add_runs(const volume::RunMap& runs, const PendingSegments& pending);
  [[nodiscard]] bool complete() const { return rest_.empty(); }
  // What no layer in memory covered is read from the map's tree.
  [[nodiscard]] Result<> add_tree(volume::PageLoader& pages, const volume::MaybeRoot& root);
  // Reads the extents and lays the partial blocks over them.
  [[nodiscard]] Result<> finish(cache::ExtentCache& cache, cache::ExtentSource& store, FetchCounts* counts = nullptr);
  // Instead of finish(): the runs found whose extents come from the store, in order of their blocks.
  [[nodiscard]] std::vector<volume::Run> stored_runs() const;

 private:
  struct Range {
    BlockIndex from, to;
  };
  struct Piece {
    volume::Run run;
    std::optional<PendingExtent> pending;
    std::shared_ptr<const crypto::OpeningKey> key;  // of a pending extent
  };
  struct Patch {
    BlockIndex block;
    ByteSet present;
    Bytes data;
  };
  // `holes` lie below the blocks; may be nullptr.
  void add_blocks(const std::map<BlockIndex, BlockData>& blocks, const volume::RunMap* holes);
  [[nodiscard]] std::uint8_t* at(BlockIndex block) { return out_.data() + (block - from_) * block_size_; }
  void zero(BlockIndex from, BlockIndex to);
  void take(const volume::Run& run, const PendingSegments& pending);
  void note_patch(BlockIndex block, const BlockData& data);

  const BlockIndex from_;
  const std::uint32_t block_size_;
  const MutableByteView out_;  // empty: nothing is copied
  std::vector<Range> rest_;  // not covered yet, in order
  std::vector<Piece> pieces_;
  std::vector<Patch> patches_;  // newest first
};

}  // namespace s3crate::device
