// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/checkpoint_mark.h"

#include <algorithm>

#include "volume/codec.h"
#include "volume/line_place.h"

namespace s3crate::volume {
namespace {

constexpr std::uint16_t kMapState = 11;  // type of the extension of a body
constexpr std::uint16_t kMark = 4;       // and of an index

using segment::Extension;

void put_state(ByteWriter& writer, const MapState& state) {
  writer.varint(state.epoch);
  writer.varint(state.committed.value);
  writer.varint(state.place.epoch);
  writer.varint(state.place.ordinal);
  writer.varint(state.disk_bytes);
}

// nullopt: its numbers make no sense.
std::optional<MapState> get_state(ByteReader& reader) {
  const std::uint64_t epoch = reader.varint(), committed = reader.varint(), place_epoch = reader.varint(), ordinal = reader.varint();
  const std::uint64_t disk_bytes = reader.varint();
  if (epoch > segment::ObjectId::kEpochMax || place_epoch > segment::ObjectId::kEpochMax || disk_bytes > segment::kDiskBytesMax) return std::nullopt;
  return MapState{static_cast<std::uint32_t>(epoch), Seq(committed), {static_cast<std::uint32_t>(place_epoch), ordinal}, disk_bytes};
}

bool is_marked(TreeId tree) { return tree == TreeId::map || tree == TreeId::objects; }

}  // namespace

std::optional<MapState> state_after(const CommitBody& body) {
  const auto place = line_place(body);
  if (!place) return std::nullopt;
  return MapState{body.epoch, body.committed, *place, body.disk_bytes};
}

void put_map_state(CommitBody& body, const std::optional<MapState>& state) {
  if (!state || !body.runs.empty()) return;
  Extension extension{kMapState, false, {}};
  ByteWriter writer(extension.value);
  put_state(writer, *state);
  segment::replace_extension(body.extensions, std::move(extension));
}

std::optional<MapState> map_state(const CommitBody& body) {
  const auto extension = std::ranges::find(body.extensions, kMapState, &Extension::type);
  if (extension == body.extensions.end() || !body.runs.empty()) return std::nullopt;
  ByteReader reader(extension->value);
  const auto state = get_state(reader);
  return reader.done() ? state : std::nullopt;
}

std::optional<CheckpointMark> mark_of(Generation commit, const CommitBody& checkpoint) {
  const auto state = map_state(checkpoint);
  if (!state) return std::nullopt;
  CheckpointMark mark{commit, checkpoint.checkpoint.as_of, *state, {}};
  std::ranges::copy_if(checkpoint.roots, std::back_inserter(mark.roots), is_marked, &TreeRoot::tree);
  return mark;
}

void put_checkpoint_mark(segment::SegmentIndex& index, const CheckpointMark& mark) {
  Extension extension{kMark, false, {}};
  ByteWriter writer(extension.value);
  writer.varint(mark.commit.value);
  writer.varint(mark.as_of.value);
  put_state(writer, mark.state);
  put_roots(writer, mark.roots);
  if (extension.value.size() <= segment::kExtensionBytesMax) segment::replace_extension(index.extensions, std::move(extension));
}

std::optional<CheckpointMark> checkpoint_mark(const segment::SegmentIndex& index) {
  const auto extension = std::ranges::find(index.extensions, kMark, &Extension::type);
  if (extension == index.extensions.end()) return std::nullopt;
  ByteReader reader(extension->value);
  CheckpointMark mark;
  mark.commit = Generation(reader.varint());
  mark.as_of = Generation(reader.varint());
  const auto state = get_state(reader);
  mark.roots = get_roots(reader);
  if (!reader.done() || !state || mark.as_of >= mark.commit || !std::ranges::all_of(mark.roots, is_marked, &TreeRoot::tree)) return std::nullopt;
  mark.state = *state;
  return mark;
}

}  // namespace s3crate::volume
