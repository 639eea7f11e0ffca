// SPDX-License-Identifier: GPL-3.0-or-later
// Constants and fixed parts of what stands in a cache file: s3crate-blk-format(5). Only the codec
// includes it.
#pragma once

#include "base/wire.h"
#include "cache/cache_format.h"

namespace s3crate::cache::wire {

using Magic = std::array<char, 8>;

inline constexpr Magic kSuperblockMagic = {'S', '3', 'C', 'B', '-', 'C', 'F', 'B'};
inline constexpr Magic kChunkMagic = {'S', '3', 'C', 'B', '-', 'C', 'F', 'C'};
inline constexpr std::uint16_t kVersion = 1;
// Of what is counted up from what is found. So high nobody counts: what says more was not written by us, and could not be counted up.
inline constexpr std::uint64_t kCountedMax = (std::uint64_t{1} << 62) - 1;

struct Superblock {
  Magic magic = kSuperblockMagic;
  Le16 format{kVersion};
  Le16 reserved;
  Le32 chunk_bytes;
  Vid vid{};
  Uuid cache{};
  Le64 file_bytes;
  Le32 table_bytes;
  Le32 reserved2;
};
static_assert(WireStruct<Superblock> && sizeof(Superblock) == 80);

struct Chunk {
  Magic magic = kChunkMagic;
  Le16 format{kVersion};
  std::uint8_t queue = 0;
  std::uint8_t reserved = 0;
  Le32 ring;
  Uuid cache{};
  Le32 chunk;
  Le32 sealed_length;
  Le64 number;
  Le64 order;
};
static_assert(WireStruct<Chunk> && sizeof(Chunk) == 56);

}  // namespace s3crate::cache::wire
