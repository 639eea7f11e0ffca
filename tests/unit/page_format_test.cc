// SPDX-License-Identifier: GPL-3.0-or-later
// Pages and map objects: round trips, order, damage, places, golden bytes.
#include <gtest/gtest.h>

#include "tests/support/commit_gen.h"
#include "volume/codec.h"
#include "volume/page.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

using segment::ObjectKind;
using test::Gen;
using test::random_page_ref;

Bytes random_key(Gen& gen, std::size_t max) {
  Bytes key(1 + gen.below(max));
  for (std::uint8_t& b : key) b = static_cast<std::uint8_t>(gen.below(4));  // with much in common
  return key;
}

Page random_page(Gen& gen, PageKind kind, TreeId tree, std::size_t size) {
  Page page;
  page.kind = kind;
  page.tree = tree;
  if (kind == PageKind::inner) page.level = static_cast<std::uint8_t>(1 + gen.below(kTreeLevelMax));
  if (kind == PageKind::delta) page.base = random_page_ref(gen);
  if (tree == TreeId::map && kind != PageKind::inner) {
    for (const segment::Run& run : gen.runs(size, segment::kDiskBlocksMax, kind == PageKind::delta))
      page.entries.push_back(encode_run(run));
  } else {
    for (const Bytes& key : gen.ascending<Bytes>(size, [&] { return random_key(gen, 12); }))
      page.entries.push_back({key, kind == PageKind::inner ? encode_page_ref(random_page_ref(gen))
                                                           : gen.bytes(gen.below(30))});
  }
  if (!page.entries.empty() && gen.coin()) {
    page.first_key = page.entries[0].key;
    if (gen.coin()) page.first_key.pop_back();
  }
  page.extensions = gen.extensions();
  return page;
}

TEST(PageFormat, EveryKindAndTreeSurvivesARoundTrip) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (PageKind kind : {PageKind::leaf, PageKind::inner, PageKind::delta}) {
    for (std::uint8_t tree = 1; tree <= 7; ++tree) {
      for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{300}}) {
        const Page page = random_page(gen, kind, TreeId{tree}, size);
        const auto decoded = decode_page(encode_page(page));
        ASSERT_TRUE(decoded) << decoded.error().message();
        ASSERT_EQ(*decoded, page);
      }
    }
  }
}

TEST(PageFormat, DamagedPlainPageIsRefusedOrValid) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (PageKind kind : {PageKind::leaf, PageKind::inner, PageKind::delta}) {
    for (TreeId tree : {TreeId::map, TreeId::tags})
      check_damage(gen, encode_page(random_page(gen, kind, tree, 5)), decode_page, encode_page);
  }
  check_garbage(gen, 5000, decode_page);
}

TEST(PageFormat, EntriesOutOfOrderAreRefused) {
  // head, first key "b" | two entries without prefixes in common, empty values
  const auto page = [](std::string_view first,
                       std::initializer_list<std::pair<std::uint8_t, std::string_view>> entries) {
    Bytes out;
    ByteWriter writer(out);
    writer.raw(wire_bytes(wire::PageHead{1, 6, 0, 0}));
    put_bytes(writer, as_bytes(first));
    writer.varint(entries.size());
    for (const auto& [shared, rest] : entries) {
      writer.varint(shared);
      writer.varint(rest.size());
      writer.varint(0);
      writer.raw(as_bytes(rest));
    }
    writer.varint(0);
    return decode_page(out);
  };
  EXPECT_TRUE(page("b", {{0, "c"}, {0, "d"}}));
  EXPECT_TRUE(page("b", {{1, ""}, {1, "a"}}));  // "b" itself, "ba"
  EXPECT_TRUE(page("", {{0, "c"}, {1, "a"}}));
  EXPECT_FALSE(page("b", {{0, "a"}}));            // below the first key
  EXPECT_FALSE(page("b", {{0, "d"}, {0, "c"}}));  // descending
  EXPECT_FALSE(page("b", {{0, "c"}, {1, ""}}));   // twice
  EXPECT_FALSE(page("b", {{0, "ca"}, {1, ""}}));  // "c" after "ca"
  EXPECT_FALSE(page("b", {{0, "bc"}}));           // less is shared than could be
  EXPECT_FALSE(page("b", {{2, "c"}}));            // more is shared than there is
  EXPECT_FALSE(page("", {{0, ""}}));              // an empty key
  EXPECT_FALSE(page(std::string(513, 'a'), {}));
  EXPECT_FALSE(page("", {{0, std::string(513, 'a')}}));
}

