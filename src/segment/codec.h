// SPDX-License-Identifier: GPL-3.0-or-later
// What the codecs of segments, commits, pages and journal records are made of:
// s3crate-blk-format(5), "Conventions". A get_ function that finds something out of its bounds
// fails the reader, so a codec may test ok() once a list or an item.
#pragma once

#include <limits>
#include <string>

#include "base/wire.h"
#include "segment/types.h"

namespace s3crate::segment {

inline constexpr std::uint64_t kNumberMax = (std::uint64_t{1} << 63) - 1;  // generations, batches
inline constexpr std::uint64_t kDiskBlocksMax = kDiskBytesMax / kBlockSizeMin;
// Of an extent's stored bytes: the 8 bytes before its data, and one byte of data.
inline constexpr std::uint32_t kSealedExtentMin = 8 + 1 + crypto::kSealOverhead;

// At most `max`.
[[nodiscard]] std::uint64_t get_up_to(ByteReader& reader, std::uint64_t max);
template <std::unsigned_integral T>
[[nodiscard]] T get_number(ByteReader& reader) {
  return static_cast<T>(get_up_to(reader, std::numeric_limits<T>::max()));
}
// base + what is read, at most max.
[[nodiscard]] std::uint64_t get_above(ByteReader& reader, std::uint64_t base, std::uint64_t max);

// The difference of two numbers modulo 2^64, small either way.
void put_delta(ByteWriter& writer, std::uint64_t value, std::uint64_t previous);
[[nodiscard]] std::uint64_t get_delta(ByteReader& reader, std::uint64_t previous);

// A count of items of at least item_size (> 0) bytes each: safe to allocate by.
[[nodiscard]] std::size_t get_count(ByteReader& reader, std::size_t item_size, std::size_t max);

void put_bytes(ByteWriter& writer, ByteView bytes);
[[nodiscard]] ByteView get_bytes(ByteReader& reader, std::size_t max);
// Bytes of text have no control characters.
[[nodiscard]] bool is_text(std::string_view text);
[[nodiscard]] std::string get_text(ByteReader& reader, std::size_t max);

[[nodiscard]] constexpr bool is_valid(ObjectId id) { return id.counter() >= 1; }
void put_object_id(ByteWriter& writer, ObjectId id);
[[nodiscard]] ObjectId get_object_id(ByteReader& reader);
void put_object_key(ByteWriter& writer, const ObjectKey& key);
[[nodiscard]] ObjectKey get_object_key(ByteReader& reader);

// Whether [block, block + count) is not empty and ends at or below `end`.
[[nodiscard]] constexpr bool is_block_range(std::uint64_t block, std::uint64_t count,
                                            std::uint64_t end) {
  return count >= 1 && block < end && count <= end - block;
}
// Whether blocks first to first + count may lie in one extent.
[[nodiscard]] constexpr bool is_extent_range(std::uint64_t first, std::uint64_t count,
                                             std::uint32_t block_size) {
  return first + count >= count && first + count <= kExtentBytesMax / block_size;
}

}  // namespace s3crate::segment
