// SPDX-License-Identifier: GPL-3.0-or-later
// The journal's superblocks, slots and records: round trips, damage, bounds, golden bytes.
#include <gtest/gtest.h>

#include "journal/format.h"
#include "journal/wire_format.h"
#include "tests/support/format_gen.h"

namespace s3crate::journal {
namespace {

using test::Gen;

constexpr std::uint32_t kBlock = 4096;

Superblock random_superblock(Gen& gen, std::size_t incarnations) {
  Superblock s;
  s.version = gen.up_to(wire::kCountedMax);
  s.vid = gen.array<32>();
  s.home = gen.array<32>();
  s.journal = gen.array<16>();
  s.slot_bytes = 16384u << gen.below(13);
  s.file_bytes = kSlotsOffset + s.slot_bytes + gen.up_to(std::uint64_t{1} << 50);
  s.intended_epoch = static_cast<std::uint32_t>(gen.up_to(segment::ObjectId::kEpochMax));
  s.intended_instance = gen.array<16>();
  s.base = Generation(gen.number());
  s.base_hash = gen.array<32>();
  s.device = gen.up_to(~std::uint64_t{0});
  s.inode = gen.up_to(~std::uint64_t{0});
  s.boot = gen.array<16>();
  std::uint64_t seq = 1;
  for (std::size_t i = 0; i < incarnations; ++i) {
    Incarnation one;
    one.number = static_cast<std::uint32_t>(i * 3 + 1);
    one.ring = gen.u32();
    one.sealed_key = gen.array<80>();
    one.first_seq = Seq(seq);
    if (i + 1 < incarnations || gen.coin()) one.last_seq = Seq(seq + gen.below(100));
    seq = one.last_seq.value + 1;
    s.incarnations.push_back(one);
  }
  s.extensions = gen.extensions();
  return s;
}

// A hash over changed content, so that the fields are looked at.
Bytes rehash(ByteView sector) {
  Bytes out(sector.begin(), sector.end());
  if (out.size() != kSectorBytes) return out;
  out.resize(wire::kSectorContent);
  const Hash hash = crypto::blake2b(out);
  append(out, hash);
  return out;
}

RecordBody random_body(Gen& gen, std::size_t size, std::uint32_t& extents_length) {
  RecordBody body;
  body.disk_bytes = gen.up_to(segment::kDiskBlocksMax) * kBlock;
  std::uint32_t ordinal = 0;
  for (std::uint64_t n = gen.below(3); n > 0; --n) {
    ordinal += 1 + static_cast<std::uint32_t>(gen.below(4));
    body.segments.push_back({ordinal, gen.u32(), gen.array<80>()});
  }
  std::uint32_t end = 0;
  std::uint64_t block = gen.up_to(1000);
  for (std::size_t i = 0; i < size; ++i) {
    RecordExtent e;
    e.segment = 1 + gen.u32() / 2;
    e.number = gen.u32();
    e.offset = end + static_cast<std::uint32_t>(gen.below(2));
    e.length = static_cast<std::uint32_t>(segment::kSealedExtentMin + gen.below(4200));
    e.digest = gen.array<16>();
    end = e.offset + e.length;
    body.extents.push_back(e);
    RecordRun r;
    r.block = BlockIndex(block + gen.up_to(100));
    r.count = 1 + static_cast<std::uint32_t>(gen.below(16));
    r.extent = static_cast<std::uint32_t>(gen.below(body.extents.size()));
    r.first = static_cast<std::uint16_t>(gen.below(16 - r.count + 1));
    block = r.block.value + r.count;
    body.runs.push_back(r);
    const std::uint64_t count = 1 + gen.up_to(segment::kDiskBlocksMax - 1);
    body.holes.push_back({BlockIndex(gen.below(segment::kDiskBlocksMax - count + 1)), count});
    const auto offset = static_cast<std::uint32_t>(gen.below(kBlock));
    body.patches.push_back({BlockIndex(gen.up_to(segment::kDiskBlocksMax - 1)), offset,
                            gen.bytes(1 + gen.below(std::min(kBlock - offset, 10u)))});
  }
  std::ranges::reverse(body.runs);  // any order will do
  extents_length = end + static_cast<std::uint32_t>(gen.below(5));
  body.extensions = gen.extensions();
  return body;
}

RecordHeader random_header(Gen& gen) {
  RecordHeader h;
  h.journal = gen.array<16>();
  h.incarnation = gen.u32();
  h.slot_sequence = gen.up_to(~std::uint64_t{0});
  h.seq = Seq(1 + gen.up_to(segment::kNumberMax - 1));
  h.parts = static_cast<std::uint16_t>(1 + gen.below(9));
  h.part = static_cast<std::uint16_t>(gen.below(h.parts));
  h.previous_tag = gen.array<16>();
  h.durable_through = Seq(gen.below(h.seq.value));
  h.sealed_length = static_cast<std::uint32_t>(crypto::kSealOverhead + gen.up_to(kRecordBodyMax));
  h.extents_length = static_cast<std::uint32_t>(gen.up_to(kRecordExtentsMax));
  return h;
}

TEST(JournalFormat, SuperblockSurvivesARoundTrip) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (std::size_t n = 0; n <= kIncarnationsMax; ++n) {
    const Superblock s = random_superblock(gen, n);
    const Bytes sector = encode_superblock(s);
    ASSERT_EQ(sector.size(), kSectorBytes);
    const auto decoded = decode_superblock(sector);
    ASSERT_TRUE(decoded) << decoded.error().message();
    ASSERT_EQ(*decoded, s);
  }
}

TEST(JournalFormat, SuperblockSaysWhatIsStoredAndWhereTheVolumeIs) {
  Gen gen(4);
  Superblock s = random_superblock(gen, kIncarnationsMax);
  s.extensions.clear();
  EXPECT_FALSE(noted_commits(s));
  EXPECT_EQ(stored_through(s), Seq(0));
  EXPECT_EQ(noted_url(s), "");
  std::vector<Uuid> tried(kTriedMax + 1);
  for (Uuid& instance : tried) instance = gen.array<16>();
  set_tried_instances(s, tried);
  const NotedCommits noted = {Generation(7), gen.array<32>(), Generation(8), gen.array<32>(), Seq(99)};
  set_noted_commits(s, noted);
  const std::string url(kNotedUrlMax, 'u');
  set_noted_url(s, url);
  // All of it at once, with as many incarnations as there may be, is within a sector.
  const auto decoded = decode_superblock(encode_superblock(s));
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(tried_instances(*decoded), std::vector<Uuid>(tried.begin() + 1, tried.end()));
  EXPECT_EQ(noted_commits(*decoded), noted);
  EXPECT_EQ(stored_through(*decoded), Seq(99));
  EXPECT_EQ(noted_url(*decoded), url);
  set_noted_url(s, url + "u");
  EXPECT_EQ(noted_url(s), "");
  // As older programs write it.
  std::erase_if(s.extensions, [](const Extension& e) { return e.type == 3; });
  ASSERT_TRUE(noted_commits(s));
  EXPECT_EQ(stored_through(s), Seq(0));
}

TEST(JournalFormat, DamagedSuperblockIsRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  check_refused(gen, encode_superblock(random_superblock(gen, 2)), decode_superblock);
}

TEST(JournalFormat, MalformedSuperblockWithAGoodHashIsRefusedOrValid) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const Bytes good = encode_superblock(random_superblock(gen, 3));
  for (std::size_t n = 0; n < wire::kSectorContent; ++n) {
    Bytes changed = good;
    changed[n] ^= static_cast<std::uint8_t>(1 + gen.below(255));
    changed = rehash(changed);
    const auto decoded = decode_superblock(changed);
    if (!decoded) continue;
    ASSERT_EQ(encode_superblock(*decoded), changed) << "nobody looks at byte " << n;
  }
}

