// SPDX-License-Identifier: GPL-3.0-or-later
// Extents and segments: round trips, damage, places, signatures, golden bytes.
#include <gtest/gtest.h>

#include "segment/segment.h"
#include "segment/wire_format.h"
#include "tests/support/format_gen.h"
#include "tests/support/sealed_extent.h"

namespace s3crate::segment {
namespace {

using test::Gen;

constexpr std::uint32_t kBlock = 4096;

SegmentIndex random_index(Gen& gen, std::size_t size) {
  SegmentIndex index;
  index.continues_epoch = static_cast<std::uint32_t>(gen.up_to(ObjectId::kEpochMax));
  index.epoch = index.continues_epoch +
                static_cast<std::uint32_t>(gen.up_to(ObjectId::kEpochMax - index.continues_epoch));
  index.seq_first = Seq(1 + gen.up_to(std::uint64_t{1} << 40));
  index.continues_seq = Seq(gen.below(index.seq_first.value));
  index.seq_last = Seq(index.seq_first.value - 1 + gen.up_to(100));
  index.needs_seq = index.seq_last + gen.up_to(5);
  index.disk_bytes = (std::uint64_t{1} << 20 << gen.below(20)) * kBlock;
  for (std::uint64_t n = gen.below(3), at = 1; n > 0; --n) {
    const Seq first(at + gen.below(10));
    index.abandoned.push_back({first, first + gen.below(3)});
    at = index.abandoned.back().last.value + 1;
  }
  index.sealed_secret = gen.array<80>();
  std::uint64_t offset = sizeof(wire::Header);
  std::uint32_t number = static_cast<std::uint32_t>(gen.up_to(1000));
  for (std::size_t i = 0; i < size; ++i) {
    IndexedExtent e;
    e.number = number;
    e.offset = static_cast<std::uint32_t>(offset + gen.below(3));
    e.length = static_cast<std::uint32_t>(kSealedExtentMin + gen.below(4200));
    e.digest = gen.array<16>();
    offset = e.offset + e.length;
    number += 1 + static_cast<std::uint32_t>(gen.below(3));
    index.extents.push_back(e);
  }
  std::uint64_t written = gen.below(index.seq_last.value + 1);
  for (std::size_t i = 0; i < size; ++i) {
    written = std::min(written + gen.below(2), index.seq_last.value);
    IndexedRun r;
    r.count = 1 + static_cast<std::uint32_t>(gen.below(16));
    r.first = static_cast<std::uint16_t>(gen.below(16 - r.count + 1));
    r.block = BlockIndex(gen.below(index.disk_bytes / kBlock - r.count + 1));
    r.extent = index.extents[gen.below(index.extents.size())].number;
    r.written = Seq(written);
    index.runs.push_back(r);
    if (gen.coin()) continue;
    const std::uint64_t count = 1 + gen.up_to(kDiskBlocksMax - 1);
    index.holes.push_back({BlockIndex(gen.below(kDiskBlocksMax - count + 1)), count, Seq(written)});
  }
  index.extensions = gen.extensions();
  return index;
}

SegmentHeader random_header(Gen& gen) {
  return {.vid = gen.array<32>(),
          .id = gen.object_id(),
          .ring = gen.u32(),
          .keys_generation = Generation(gen.number() | 1),
          .writer = gen.u32(),
          .flags = 0};
}

TEST(SegmentFormat, HeaderHasItsGoldenBytes) {
  SegmentHeader header;
  for (std::size_t i = 0; i < header.vid.size(); ++i)
    header.vid[i] = static_cast<std::uint8_t>(0xa0 + i);
  header.id = ObjectId::of(2, 5);
  header.keys_generation = Generation(7);
  header.ring = 3;
  header.writer = 4;
  EXPECT_EQ(to_hex(encode_segment_header(header)),
            "533343422d5345470100000000000000"
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
            "050000000002000007000000000000000300000004000000");
}

TEST(SegmentFormat, HeaderSurvivesARoundTripAndDamage) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const SegmentHeader header = random_header(gen);
  const Bytes bytes = encode_segment_header(header);
  EXPECT_EQ(decode_segment_header(bytes).value(), header);
  check_damage(gen, bytes, decode_segment_header, encode_segment_header);
}

TEST(SegmentFormat, NewerVersionOfAHeaderIsUnsupported) {
  Gen gen(1);
  Bytes bytes = encode_segment_header(random_header(gen));
  bytes[8] = 2;
  EXPECT_TRUE(is(decode_segment_header(bytes), Code::kUnsupported));
  bytes[8] = 1;
  bytes[12] = 1;
  EXPECT_TRUE(is(decode_segment_header(bytes), Code::kUnsupported));
}

// Whoever looks for the keys that a header names must find the number of a commit, signed or not.
TEST(SegmentFormat, HeaderThatStandsOnNoKeysIsRefused) {
  Gen gen(1);
  Bytes bytes = encode_segment_header(random_header(gen));
  std::fill_n(bytes.begin() + 56, 8, 0);
  EXPECT_TRUE(is(decode_segment_header(bytes), Code::kCorrupt));
}

TEST(SegmentFormat, IndexSurvivesARoundTrip) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 50; ++i) {
    const SegmentIndex index = random_index(gen, 1 + gen.below(200));
    const auto decoded = decode_segment_index(encode_segment_index(index), kBlock);
    ASSERT_TRUE(decoded) << decoded.error().message();
    ASSERT_EQ(*decoded, index);
  }
}

