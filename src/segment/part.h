// SPDX-License-Identifier: GPL-3.0-or-later
// Extension 1 of a segment's index: its place among those of its generation. s3crate-blk-format(5), "Segments".
#pragma once

#include <optional>

#include "segment/segment.h"

namespace s3crate::segment {

struct Part {
  std::uint32_t number = 1;   // from 1 on
  std::uint32_t parts = 1;    // of the generation; 0: a later one says. More than there are: some of it no index tells
  std::uint64_t ordinal = 1;  // of the generation, among those of its epoch that have segments
  friend bool operator==(const Part&, const Part&) = default;
};

void put_part(SegmentIndex& index, const Part& part);
// nullopt: there is none, or it makes no sense.
[[nodiscard]] std::optional<Part> part_of(const SegmentIndex& index);

}  // namespace s3crate::segment
