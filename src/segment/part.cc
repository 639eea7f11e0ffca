// SPDX-License-Identifier: GPL-3.0-or-later
#include "segment/part.h"

#include <algorithm>

namespace s3crate::segment {
namespace {

constexpr std::uint16_t kPart = 1, kRollback = 2, kContinued = 3;  // types of extensions

void write(ByteWriter& writer, const LinePlace& place) {
  writer.varint(place.epoch);
  writer.varint(place.ordinal);
}

// To the end of it.
std::optional<LinePlace> read_place(ByteReader& reader) {
  const std::uint64_t epoch = reader.varint(), ordinal = reader.varint();
  if (!reader.done() || epoch > ObjectId::kEpochMax) return std::nullopt;
  return LinePlace{static_cast<std::uint32_t>(epoch), ordinal};
}

const Extension* find(const SegmentIndex& index, std::uint16_t type) {
  const auto extension = std::ranges::find(index.extensions, type, &Extension::type);
  return extension == index.extensions.end() ? nullptr : &*extension;
}

}  // namespace

void put_part(SegmentIndex& index, const Part& part) {
  Extension extension{kPart, false, {}};
  ByteWriter writer(extension.value);
  writer.varint(part.number);
  writer.varint(part.parts);
  writer.varint(part.ordinal);
  replace_extension(index.extensions, std::move(extension));
}

std::optional<Part> part_of(const SegmentIndex& index) {
  const Extension* extension = find(index, kPart);
  if (extension == nullptr) return std::nullopt;
  ByteReader reader(extension->value);
  const std::uint64_t number = reader.varint(), parts = reader.varint(), ordinal = reader.varint();
  constexpr std::uint64_t kMax = 0xffffffff;
  if (!reader.done() || number == 0 || ordinal == 0 || number > kMax || parts > kMax || (parts != 0 && number > parts)) return std::nullopt;
  return Part{static_cast<std::uint32_t>(number), static_cast<std::uint32_t>(parts), ordinal};
}

void put_continued(SegmentIndex& index, const LinePlace& place) {
  Extension extension{kContinued, false, {}};
  ByteWriter writer(extension.value);
  write(writer, place);
  replace_extension(index.extensions, std::move(extension));
}

std::optional<LinePlace> continued_place(const SegmentIndex& index) {
  const Extension* extension = find(index, kContinued);
  if (extension == nullptr) return std::nullopt;
  ByteReader reader(extension->value);
  return read_place(reader);
}

void put_rollback_mark(SegmentIndex& index, const RollbackMark& mark) {
  Extension extension{kRollback, false, {}};
  ByteWriter writer(extension.value);
  writer.u64(mark.generation.value);
  writer.raw(mark.commit);
  if (mark.place) write(writer, *mark.place);
  replace_extension(index.extensions, std::move(extension));
}

bool is_rollback(const SegmentIndex& index) { return find(index, kRollback) != nullptr; }

std::optional<RollbackMark> rollback_mark(const SegmentIndex& index) {
  const Extension* extension = find(index, kRollback);
  if (extension == nullptr) return std::nullopt;
  ByteReader reader(extension->value);
  RollbackMark mark;
  mark.generation = Generation(reader.u64());
  mark.commit = reader.array<sizeof(Hash)>();
  if (reader.done()) return mark;
  mark.place = read_place(reader);
  return mark.place ? std::optional(mark) : std::nullopt;
}

}  // namespace s3crate::segment
