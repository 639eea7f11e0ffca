// SPDX-License-Identifier: GPL-3.0-or-later
#include "segment/codec.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::segment {

std::uint64_t get_up_to(ByteReader& reader, std::uint64_t max) {
  const std::uint64_t v = reader.varint();
  if (v <= max) return v;
  reader.fail();
  return 0;
}

std::uint64_t get_above(ByteReader& reader, std::uint64_t base, std::uint64_t max) {
  const std::uint64_t v = reader.varint();
  if (base <= max && v <= max - base) return base + v;
  reader.fail();
  return 0;
}

void put_delta(ByteWriter& writer, std::uint64_t value, std::uint64_t previous) {
  const std::uint64_t difference = value - previous;
  writer.varint(difference << 1 ^ (difference >> 63 != 0 ? ~std::uint64_t{0} : 0));
}

std::uint64_t get_delta(ByteReader& reader, std::uint64_t previous) {
  const std::uint64_t folded = reader.varint();
  return previous + (folded >> 1 ^ ((folded & 1) != 0 ? ~std::uint64_t{0} : 0));
}

std::size_t get_count(ByteReader& reader, std::size_t item_size, std::size_t max) {
  const std::uint64_t n = reader.varint();
  if (n <= max && n <= reader.rest().size() / item_size) return static_cast<std::size_t>(n);
  reader.fail();
  return 0;
}

void put_bytes(ByteWriter& writer, ByteView bytes) {
  writer.varint(bytes.size());
  writer.raw(bytes);
}

ByteView get_bytes(ByteReader& reader, std::size_t max) {
  return reader.raw(static_cast<std::size_t>(get_up_to(reader, max)));
}

bool is_text(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

std::string get_text(ByteReader& reader, std::size_t max) {
  std::string text(as_chars(get_bytes(reader, max)));
  if (!is_text(text)) reader.fail();
  return text;
}

void put_object_id(ByteWriter& writer, ObjectId id) {
  CHECK(is_valid(id));
  writer.varint(id.epoch());
  writer.varint(id.counter());
}

ObjectId get_object_id(ByteReader& reader) {
  const auto epoch = static_cast<std::uint32_t>(get_up_to(reader, ObjectId::kEpochMax));
  const ObjectId id = ObjectId::of(epoch, get_up_to(reader, ObjectId::kCounterMax));
  if (!is_valid(id)) reader.fail();
  return id;
}

void put_object_key(ByteWriter& writer, const ObjectKey& key) {
  writer.varint(key.origin);
  put_object_id(writer, key.id);
}

ObjectKey get_object_key(ByteReader& reader) {
  const auto origin = get_number<std::uint16_t>(reader);
  return {origin, get_object_id(reader)};
}

}  // namespace s3crate::segment
