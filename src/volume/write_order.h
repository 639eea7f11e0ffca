// SPDX-License-Identifier: GPL-3.0-or-later
// Write order: what the indexes of segments alone say of the disk, when no commit is left to say it. Pure: indexes in, a map out.
//
// All segments of one generation tell the same range of batches, which part of how many each of them is, and the how-manieth of its
// epoch the generation is (segment/part.h); the first one of an epoch also which one it goes on from. So it is known of each generation
// whether it is there as a whole, and of the line of generations where one is missing. What an epoch stored beyond the generation that the next one
// goes on from, and epochs that nobody went on from, were never part of the disk.
//
// A rollback stands in the line as well, with where the generation stands whose map it brought back: what is between the two does not count.
//
// What is vouched for is the longest prefix of the line without a gap in what counts of it, and in which every batch is there that justified
// leaving something out. Beyond it any block may have been written by what is missing; so past a gap only that is vouched for which was
// written after the last one.
//
// Taken for a gap as well, as no index tells of it: generations of writers whose indexes did not tell their parts; and of writers that did
// not tell what they went on from, a tail of batches that changed nothing, if a new epoch follows. At the end of the line, an import whose last segment is not there was not done.
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
  std::optional<segment::LinePlace> goes_on_from;
  bool rolls_back = false;
  std::optional<segment::RollbackMark> rollback;  // nullopt although it rolls back: it makes no sense
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
  std::optional<std::size_t> back_to;  // a rollback: it has what there was after so many of the line
};
// What the line goes on from; as it is here, the empty disk.
struct LineStart {
  BatchNumber last;
  std::optional<segment::LinePlace> place = segment::LinePlace{};  // of the newest generation with segments up to there; nullopt: unknown
  std::uint64_t disk_bytes = 0;
  bool vouched = true;  // what the disk was there is known
};
struct WriteOrder {
  std::vector<OrderedGeneration> line;  // in write order
  std::size_t prefix = 0;               // so many of them are vouched for
  BatchNumber last;                     // of the prefix
  bool ends_early = false;              // what all of them left out, something behind the end of the line had
  std::vector<std::size_t> dropped;     // segments (`which`) that were never part of the disk
  std::vector<std::size_t> unfinished;  // and those of an import that did not come to its end
  // Which of the first n are the disk, oldest first.
  [[nodiscard]] std::vector<std::size_t> path(std::size_t n) const;
};
// `places` are all behind `start`.
[[nodiscard]] WriteOrder order(std::span<const IndexedPlace> places, const LineStart& start = {});

// Lays generations over each other, in write order, over the empty disk, or over a map with `changes`.
class OrderedMap {
 public:
  OrderedMap() = default;
  OrderedMap(RunMap changes, std::uint64_t disk_bytes);
  using Segment = std::pair<segment::ObjectKey, const segment::SegmentIndex*>;
  // The segments of one generation. kCorrupt: an index contradicts itself; then nothing was laid.
  [[nodiscard]] Result<> lay(std::span<const Segment> segments, std::uint64_t disk_bytes, std::uint32_t block_size);
  // Something is missing here: before a generation, or of it; then behind it as well, as that may be what was written last.
  void gap() { since_gap_.clear(), gaps_ = true; }

  [[nodiscard]] const RunMap& map() const { return map_; }  // over the empty disk without holes
  [[nodiscard]] std::uint64_t disk_bytes() const { return disk_bytes_; }
  // Calls `each` with the blocks of the disk that may be others than the map says, in order.
  void unvouched(std::uint32_t block_size, const std::function<void(BlockIndex, BlockIndex)>& each) const;

 private:
  RunMap map_, since_gap_;
  bool gaps_ = false, keeps_holes_ = false;
  std::uint64_t disk_bytes_ = 0;
  BlockIndex reach_;  // behind all blocks that the disk ever had, as far as is known
};

}  // namespace s3crate::volume