TEST(SegmentFormat, DamagedPlainIndexIsRefusedOrValid) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 5; ++i) {
    check_damage(
        gen, encode_segment_index(random_index(gen, 6)),
        [](ByteView b) { return decode_segment_index(b, kBlock); }, encode_segment_index);
  }
  check_garbage(gen, 2000, [](ByteView b) { return decode_segment_index(b, kBlock); });
}

TEST(SegmentFormat, IndexCountsFarTooLargeAreRefusedBeforeAllocating) {
  Gen gen(1);
  SegmentIndex index;
  index.seq_first = Seq(1);
  const Bytes empty = encode_segment_index(index);
  ASSERT_EQ(empty.size(), sizeof(wire::IndexHead) + 5);
  for (std::size_t list = 0; list < 5; ++list) {
    for (std::uint64_t count :
         {std::uint64_t{1} << 20, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
      Bytes bytes(empty.begin(),
                  empty.begin() + static_cast<std::ptrdiff_t>(sizeof(wire::IndexHead) + list));
      append(bytes, test::varint_bytes(count));
      append(bytes, gen.bytes(100));
      EXPECT_FALSE(decode_segment_index(bytes, kBlock));
    }
  }
}

TEST(SegmentFormat, IndexThatBreaksARuleIsRefused) {
  Gen gen(7);
  SegmentIndex good = random_index(gen, 3);
  good.seq_last = good.seq_last + 1;
  good.needs_seq = good.seq_last;
  const auto refused = [](const Bytes& bytes) { return !decode_segment_index(bytes, kBlock); };
  // A compact volume of larger blocks: the same bytes, other bounds.
  SegmentIndex index = good;
  index.runs = {{.block = BlockIndex(0),
                 .count = 16,
                 .extent = index.extents[0].number,
                 .first = 0,
                 .written = index.seq_last}};
  EXPECT_FALSE(refused(encode_segment_index(index)));
  EXPECT_TRUE(!decode_segment_index(encode_segment_index(index), 65536));

  Bytes bytes = encode_segment_index(good);
  bytes[24] = bytes[25] = bytes[26] = bytes[27] = bytes[28] = bytes[29] = bytes[30] =
      0;  // seq_last
  EXPECT_TRUE(refused(bytes));
  bytes = encode_segment_index(good);
  bytes[39] = 0x80;  // needs_seq past the largest number
  EXPECT_TRUE(refused(bytes));
  bytes = encode_segment_index(good);
  bytes[40] ^= 1;  // disk_bytes no multiple of the block
  EXPECT_TRUE(refused(bytes));
}

TEST(SegmentFormat, CriticalExtensionIsUnsupportedOthersAreKept) {
  SegmentIndex index;
  index.seq_first = Seq(1);
  index.extensions = {{7, false, {1, 2, 3}}};
  EXPECT_EQ(decode_segment_index(encode_segment_index(index), kBlock).value(), index);
  index.extensions.push_back({9, true, {}});
  EXPECT_TRUE(is(decode_segment_index(encode_segment_index(index), kBlock), Code::kUnsupported));
}

struct SealedSegment {
  explicit SealedSegment(Gen& gen)
      : header(random_header(gen)),
        index(random_index(gen, 4)),
        index_key(crypto::Secret(gen.random)),
        signer(crypto::Secret(gen.random)) {
    extents_end = index.extents.back().offset + index.extents.back().length;
    finished = finish_segment(header, extents_end, index, index_key, signer, gen.random);
    length = extents_end + finished.tail.size();
  }
  // `tail` as finish_segment gives it.
  [[nodiscard]] Result<SegmentIndex> open(const SegmentHeader& h, ByteView tail,
                                          std::uint64_t object_length,
                                          const crypto::VerifyKey& writer,
                                          const crypto::OpeningKey& key) const {
    if (tail.size() < segment_footer_size()) return fail(Code::kCorrupt, "short");
    return open_segment_index(h, tail.first(tail.size() - segment_footer_size()),
                              tail.last(segment_footer_size()), object_length, writer, key, kBlock);
  }
  [[nodiscard]] Result<SegmentIndex> open(ByteView tail) const {
    return open(header, tail, extents_end + tail.size(), signer.verify_key(),
                index_key.opening_key());
  }
  SegmentHeader header;
  SegmentIndex index;
  crypto::SealingKey index_key;
  crypto::Signer signer;
  std::uint64_t extents_end = 0;
  std::uint64_t length = 0;
  FinishedSegment finished;
};

TEST(SegmentFormat, FinishedSegmentOpensAndEveryDamageIsRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const SealedSegment s(gen);
  EXPECT_EQ(s.open(s.finished.tail).value(), s.index);
  const SegmentTail tail =
      decode_segment_footer(ByteView(s.finished.tail).last(segment_footer_size()), s.length)
          .value();
  EXPECT_EQ(tail.index_offset, s.finished.index_offset);
  EXPECT_EQ(tail.index_length, s.finished.index_length);
  EXPECT_EQ(crypto::blake2b(ByteView(s.finished.tail).first(tail.index_length)),
            s.finished.index_hash);
  check_refused(gen, s.finished.tail, [&](ByteView b) { return s.open(b); });
}

TEST(SegmentFormat, IndexOfAnotherSegmentVolumeWriterOrPlaceIsRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const SealedSegment s(gen);
  const auto open = [&](const SegmentHeader& h) {
    return s.open(h, s.finished.tail, s.length, s.signer.verify_key(), s.index_key.opening_key());
  };
  ASSERT_TRUE(open(s.header));
  SegmentHeader other = s.header;
  other.vid[5] ^= 1;
  EXPECT_FALSE(open(other));
  other = s.header;
  other.id.value ^= std::uint64_t{1} << 40;  // the epoch
  EXPECT_FALSE(open(other));
  other = s.header;
  other.ring ^= 1;
  EXPECT_FALSE(open(other));
  other = s.header;
  other.writer ^= 1;
  EXPECT_FALSE(open(other));
  other = s.header;
  other.keys_generation.value ^= 1;
  EXPECT_FALSE(open(other));
  EXPECT_FALSE(s.open(s.header, s.finished.tail, s.length + 1, s.signer.verify_key(),
                      s.index_key.opening_key()));
}

TEST(SegmentFormat, SignatureIsCheckedBeforeTheIndexIsOpened) {
  Gen gen(3);
  const SealedSegment s(gen);
  const crypto::Signer stranger{crypto::Secret(gen.random)};
  const crypto::OpeningKey wrong_key{crypto::Secret(gen.random)};
  const auto both_wrong =
      s.open(s.header, s.finished.tail, s.length, stranger.verify_key(), wrong_key);
  ASSERT_FALSE(both_wrong);
  EXPECT_NE(both_wrong.error().message().find("signature"), std::string::npos);
  const auto key_wrong =
      s.open(s.header, s.finished.tail, s.length, s.signer.verify_key(), wrong_key);
  ASSERT_FALSE(key_wrong);
  EXPECT_EQ(key_wrong.error().message().find("signature"), std::string::npos);
}

TEST(ExtentFormat, SealedExtentOpensToItsBlocks) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::Secret secret(gen.random);
  const Vid vid = gen.array<32>();
  const crypto::SealingKey key = extent_sealing_key(secret, vid);
  const crypto::OpeningKey opening = extent_opening_key(secret, vid);
  for (std::uint32_t block : {4096u, 16384u, 65536u}) {
    for (std::uint32_t blocks = 1; blocks * block <= kExtentBytesMax; blocks *= 2) {
      Bytes raw = gen.bytes(std::size_t{blocks} * block);
      if (gen.coin()) std::fill(raw.begin() + 100, raw.end(), std::uint8_t{7});
      const std::uint32_t number = gen.u32();
      const Bytes stored = test::sealed_extent(key, gen.random, number, raw, block);
      EXPECT_LE(stored.size(), kSealedExtentMax);
      const auto opened = open_extent(opening, number, crypto::digest(stored), stored, block);
      ASSERT_TRUE(opened) << opened.error().message();
      EXPECT_TRUE(equal(*opened, raw));
    }
  }
}

