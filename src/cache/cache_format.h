// SPDX-License-Identifier: GPL-3.0-or-later
// What stands in a cache file. s3crate-blk-format(5), "The cache file". Pure functions, bytes to structs and back.
//
// File: superblock (4 KiB) | chunks. A chunk: header (4 KiB) | room for its sealed table | items, each on a multiple of 64
// bytes, in the order of the table. An item is what some digest stands for, as it is in the store. Each chunk speaks for itself
// alone: no order of writes has to hold, and what does not belong together is found by hash, seal or digest.
#pragma once

#include <vector>

#include "base/result.h"
#include "segment/sector.h"
#include "segment/types.h"

namespace s3crate::cache {

using segment::Digest;
using segment::Uuid;
using segment::Vid;

inline constexpr std::uint64_t kItemAlignment = 64;
inline constexpr std::uint32_t kItemBytesMax = 66 << 10;  // a sealed extent or page, with room to spare
inline constexpr std::uint32_t kChunkBytesMin = 16 << 10;
inline constexpr std::uint32_t kChunkBytesMax = 16 << 20;
inline constexpr std::uint32_t kChunksMax = 1 << 18;

struct CacheSuperblock {
  Vid vid{};
  Uuid cache{};                  // random; another one makes all chunks void
  std::uint64_t file_bytes = 0;  // as they were asked for
  std::uint32_t chunk_bytes = 0;  // a multiple of 4 KiB
  std::uint32_t table_bytes = 0;  // of each chunk, behind its header; a multiple of 4 KiB

  [[nodiscard]] std::uint32_t chunks() const {
    return static_cast<std::uint32_t>((file_bytes - segment::kSectorBytes) / chunk_bytes);
  }
  [[nodiscard]] std::uint64_t chunk_offset(std::uint32_t chunk) const {
    return segment::kSectorBytes + std::uint64_t{chunk} * chunk_bytes;
  }
  // Where items begin, and how much room they have.
  [[nodiscard]] std::uint64_t data_offset(std::uint32_t chunk) const {
    return chunk_offset(chunk) + segment::kSectorBytes + table_bytes;
  }
  [[nodiscard]] std::uint32_t data_bytes() const { return chunk_bytes - segment::kSectorBytes - table_bytes; }
  [[nodiscard]] std::uint32_t chunk_of(std::uint64_t position) const {
    return static_cast<std::uint32_t>((position - segment::kSectorBytes) / chunk_bytes);
  }
  friend bool operator==(const CacheSuperblock&, const CacheSuperblock&) = default;
};
// As it would be made for a file of so many bytes; chunk_bytes 0: some thousand chunks.
[[nodiscard]] CacheSuperblock cache_layout(std::uint64_t file_bytes, std::uint32_t chunk_bytes);
// Whether there is room for a few chunks, and for no more than can be counted.
[[nodiscard]] bool is_sound(const CacheSuperblock& superblock);
[[nodiscard]] Bytes encode_cache_superblock(const CacheSuperblock& superblock);  // a sector
[[nodiscard]] Result<CacheSuperblock> decode_cache_superblock(ByteView sector);

// Never renumbered.
enum class CacheQueue : std::uint8_t { probation = 1, kept = 2 };

struct ChunkHeader {
  Uuid cache{};
  std::uint32_t chunk = 0;   // which one of the file
  std::uint32_t ring = 0;    // whose key seals the table
  std::uint64_t number = 0;  // of this filling of it; part of the table's seal
  CacheQueue queue = CacheQueue::probation;
  std::uint64_t order = 0;   // in its queue; the lowest goes first
  std::uint32_t sealed_length = 0;  // of the table
  friend bool operator==(const ChunkHeader&, const ChunkHeader&) = default;
};
[[nodiscard]] Bytes encode_chunk_header(const ChunkHeader& header);  // a sector
[[nodiscard]] Result<ChunkHeader> decode_chunk_header(ByteView sector);
// Additional data of the table's seal: cache id, chunk, number.
[[nodiscard]] Bytes chunk_table_additional(const ChunkHeader& header);

struct ChunkEntry {
  Digest digest{};
  std::uint32_t length = 0;
  friend bool operator==(const ChunkEntry&, const ChunkEntry&) = default;
};
inline constexpr std::size_t kChunkEntryMax = 3 + sizeof(Digest);
// What an item takes in a chunk.
[[nodiscard]] constexpr std::uint32_t item_room(std::uint32_t length) {
  return static_cast<std::uint32_t>((length + kItemAlignment - 1) / kItemAlignment * kItemAlignment);
}
[[nodiscard]] Bytes encode_chunk_table(const std::vector<ChunkEntry>& entries);  // plain
// All of them fit into data_bytes.
[[nodiscard]] Result<std::vector<ChunkEntry>> decode_chunk_table(ByteView plain, std::uint32_t data_bytes);

}  // namespace s3crate::cache