TEST(JournalFormat, SuperblockThatBreaksARuleIsRefused) {
  Gen gen(5);
  const auto refused = [](Bytes sector) {
    return is(decode_superblock(rehash(sector)), Code::kCorrupt);
  };
  const Bytes good = encode_superblock(random_superblock(gen, 2));
  ASSERT_TRUE(decode_superblock(rehash(good)));
  Bytes bad = good;
  bad[116] = 17;  // incarnations
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad[119] = 0xff;
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad[208 + 104] = 1;  // the second's number is the first's
  EXPECT_TRUE(refused(bad));
  bad = good;
  std::fill_n(bad.begin() + 208 + 96, 8, std::uint8_t{0});  // the first is open-ended
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad[23] = 0x40;  // a version that nothing can follow
  EXPECT_TRUE(refused(bad));
  bad = good;
  bad[8] = 2;
  EXPECT_TRUE(is(decode_superblock(rehash(bad)), Code::kUnsupported));
}

TEST(JournalFormat, SlotHeaderHasItsGoldenBytes) {
  SlotHeader header;
  for (std::size_t i = 0; i < header.journal.size(); ++i)
    header.journal[i] = static_cast<std::uint8_t>(0xa0 + i);
  header.incarnation = 3;
  header.sequence = 0x1122;
  header.first_seq = Seq(77);
  const Bytes sector = encode_slot_header(header);
  ASSERT_EQ(sector.size(), kSectorBytes);
  EXPECT_EQ(to_hex(ByteView(sector).first(48)),
            "533343422d4a534c0100000003000000"
            "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
            "22110000000000004d00000000000000");
  EXPECT_TRUE(all_zero(ByteView(sector).subspan(48, 4064 - 48)));
  EXPECT_EQ(decode_slot_header(sector).value(), header);
  Bytes bad = sector;
  bad[39] = 0x40;  // a sequence that nothing can follow
  EXPECT_TRUE(is(decode_slot_header(rehash(bad)), Code::kCorrupt));
}