// An older reader knows no such codec, and refuses it as well.
TEST(ExtentFormat, LostBlocksAreAnErrorForEverybody) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::Secret secret(gen.random);
  const Vid vid = gen.array<32>();
  Bytes stored;
  seal_lost_extent(extent_sealing_key(secret, vid), gen.random, 5, 2, kBlock, stored);
  EXPECT_GE(stored.size(), kSealedExtentMin);
  const crypto::OpeningKey key = extent_opening_key(secret, vid);
  const auto opened = open_extent(key, 5, crypto::digest(stored), stored, kBlock);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kLost);
  EXPECT_EQ(opened.error().message(), "lost when a part of it was written, because the rest was damaged");
}

TEST(ExtentFormat, DamageAndWrongNumbersAreRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const crypto::Secret secret(gen.random);
  const Vid vid = gen.array<32>();
  const Bytes stored = test::sealed_extent(extent_sealing_key(secret, vid), gen.random, 5, Bytes(4096, 9), kBlock);
  const crypto::OpeningKey key = extent_opening_key(secret, vid);
  const Digest good = crypto::digest(stored);
  check_refused(gen, stored, [&](ByteView b) { return open_extent(key, 5, good, b, kBlock); });
  // Someone without the keys can make the digest fit.
  check_refused(gen, stored,
                [&](ByteView b) { return open_extent(key, 5, crypto::digest(b), b, kBlock); });
  EXPECT_FALSE(open_extent(key, 6, good, stored, kBlock));
  EXPECT_FALSE(open_extent(key, 5, good, stored, 8192));
  EXPECT_FALSE(open_extent(extent_opening_key(secret, gen.array<32>()), 5, good, stored, kBlock));
}

