// SPDX-License-Identifier: GPL-3.0-or-later
// The cache file's superblock, chunk headers and tables; its index in memory; and its book of chunks.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cache/cache_index.h"
#include "cache/chunk_book.h"
#include "cache/wire_format.h"
#include "tests/support/format_gen.h"

namespace s3crate::cache {
namespace {

using segment::kSectorBytes;
using test::Gen;

CacheSuperblock random_superblock(Gen& gen) {
  CacheSuperblock s = cache_layout((4 << 20) + gen.up_to(std::uint64_t{1} << 41), 0);
  s.vid = gen.array<32>();
  s.cache = gen.array<16>();
  return s;
}

ChunkHeader random_header(Gen& gen) {
  ChunkHeader h;
  h.cache = gen.array<16>();
  h.chunk = static_cast<std::uint32_t>(gen.below(kChunksMax));
  h.ring = gen.u32();
  h.number = gen.up_to(wire::kCountedMax);
  h.queue = gen.coin() ? CacheQueue::kept : CacheQueue::probation;
  h.order = gen.up_to(wire::kCountedMax);
  h.sealed_length = static_cast<std::uint32_t>(gen.up_to(kChunkBytesMax));
  return h;
}

Bytes rehash(ByteView sector) {
  Bytes out(sector.begin(), sector.end());
  if (out.size() != kSectorBytes) return out;
  out.resize(segment::kSectorContent);
  segment::finish_sector(out);
  return out;
}

TEST(CacheFormat, SectorsSurviveARoundTripAndDamageIsRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 50; ++i) {
    const CacheSuperblock s = random_superblock(gen);
    ASSERT_EQ(*decode_cache_superblock(encode_cache_superblock(s)), s);
    const ChunkHeader h = random_header(gen);
    ASSERT_EQ(*decode_chunk_header(encode_chunk_header(h)), h);
  }
  test::check_refused(gen, encode_cache_superblock(random_superblock(gen)), decode_cache_superblock);
  test::check_refused(gen, encode_chunk_header(random_header(gen)), decode_chunk_header);
  // Under a good hash everything is looked at.
  const auto superblock = [](ByteView sector) { return decode_cache_superblock(rehash(sector)); };
  const auto header = [](ByteView sector) { return decode_chunk_header(rehash(sector)); };
  Bytes sector = encode_cache_superblock(random_superblock(gen));
  for (std::size_t at = 0; at < segment::kSectorContent; ++at) {
    Bytes changed = sector;
    changed[at] ^= 0x81;
    const auto decoded = superblock(changed);
    ASSERT_TRUE(!decoded || encode_cache_superblock(*decoded) == rehash(changed)) << at;
  }
  sector = encode_chunk_header(random_header(gen));
  for (const std::size_t number : {47, 55}) {
    Bytes changed = sector;
    changed[number] = 0x40;  // nothing can follow
    ASSERT_FALSE(header(changed)) << number;
  }
  for (std::size_t at = 0; at < segment::kSectorContent; ++at) {
    Bytes changed = sector;
    changed[at] ^= 0x81;
    const auto decoded = header(changed);
    ASSERT_TRUE(!decoded || encode_chunk_header(*decoded) == rehash(changed)) << at;
  }
}

TEST(CacheFormat, TablesSurviveARoundTripAndStayWithinTheirChunk) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const auto decode = [](ByteView plain) { return decode_chunk_table(plain, 1 << 20); };
  for (std::size_t n : {0, 1, 7, 300}) {
    std::vector<ChunkEntry> entries;
    for (std::size_t i = 0; i < n; ++i)
      entries.push_back({gen.array<16>(), 1 + static_cast<std::uint32_t>(gen.below(3000))});
    const Bytes plain = encode_chunk_table(entries);
    EXPECT_LE(plain.size(), 5 + n * kChunkEntryMax);
    ASSERT_EQ(*decode(plain), entries);
    if (n == 7) test::check_damage(gen, plain, decode, encode_chunk_table);
  }
  const auto table = [](std::uint32_t length, std::size_t n) {
    return encode_chunk_table(std::vector<ChunkEntry>(n, ChunkEntry{{}, length}));
  };
  EXPECT_TRUE(decode_chunk_table(table(4096, 2), 8192));
  EXPECT_TRUE(is(decode_chunk_table(table(4097, 2), 8192), Code::kCorrupt));
  EXPECT_TRUE(decode_chunk_table(table(1, 128), 8192));
  EXPECT_TRUE(is(decode_chunk_table(table(1, 129), 8192), Code::kCorrupt));
}

