// SPDX-License-Identifier: GPL-3.0-or-later
// Extensions of a segment's index, for a repair without commits: its place among the segments of its generation (1), whose map
// a rollback brought back (2), and what an epoch goes on from (3). s3crate-blk-format(5), "Segments".
#pragma once

#include <optional>

#include "segment/segment.h"

namespace s3crate::segment {

struct Part {
  std::uint32_t number = 1;   // from 1 on
  std::uint32_t parts = 1;    // of the generation; 0: a later one says. More than there are: some of it no index tells
  std::uint64_t ordinal = 1;  // of the generation, among those of its epoch that have segments, or extents in their commit
  friend bool operator==(const Part&, const Part&) = default;
};

void put_part(SegmentIndex& index, const Part& part);
// nullopt: there is none, or it makes no sense.
[[nodiscard]] std::optional<Part> part_of(const SegmentIndex& index);

// A place in the line of generations that have segments: behind all of older epochs, and so many of this one.
struct LinePlace {
  std::uint32_t epoch = 0;
  std::uint64_t ordinal = 0;
  friend auto operator<=>(const LinePlace&, const LinePlace&) = default;
};
// Of the first generation of an epoch: the newest one below.
void put_continued(SegmentIndex& index, const LinePlace& place);
[[nodiscard]] std::optional<LinePlace> continued_place(const SegmentIndex& index);

struct RollbackMark {
  Generation generation;  // whose map the disk has from here on
  Hash commit{};          // its commit's
  std::optional<LinePlace> place;  // where it stands in the line; nullopt: its writer did not know
  friend bool operator==(const RollbackMark&, const RollbackMark&) = default;
};
void put_rollback_mark(SegmentIndex& index, const RollbackMark& mark);
[[nodiscard]] bool is_rollback(const SegmentIndex& index);
// nullopt: there is none, or it makes no sense.
[[nodiscard]] std::optional<RollbackMark> rollback_mark(const SegmentIndex& index);

}  // namespace s3crate::segment