TEST(ExtentFormat, MalformedPlaintextOfSomeoneWithTheKeyIsRefused) {
  Gen gen(11);
  const crypto::SealingKey key{crypto::Secret(gen.random)};
  const auto open = [&](std::uint8_t codec, std::uint8_t flags, std::uint16_t blocks,
                        std::uint32_t raw_length, std::size_t data) {
    Bytes plain;
    ByteWriter writer(plain);
    writer.u8(codec);
    writer.u8(flags);
    writer.u16(blocks);
    writer.u32(raw_length);
    writer.raw(Bytes(data, 1));
    Bytes stored;
    const Le32 number(0);
    key.seal(gen.random, plain, wire_bytes(number), stored);
    return open_extent(key.opening_key(), 0, crypto::digest(stored), stored, kBlock);
  };
  EXPECT_TRUE(open(0, 0, 1, 4096, 4096));
  EXPECT_FALSE(open(2, 0, 1, 4096, 4096));
  EXPECT_FALSE(open(1, 0, 1, 4096, 4096));
  EXPECT_FALSE(open(0, 1, 1, 4096, 4096));
  EXPECT_FALSE(open(0, 0, 2, 4096, 4096));
  EXPECT_FALSE(open(0, 0, 1, 4095, 4095));
  EXPECT_FALSE(open(0, 0, 1, 4096, 4095));
  EXPECT_FALSE(open(0, 0, 1, 4096, 4097));
  EXPECT_FALSE(open(0, 0, 0, 0, 1));
  EXPECT_FALSE(open(0, 0, 32, 131072, 4096));
  EXPECT_FALSE(open(0, 0, 65535, 0xfffff000, 4096));
}

}  // namespace
}  // namespace s3crate::segment