TEST(CacheFormat, LayoutsHaveSomeThousandChunksWhereTheyCan) {
  for (std::uint64_t bytes : {std::uint64_t{4} << 20, std::uint64_t{100} << 20, std::uint64_t{20} << 30, std::uint64_t{1} << 40}) {
    const CacheSuperblock s = cache_layout(bytes, 0);
    ASSERT_TRUE(is_sound(s)) << bytes;
    EXPECT_LE(s.chunk_offset(s.chunks()), bytes);
    EXPECT_GE(s.chunks(), 15u);
    // Extents of 4 KiB find room in the table.
    EXPECT_GE(s.table_bytes, s.data_bytes() / 4160 * kChunkEntryMax + 60) << bytes;
    EXPECT_GE(s.data_bytes(), kItemBytesMax);
    EXPECT_LE(s.data_bytes() / s.chunk_bytes * 100, 100u);
    EXPECT_EQ(s.chunk_of(s.data_offset(7)), 7u);
  }
  EXPECT_EQ(cache_layout(std::uint64_t{20} << 30, 0).chunk_bytes, 4u << 20);
  EXPECT_FALSE(is_sound(cache_layout(1 << 20, 0)));
  EXPECT_FALSE(is_sound(cache_layout(0, 0)));
  EXPECT_FALSE(is_sound(cache_layout(std::uint64_t{1} << 62, 0)));
}

// ---- The index ----------------------------------------------------------------------------------

TEST(CacheIndex, AgreesWithAMap) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  CacheIndex index(1 << 16);
  EXPECT_LE(index.bytes(), 1u << 16);
  std::vector<Digest> digests;
  for (int i = 0; i < 3000; ++i) digests.push_back(gen.array<16>());
  std::map<Digest, std::pair<std::uint64_t, bool>> model;
  for (int i = 0; i < 50'000; ++i) {
    const Digest& digest = digests[gen.below(digests.size())];
    const std::uint64_t position = (1 + gen.below(100'000)) * kItemAlignment;
    auto found = model.find(digest);
    switch (gen.below(5)) {
      case 0:
        index.put(digest, position);
        model[digest] = {position, false};
        break;
      case 1:
        index.erase(digest, position);  // not there but by chance
        if (found != model.end() && found->second.first == position) model.erase(found);
        break;
      case 2:
        if (found == model.end()) break;
        EXPECT_EQ(index.mark_used(digest, found->second.first), !found->second.second);
        found->second.second = true;
        break;
      case 3:
        if (found == model.end() || gen.below(4) > 0) break;
        index.erase(digest, found->second.first);
        model.erase(found);
        break;
      default:
        if (found == model.end()) {
          EXPECT_FALSE(index.find(digest));
        } else {
          ASSERT_EQ(index.find(digest), found->second.first);
          EXPECT_EQ(index.use(digest, found->second.first), found->second.second ? CacheIndex::Use::again : CacheIndex::Use::once);
          EXPECT_EQ(index.use(digest, found->second.first + kItemAlignment), CacheIndex::Use::gone);
        }
    }
    ASSERT_EQ(index.items(), model.size());
  }
}

TEST(CacheIndex, NineTenthsFullItHasDisplacedAHundredthAtMost) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  CacheIndex index(1 << 20);
  const std::uint64_t slots = index.bytes() / 8, items = slots * 9 / 10;
  std::vector<Digest> digests;
  for (std::uint64_t i = 0; i < items; ++i) {
    digests.push_back(gen.array<16>());
    index.put(digests.back(), (i + 1) * kItemAlignment);
  }
  EXPECT_GE(index.items(), items * 99 / 100);
  // Twice as much as there is room for: the table is full, of what it was told, and no larger.
  for (std::uint64_t i = 0; i < slots; ++i) index.put(gen.array<16>(), (i + 1) * kItemAlignment);
  EXPECT_LE(index.items(), slots);
  EXPECT_GE(index.items(), slots * 99 / 100);
  EXPECT_LE(index.bytes(), 1u << 20);
}