TEST(JournalFormat, DamagedSlotHeaderIsRefused) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  const SlotHeader header{gen.array<16>(), gen.u32(), gen.up_to(wire::kCountedMax), Seq(gen.number())};
  check_refused(gen, encode_slot_header(header), decode_slot_header);
}

TEST(JournalFormat, RecordHeaderHasItsGoldenBytes) {
  RecordHeader header;
  header.journal.fill(0xaa);
  header.incarnation = 1;
  header.slot_sequence = 2;
  header.seq = Seq(9);
  header.previous_tag.fill(0xbb);
  header.durable_through = Seq(8);
  header.sealed_length = 0x100;
  header.extents_length = 0x200;
  EXPECT_EQ(to_hex(encode_record_header(header)),
            "533343422d4a52430100000001000000"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "01000000000100000002000000000000"
            "02000000000000000900000000000000"
            "0800000000000000"
            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
}

TEST(JournalFormat, RecordHeaderSurvivesARoundTripAndDamage) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 20; ++i) {
    const RecordHeader header = random_header(gen);
    const Bytes bytes = encode_record_header(header);
    ASSERT_EQ(bytes.size(), record_header_size());
    ASSERT_EQ(decode_record_header(bytes).value(), header);
    check_damage(gen, bytes, decode_record_header, encode_record_header);
  }
}

TEST(JournalFormat, RecordBodySurvivesARoundTrip) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 50; ++i) {
    std::uint32_t extents_length = 0;
    const RecordBody body = random_body(gen, gen.below(100), extents_length);
    const auto decoded = decode_record_body(encode_record_body(body), extents_length, kBlock);
    ASSERT_TRUE(decoded) << decoded.error().message();
    ASSERT_EQ(*decoded, body);
  }
}

TEST(JournalFormat, DamagedRecordBodyIsRefusedOrValid) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 5; ++i) {
    std::uint32_t extents_length = 0;
    const RecordBody body = random_body(gen, 5, extents_length);
    check_damage(
        gen, encode_record_body(body),
        [&](ByteView b) { return decode_record_body(b, extents_length, kBlock); },
        encode_record_body);
  }
  check_garbage(gen, 2000, [](ByteView b) { return decode_record_body(b, 100000, kBlock); });
}

TEST(JournalFormat, RecordBodyThatBreaksARuleIsRefused) {
  RecordBody body;
  body.disk_bytes = 1 << 30;
  body.extents = {{.segment = 1, .number = 0, .offset = 0, .length = 4144, .digest = {}}};
  body.runs = {{.block = BlockIndex(5), .count = 2, .extent = 0, .first = 0}};
  body.patches = {{.block = BlockIndex(5), .offset = 4000, .data = Bytes(96, 1)}};
  const Bytes good = encode_record_body(body);
  EXPECT_TRUE(decode_record_body(good, 4144, kBlock));
  EXPECT_FALSE(decode_record_body(good, 4143, kBlock));  // an extent ends past the record
  EXPECT_FALSE(decode_record_body(good, 4144, 65536));   // two blocks are more than an extent
  // As it stands: disk, no segments, one extent of 21 bytes, no holes, one run, one patch.
  constexpr std::size_t kRuns = 8 + 1 + 1 + 21 + 1;
  ASSERT_EQ(good[kRuns], 1);
  Bytes bad = good;
  bad[kRuns + 3] = 2;  // extent 1 of 1
  EXPECT_FALSE(decode_record_body(bad, 4144, kBlock));
  bad = good;
  bad[kRuns + 2] = 0;  // no blocks
  EXPECT_FALSE(decode_record_body(bad, 4144, kBlock));
  bad = good;
  bad[kRuns + 4] = 15;  // past the extent
  EXPECT_FALSE(decode_record_body(bad, 4144, kBlock));
  bad = good;
  bad[kRuns] = 2;  // the same blocks twice
  bad.insert(bad.begin() + kRuns + 5, {3, 2, 0, 0});
  EXPECT_FALSE(decode_record_body(bad, 4144, kBlock));
  bad[kRuns + 5] = 0;  // the blocks behind them
  EXPECT_TRUE(decode_record_body(bad, 4144, kBlock));
}

TEST(JournalFormat, RecordCountsFarTooLargeAreRefusedBeforeAllocating) {
  Gen gen(1);
  const Bytes empty = encode_record_body({});
  ASSERT_EQ(empty.size(), 14u);
  for (std::size_t list = 0; list < 6; ++list) {
    for (std::uint64_t count :
         {std::uint64_t{1} << 20, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
      Bytes bytes(empty.begin(), empty.begin() + static_cast<std::ptrdiff_t>(8 + list));
      append(bytes, test::varint_bytes(count));
      append(bytes, gen.bytes(100));
      EXPECT_FALSE(decode_record_body(bytes, 1 << 20, kBlock));
    }
  }
}

}  // namespace
}  // namespace s3crate::journal