TEST(PageFormat, OverlappingRunsOfTheMapAreRefused) {
  Gen gen(1);
  const auto leaf = [&](std::uint64_t second) {
    Bytes out;
    ByteWriter writer(out);
    writer.raw(wire_bytes(wire::PageHead{1, 1, 0, 0}));
    writer.varint(0);
    writer.varint(2);
    Bytes previous;
    for (std::uint64_t block : {std::uint64_t{0x100}, second}) {
      const PageEntry entry = encode_run({.block = BlockIndex(block),
                                          .count = 4,
                                          .hole = false,
                                          .first = 0,
                                          .extent = gen.extent_ref()});
      const std::size_t shared = previous.empty() ? 0 : 7;
      writer.varint(shared);
      writer.varint(8 - shared);
      writer.varint(entry.value.size());
      writer.raw(ByteView(entry.key).subspan(shared));
      writer.raw(entry.value);
      previous = entry.key;
    }
    writer.varint(0);
    return decode_page(out);
  };
  EXPECT_TRUE(leaf(0x104));
  EXPECT_FALSE(leaf(0x103));
}

TEST(PageFormat, LevelsAndKindsThatDoNotExistAreRefused) {
  Gen gen(1);
  const Bytes good = encode_page(random_page(gen, PageKind::leaf, TreeId::tags, 3));
  const auto with = [&](std::size_t at, std::uint8_t value) {
    Bytes bytes = good;
    bytes[at] = value;
    return decode_page(bytes);
  };
  EXPECT_TRUE(with(0, 1));
  for (std::uint8_t kind : {0, 4, 255}) EXPECT_FALSE(with(0, kind));
  for (std::uint8_t tree : {0, 8, 255}) EXPECT_FALSE(with(1, tree));
  EXPECT_FALSE(with(2, 1)) << "a leaf above level 0";
  EXPECT_FALSE(with(3, 1)) << "reserved";
}

TEST(PageFormat, CountsFarTooLargeAreRefusedBeforeAllocating) {
  Gen gen(1);
  for (std::uint64_t count : {std::uint64_t{20000}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    Bytes bytes;
    ByteWriter writer(bytes);
    writer.raw(wire_bytes(wire::PageHead{1, 6, 0, 0}));
    writer.varint(0);
    writer.varint(count);
    writer.raw(gen.bytes(1000));
    EXPECT_FALSE(decode_page(bytes));
  }
}

TEST(PageFormat, BoundOfAnEntryHolds) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 30; ++i) {
    Page page = random_page(gen, PageKind::leaf, TreeId::tags, gen.below(200));
    page.entries.push_back({Bytes(512, 9), gen.bytes(gen.below(3000))});
    std::size_t bound = 0;
    for (const PageEntry& e : page.entries) bound += encoded_entry_bound(e.key, e.value);
    Page empty = page;
    empty.entries.clear();
    // The count of entries takes up to three bytes, two more than in an empty page.
    EXPECT_LE(encode_page(page).size(), encode_page(empty).size() + 2 + bound);
  }
}

TEST(PageFormat, RunsSurviveARoundTripAndDamage) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (const segment::Run& run : gen.runs(200, segment::kDiskBlocksMax, true)) {
    const PageEntry entry = encode_run(run);
    ASSERT_EQ(decode_run(entry).value(), run);
    check_damage(
        gen, entry.value,
        [&](ByteView b) {
          return decode_run({entry.key, Bytes(b.begin(), b.end())});
        },
        [](const segment::Run& r) { return encode_run(r).value; });
  }
}

TEST(PageFormat, KeysOfTheMapSortAsBlocks) {
  Gen gen(1);
  const auto key = [](std::uint64_t block) {
    return encode_run(
               {.block = BlockIndex(block), .count = 1, .hole = true, .first = 0, .extent = {}})
        .key;
  };
  EXPECT_LT(key(255), key(256));
  EXPECT_LT(key(0xffff), key(0x10000));
  EXPECT_EQ(to_hex(key(0x123456)), "0000000000123456");
}

TEST(PageFormat, ObjectInfoSurvivesARoundTripAndDamage) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    ObjectInfo info;
    info.key = gen.object_key();
    info.kind = ObjectKind{kind};
    info.born = Generation(1 + gen.number() / 2);
    info.length = info.kind == ObjectKind::inline_extents ? 5000 : 8 << 20;
    if (info.kind != ObjectKind::inline_extents) {
      info.nonce = gen.array<16>();
      info.hash = gen.array<32>();
    }
    if (info.kind == ObjectKind::segment) {
      info.index_offset = 8'000'000;
      info.index_length = 5000;
    }
    if (info.kind != ObjectKind::map) {
      info.ring = gen.u32();
      info.sealed_secret = gen.array<80>();
      info.blocks = gen.up_to(100000);
    }
    const PageEntry entry = encode_object_info(info);
    EXPECT_EQ(entry.key, object_table_key(info.key));
    EXPECT_EQ(decode_object_info(entry).value(), info);
    check_damage(
        gen, entry.value,
        [&](ByteView b) {
          return decode_object_info({entry.key, Bytes(b.begin(), b.end())});
        },
        [](const ObjectInfo& i) { return encode_object_info(i).value; });
  }
  EXPECT_EQ(to_hex(object_table_key({0x102, ObjectId::of(3, 4)})), "01020000030000000004");
}