TEST(CacheIndex, WhatWasUsedAgainIsDisplacedLast) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  CacheIndex index(4096);
  std::vector<Digest> used;
  for (int i = 0; i < 100; ++i) {
    used.push_back(gen.array<16>());
    index.put(used.back(), 64);
    EXPECT_TRUE(index.mark_used(used.back(), 64));
  }
  for (int i = 0; i < 10'000; ++i) index.put(gen.array<16>(), 128);
  int left = 0;
  for (const Digest& digest : used) left += index.use(digest, 64) == CacheIndex::Use::again;
  EXPECT_GE(left, 99);
}

TEST(CacheIndex, GhostsAreRememberedForAWhileAndTakeNoItemsPlace) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  CacheIndex index(1 << 14);
  std::vector<Digest> gone;
  for (std::uint64_t i = 0; i < 500; ++i) {
    gone.push_back(gen.array<16>());
    index.put(gone.back(), 640);
    index.make_ghost(gone.back(), 640, i / 100);
    EXPECT_FALSE(index.find(gone.back()));
  }
  EXPECT_EQ(index.items(), 0u);
  for (std::uint64_t i = 0; i < 500; i += 5) EXPECT_EQ(index.take_ghost(gone[i], 3), i / 100 >= 3) << i;
  EXPECT_FALSE(index.take_ghost(gone[495], 0)) << "taken already";
  EXPECT_TRUE(index.take_ghost(gone[496], 0));
  const std::uint64_t slots = index.bytes() / 8;
  std::vector<Digest> items;
  for (std::uint64_t i = 0; i < slots * 9 / 10; ++i) {
    items.push_back(gen.array<16>());
    index.put(items.back(), (i + 1) * 64);
  }
  EXPECT_GE(index.items(), items.size() * 98 / 100);
}

// ---- The book -----------------------------------------------------------------------------------

TEST(ChunkBook, QueuesAreFirstInFirstOut) {
  ChunkBook book(40);
  std::vector<std::uint32_t> taken;
  for (int i = 0; i < 10; ++i) {
    taken.push_back(*book.open_fresh());
    book.add_bytes(taken.back(), 1000);
    book.close(taken.back(), i < 5 ? CacheQueue::probation : CacheQueue::kept);
  }
  EXPECT_EQ(book.in_use(), 10u);
  EXPECT_EQ(book.probation_target(), 1u);
  EXPECT_EQ(book.bytes(), 10'000u);
  EXPECT_EQ(book.oldest(CacheQueue::probation), taken[0]);
  EXPECT_EQ(book.oldest(CacheQueue::kept), taken[5]);
  book.note_used(taken[0], 500);
  EXPECT_FALSE(book.is_popular(taken[0]));
  book.note_used(taken[0], 1);
  EXPECT_TRUE(book.is_popular(taken[0]));
  book.requeue(taken[0], CacheQueue::kept);
  EXPECT_FALSE(book.is_popular(taken[0]));
  EXPECT_EQ(book.oldest(CacheQueue::probation), taken[1]);
  EXPECT_EQ(book.count(CacheQueue::kept), 6u);
  book.make_free(taken[5]);
  EXPECT_EQ(book.oldest(CacheQueue::kept), taken[6]);
  EXPECT_EQ(book.bytes(), 9'000u);
  EXPECT_EQ(book.open_free(), taken[5]);
  EXPECT_FALSE(book.open_free());
}

TEST(ChunkBook, OrdersFoundInAFileAreKeptAndClashesMakeRoom) {
  ChunkBook book(20);
  book.found_closed(0, CacheQueue::kept, 9, 10);
  book.found_free(1);
  book.found_closed(2, CacheQueue::kept, 4, 10);
  book.found_closed(3, CacheQueue::kept, 4, 10);
  book.found_closed(4, CacheQueue::probation, 4, 10);
  EXPECT_EQ(book.oldest(CacheQueue::kept), 2u);
  EXPECT_EQ(book.next_order(), 10u);
  EXPECT_EQ(book.fresh_left(), 15u);
  EXPECT_EQ(book.open_free(), 1u);
  EXPECT_EQ(book.open_fresh(), 5u);
  book.give_back_fresh(5);
  EXPECT_EQ(book.fresh_left(), 15u);
}

}  // namespace
}  // namespace s3crate::cache
