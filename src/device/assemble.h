// SPDX-License-Identifier: GPL-3.0-or-later
// Makes segments of a cut generation: which extents go in, where each stands, and the objects' bytes.
//
// An extent is left out only if no run of its own generation refers to it any more: then later batches of the same generation
// overwrote or discarded all its blocks. (Compared with the head instead, an fsynced write would be lost with an overwriter
// that is lost later.)
#pragma once

#include "base/buffer_pool.h"
#include "device/generation.h"
#include "segment/part.h"
#include "volume/chain.h"

namespace s3crate::device {

struct PlacedExtent {
  PendingExtent extent;
  std::uint32_t offset = 0;  // in the object
};
struct PlacedSegment {
  PendingSegmentPtr segment;
  std::vector<PlacedExtent> extents;  // by number
  segment::SegmentIndex index;
  std::uint64_t extents_end = 0;
  std::uint64_t blocks = 0;
};
struct PlacedGeneration {
  // The one segment is to be none: its extents stand in the commit, one behind the other, and have no index.
  bool is_inline = false;
  std::vector<PlacedSegment> segments;
  std::vector<volume::Run> runs;        // with offsets
  std::uint64_t left_out = 0;           // extents
};

struct PlaceContext {
  std::uint32_t epoch = 0;
  std::uint32_t continues_epoch = 0;  // whose batch the one before generation.first is
  std::uint64_t ordinal = 1;          // of the generation, among those of the epoch that have data
  std::uint64_t inline_max = 0;       // extents of so many bytes in all, if they are in memory, may stand in the commit
  std::optional<segment::LinePlace> continues = {};  // of the first of them: the newest one below; nullopt: unknown
};
// `generation` is cut and has no patches. If all its runs are holes, `make_empty` makes the segment that their index stands in.
[[nodiscard]] Result<PlacedGeneration> place(const PendingGeneration& generation, const PlaceContext& context,
                                             const std::function<Result<PendingSegmentPtr>()>& make_empty);

// Reads the extents from where they are, checks them, and makes the object, in `memory`. An extent that the journal does not give back as it
// took it is kCorrupt; or, with `damaged`, goes in as it reads (zeros if it cannot be read) and is told there: its digest then fails
// whoever reads it, and nothing else is held up.
struct AssembledSegment {
  BufferPool::Lease object;
  segment::FinishedSegment finished;
};
[[nodiscard]] Result<AssembledSegment> assemble(const PlacedSegment& placed, const segment::SegmentHeader& header,
                                                const volume::KeyRing& keys, Random& random, BufferPool& memory,
                                                std::vector<Error>* damaged);
// Of an inline one, which is in memory and no journal's, only the extents.
[[nodiscard]] Bytes assemble_inline(const PlacedSegment& placed, std::vector<Error>& damaged);

}  // namespace s3crate::device
