// SPDX-License-Identifier: GPL-3.0-or-later
// What is kept of a checkpoint outside the chain, so that a repair without commits can begin with it: what its map holds (extension 11 of
// the commit that has the roots), and that together with the roots in the index of a segment that is put later (extension 4). Indexes are
// signed, and roots name their pages by hash, so nothing unsigned is believed. s3crate-blk-format(5).
//
// What no generation from `as_of` on needs may be gone (a prune): a repair that begins there does not miss it.
#pragma once

#include "segment/part.h"
#include "volume/companions.h"

namespace s3crate::volume {

// How far in the write order a map has come.
struct MapState {
  std::uint32_t epoch = 0;  // whose batch `committed` is
  Seq committed;
  segment::LinePlace place;  // of the newest generation with segments in it
  std::uint64_t disk_bytes = 0;
  friend bool operator==(const MapState&, const MapState&) = default;
};

// Of any generation; nullopt: a commit below was made by a program that did not note its place in the line.
[[nodiscard]] std::optional<MapState> state_after(const CommitBody& body);

// In commits with roots. Nothing is put if some changes could not be laid (body.runs): then the roots alone are not the map.
void put_map_state(CommitBody& body, const std::optional<MapState>& state);
[[nodiscard]] std::optional<MapState> map_state(const CommitBody& body);

struct CheckpointMark {
  Generation commit, as_of;
  MapState state;
  std::vector<TreeRoot> roots;  // of the map, and of the tables of objects
};
// nullopt: the commit does not say what its map holds.
[[nodiscard]] std::optional<CheckpointMark> mark_of(Generation commit, const CommitBody& checkpoint);
void put_checkpoint_mark(segment::SegmentIndex& index, const CheckpointMark& mark);
// nullopt: there is none, or it makes no sense.
[[nodiscard]] std::optional<CheckpointMark> checkpoint_mark(const segment::SegmentIndex& index);

}  // namespace s3crate::volume
