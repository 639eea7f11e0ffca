// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "cache/cache_format.h"
#include "cache/wire_format.h"
#include "segment/codec.h"

namespace s3crate::cache {
namespace {

using segment::get_up_to;
using segment::kSectorBytes;

constexpr std::uint64_t kChunksWanted = 4096;
constexpr std::uint32_t kChunkBytesUsual = 256 << 10;  // at least, but for tests
constexpr std::uint32_t kTablePart = 64;               // one in so many bytes
constexpr std::uint32_t kChunksMin = 8;

// A sector's content begins with `w`, and nothing follows.
template <WireStruct T>
Bytes make_sector(const T& w) {
  Bytes out;
  out.reserve(kSectorBytes);
  ByteWriter(out).wire(w);
  segment::finish_sector(out);
  return out;
}

}  // namespace

CacheSuperblock cache_layout(std::uint64_t file_bytes, std::uint32_t chunk_bytes) {
  if (chunk_bytes == 0) {
    const std::uint64_t wanted =
        std::bit_floor(std::max<std::uint64_t>(file_bytes / kChunksWanted, 1));
    chunk_bytes = static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(wanted, kChunkBytesUsual, kChunkBytesMax));
  }
  CacheSuperblock out;
  out.file_bytes = file_bytes;
  out.chunk_bytes = chunk_bytes;
  out.table_bytes =
      std::max(kSectorBytes, chunk_bytes / kTablePart / kSectorBytes * kSectorBytes);
  return out;
}

bool is_sound(const CacheSuperblock& s) {
  return s.chunk_bytes >= kChunkBytesMin && s.chunk_bytes <= kChunkBytesMax &&
         s.chunk_bytes % kSectorBytes == 0 && s.table_bytes >= kSectorBytes &&
         s.table_bytes % kSectorBytes == 0 && s.table_bytes <= s.chunk_bytes - 2 * kSectorBytes &&
         s.file_bytes >= kSectorBytes + std::uint64_t{kChunksMin} * s.chunk_bytes &&
         s.file_bytes - kSectorBytes <= std::uint64_t{kChunksMax} * s.chunk_bytes;
}

Bytes encode_cache_superblock(const CacheSuperblock& superblock) {
  CHECK(is_sound(superblock));
  wire::Superblock w;
  w.chunk_bytes = superblock.chunk_bytes;
  w.vid = superblock.vid;
  w.cache = superblock.cache;
  w.file_bytes = superblock.file_bytes;
  w.table_bytes = superblock.table_bytes;
  return make_sector(w);
}

Result<CacheSuperblock> decode_cache_superblock(ByteView sector) {
  ByteReader reader(TRY(segment::sector_content(sector, "a cache file's superblock")));
  const auto w = reader.wire<wire::Superblock>();
  if (w.magic != wire::kSuperblockMagic) return fail(Code::kCorrupt, "this is no cache file");
  if (w.format != wire::kVersion) return fail(Code::kUnsupported, "a cache file of another version");
  CacheSuperblock out;
  out.vid = w.vid;
  out.cache = w.cache;
  out.file_bytes = w.file_bytes;
  out.chunk_bytes = w.chunk_bytes;
  out.table_bytes = w.table_bytes;
  if (w.reserved != 0 || w.reserved2 != 0 || !all_zero(reader.rest()) || !is_sound(out))
    return fail(Code::kCorrupt, "a cache file's superblock is malformed");
  return out;
}

Bytes encode_chunk_header(const ChunkHeader& header) {
  wire::Chunk w;
  w.queue = static_cast<std::uint8_t>(header.queue);
  w.ring = header.ring;
  w.cache = header.cache;
  w.chunk = header.chunk;
  w.sealed_length = header.sealed_length;
  w.number = header.number;
  w.order = header.order;
  return make_sector(w);
}

Result<ChunkHeader> decode_chunk_header(ByteView sector) {
  ByteReader reader(TRY(segment::sector_content(sector, "a chunk's header")));
  const auto w = reader.wire<wire::Chunk>();
  if (w.magic != wire::kChunkMagic) return fail(Code::kCorrupt, "this is no chunk");
  if (w.format != wire::kVersion) return fail(Code::kUnsupported, "a chunk of another version");
  const bool known = w.queue == static_cast<std::uint8_t>(CacheQueue::probation) ||
                     w.queue == static_cast<std::uint8_t>(CacheQueue::kept);
  if (!known || w.reserved != 0 || w.chunk >= kChunksMax || w.sealed_length > kChunkBytesMax ||
      w.number > wire::kCountedMax || w.order > wire::kCountedMax || !all_zero(reader.rest()))
    return fail(Code::kCorrupt, "a chunk's header is malformed");
  ChunkHeader out;
  out.cache = w.cache;
  out.chunk = w.chunk;
  out.ring = w.ring;
  out.number = w.number;
  out.queue = static_cast<CacheQueue>(w.queue);
  out.order = w.order;
  out.sealed_length = w.sealed_length;
  return out;
}

Bytes chunk_table_additional(const ChunkHeader& header) {
  Bytes out;
  ByteWriter writer(out);
  writer.raw(header.cache);
  writer.u32(header.chunk);
  writer.u64(header.number);
  return out;
}

Bytes encode_chunk_table(const std::vector<ChunkEntry>& entries) {
  Bytes out;
  out.reserve(5 + entries.size() * kChunkEntryMax);
  ByteWriter writer(out);
  writer.varint(entries.size());
  for (const ChunkEntry& entry : entries) {
    CHECK(entry.length >= 1 && entry.length <= kItemBytesMax);
    writer.varint(entry.length);
    writer.raw(entry.digest);
  }
  return out;
}

Result<std::vector<ChunkEntry>> decode_chunk_table(ByteView plain, std::uint32_t data_bytes) {
  ByteReader reader(plain);
  const std::size_t count =
      segment::get_count(reader, 1 + sizeof(Digest), data_bytes / kItemAlignment);
  std::vector<ChunkEntry> out;
  out.reserve(count);
  std::uint64_t room = 0;
  for (std::size_t i = 0; i < count && reader.ok(); ++i) {
    ChunkEntry entry;
    entry.length = static_cast<std::uint32_t>(get_up_to(reader, kItemBytesMax));
    entry.digest = reader.array<sizeof(Digest)>();
    room += item_room(entry.length);
    if (entry.length == 0 || room > data_bytes) reader.fail();
    out.push_back(entry);
  }
  if (!reader.done()) return fail(Code::kCorrupt, "a chunk's table is malformed");
  return out;
}

}  // namespace s3crate::cache
