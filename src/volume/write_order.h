// SPDX-License-Identifier: GPL-3.0-or-later
// Write order: what the indexes of segments alone say of the disk, when no commit is left to say it. Pure: indexes in, a map out.
//
// All segments of one generation tell the same range of batches, which part of how many each of them is, and the how-manieth of its
// epoch the generation is (segment/part.h); the first one of an epoch also what it continues. So it is known of each generation whether it
// is there as a whole, and of the line of generations where one is missing. An epoch tells where it left the one before: what that one stored
// beyond, and epochs that nobody went on from, were never part of the disk.
//
// What is vouched for is the longest prefix of the line without a gap, and in which every batch is there that justified leaving
// something out. Beyond it any block may have been written by what is missing; so past a gap only that is vouched for which was
// written after the last one.
//
// Taken for a gap as well, as no index tells of it: generations of writers whose indexes did not tell their parts; a tail of batches
// that changed nothing, if a new epoch follows. What cannot be noticed: a rollback, which puts no segment; and that a resize is missing
// which took nothing but blocks beyond an end that the disk has outgrown again, all in epochs of their own without a write.
#pragma once

#include "segment/part.h"
#include "volume/run_map.h"

namespace s3crate::volume {

// The place of one segment. `which` is the caller's.
struct IndexedPlace {
  std::size_t which = 0;
  std::uint32_t epoch = 0, continues_epoch = 0;
  Seq continues, first, last, needs;
  std::uint64_t disk_bytes = 0;
  std::uint64_t tail_bytes = 0;  // so long it says that the disk was, and is no longer: the end of a hole that begins where the disk ends
  std::vector<segment::SeqRange> abandoned;
  std::optional<segment::Part> part;
};
[[nodiscard]] IndexedPlace place_of(std::size_t which, const segment::SegmentIndex& index, std::uint32_t block_size);

// A batch as those know it who acknowledged it.
struct BatchNumber {
  std::uint32_t epoch = 0;
  Seq seq;
  friend auto operator<=>(const BatchNumber&, const BatchNumber&) = default;
};

struct OrderedGeneration {
  std::vector<std::size_t> segments;  // `which`
  std::uint32_t epoch = 0;
  Seq first, last;
  std::uint64_t disk_bytes = 0;
  std::string gap;    // if not empty: why what is before this one, or a part of it, is missing
  bool whole = true;  // nothing of it is
};
struct WriteOrder {
  std::vector<OrderedGeneration> line;  // in write order
  std::size_t prefix = 0;               // so many of them are vouched for
  BatchNumber last;                     // of the prefix
  std::size_t dropped = 0;              // segments that were never part of the disk
};
[[nodiscard]] WriteOrder order(std::span<const IndexedPlace> places);

// Lays generations over each other, in write order.
class OrderedMap {
 public:
  using Segment = std::pair<segment::ObjectKey, const segment::SegmentIndex*>;
  // The segments of one generation. kCorrupt: an index contradicts itself; then nothing was laid.
  [[nodiscard]] Result<> lay(std::span<const Segment> segments, std::uint64_t disk_bytes, std::uint32_t block_size);
  // Something is missing here: before a generation, or of it; then behind it as well, as that may be what was written last.
  void gap() { since_gap_.clear(), gaps_ = true; }

  [[nodiscard]] const RunMap& map() const { return map_; }  // without holes
  [[nodiscard]] std::uint64_t disk_bytes() const { return disk_bytes_; }
  // Calls `each` with the blocks of the disk that may be others than the map says, in order.
  void unvouched(std::uint32_t block_size, const std::function<void(BlockIndex, BlockIndex)>& each) const;

 private:
  RunMap map_, since_gap_;
  bool gaps_ = false;
  std::uint64_t disk_bytes_ = 0;
};

}  // namespace s3crate::volume