TEST(PageFormat, PageRefSurvivesARoundTripAndDamage) {
  SEEDED_TEST(seed);
  Gen gen(seed);
  for (int i = 0; i < 50; ++i) {
    const PageRef ref = random_page_ref(gen);
    ASSERT_EQ(decode_page_ref(encode_page_ref(ref)).value(), ref);
    check_damage(gen, encode_page_ref(ref), decode_page_ref, encode_page_ref);
  }
}

TEST(MapObjectFormat, HeaderHasItsGoldenBytesAndRefusesDamage) {
  Gen gen(1);
  MapObjectHeader header;
  header.vid.fill(0xaa);
  header.id = ObjectId::of(2, 5);
  const Bytes bytes = encode_map_object_header(header);
  EXPECT_EQ(to_hex(bytes),
            "533343422d4d41500100000000000000" + to_hex(header.vid) + "0500000000020000");
  EXPECT_EQ(bytes.size(), map_object_header_size());
  EXPECT_EQ(decode_map_object_header(bytes).value(), header);
  check_damage(gen, bytes, decode_map_object_header, encode_map_object_header);
}

struct MapWorld {
  explicit MapWorld(std::uint64_t seed) : gen(seed), key(crypto::Secret(gen.random)) {
    header = {.vid = gen.array<32>(), .id = gen.object_id(), .flags = 0};
    object = encode_map_object_header(header);
    nonce = gen.array<16>();
    for (int i = 0; i < 3; ++i) {
      pages.push_back(random_page(gen, PageKind::leaf, TreeId::map, 5));
      refs.push_back(seal_page(header, nonce, 7, pages.back(), key, gen.random, object));
    }
  }
  [[nodiscard]] ByteView stored(const PageRef& ref) const {
    return ByteView(object).subspan(ref.offset, ref.length);
  }
  Gen gen;
  crypto::SealingKey key;
  MapObjectHeader header;
  ObjectNonce nonce{};
  Bytes object;
  std::vector<Page> pages;
  std::vector<PageRef> refs;
};

TEST(MapObjectFormat, SealedPagesOpenAndEveryDamageIsRefused) {
  SEEDED_TEST(seed);
  MapWorld w(seed);
  const crypto::OpeningKey key = w.key.opening_key();
  for (std::size_t i = 0; i < w.pages.size(); ++i) {
    const PageRef& ref = w.refs[i];
    EXPECT_EQ(ref.nonce, w.nonce);
    EXPECT_EQ(ref.object, (ObjectKey{0, w.header.id}));
    EXPECT_EQ(sealed_page_ring(w.stored(ref)).value(), 7u);
    EXPECT_EQ(open_page(w.header, ref, w.stored(ref), key).value(), w.pages[i]);
  }
  const PageRef& ref = w.refs[1];
  const ByteView good = w.stored(ref);
  check_refused(w.gen, Bytes(good.begin(), good.end()),
                [&](ByteView b) { return open_page(w.header, ref, b, key); });
}

TEST(MapObjectFormat, PageOpensOnlyInItsPlaceEvenIfTheHashFits) {
  SEEDED_TEST(seed);
  MapWorld w(seed);
  const crypto::OpeningKey key = w.key.opening_key();
  const PageRef& good = w.refs[1];
  Bytes stored(w.stored(good).begin(), w.stored(good).end());
  const auto open = [&](const MapObjectHeader& header, PageRef ref, const Bytes& bytes) {
    ref.object.id = header.id;
    ref.hash = crypto::blake2b(bytes);
    return open_page(header, ref, bytes, key);
  };
  ASSERT_TRUE(open(w.header, good, stored));
  PageRef ref = good;
  ref.offset = w.refs[0].offset;
  EXPECT_FALSE(open(w.header, ref, stored)) << "another offset";
  MapObjectHeader header = w.header;
  header.vid[0] ^= 1;
  EXPECT_FALSE(open(header, good, stored)) << "another volume";
  header = w.header;
  header.id.value ^= std::uint64_t{1} << 40;  // the epoch
  EXPECT_FALSE(open(header, good, stored)) << "another object";
  stored[0] ^= 1;
  EXPECT_FALSE(open(w.header, good, stored)) << "another ring";
}

TEST(MapObjectFormat, HashIsCheckedBeforeAPageIsOpened) {
  MapWorld w(4);
  const crypto::OpeningKey wrong{crypto::Secret(w.gen.random)};
  PageRef ref = w.refs[0];
  ref.hash[0] ^= 1;
  const auto opened = open_page(w.header, ref, w.stored(ref), wrong);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message().find("hash"), std::string::npos);
}

}  // namespace
}  // namespace s3crate::volume
