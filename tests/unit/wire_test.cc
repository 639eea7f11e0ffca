// SPDX-License-Identifier: GPL-3.0-or-later
// Wire integers, and the reader and writer of byte strings against plain models.
#include "base/wire.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace s3crate {
namespace {

TEST(WireTest, IntegersAreLittleEndian) {
  EXPECT_EQ(to_hex(wire_bytes(Le16(0x0102))), "0201");
  EXPECT_EQ(to_hex(wire_bytes(Le32(0x01020304))), "04030201");
  EXPECT_EQ(to_hex(wire_bytes(Le64(0x0102030405060708))), "0807060504030201");
  EXPECT_EQ(Le64(UINT64_MAX), UINT64_MAX);
  EXPECT_EQ(Le16(), 0);
}

TEST(WireTest, VarintHasOneFormForEachNumber) {
  const std::map<std::uint64_t, std::string> known = {
      {0, "00"},
      {1, "01"},
      {127, "7f"},
      {128, "8001"},
      {300, "ac02"},
      {16383, "ff7f"},
      {16384, "808001"},
      {UINT64_MAX, "ffffffffffffffffff01"},
      {std::uint64_t{1} << 63, "80808080808080808001"}};
  for (const auto& [value, hex] : known) {
    Bytes out;
    ByteWriter(out).varint(value);
    EXPECT_EQ(to_hex(out), hex);
    ByteReader reader(out);
    EXPECT_EQ(reader.varint(), value);
    EXPECT_TRUE(reader.done());
  }
  for (std::string_view bad :
       {"", "80", "ff", "8000", "ff8000", "ffffffffffffffffff02", "ffffffffffffffffff81",
        "ffffffffffffffffff8100", "80808080808080808000", "8080808080808080808001"}) {
    Bytes in(bad.size() / 2);
    ASSERT_TRUE(from_hex(bad, in));
    ByteReader reader(in);
    EXPECT_EQ(reader.varint(), 0u) << bad;
    EXPECT_FALSE(reader.ok()) << bad;
  }
}

struct Wire {
  Le16 a;
  std::uint8_t b[3];
  Le64 c;
};
static_assert(sizeof(Wire) == 13);

// One item of each kind that the writer knows.
struct Item {
  int kind = 0;
  std::uint64_t number = 0;
  Bytes bytes;
};

Item random_item(std::mt19937_64& engine) {
  Item item;
  item.kind = static_cast<int>(engine() % 8);
  item.number = engine() >> engine() % 64;
  item.bytes.resize(engine() % 40);
  for (std::uint8_t& b : item.bytes) b = static_cast<std::uint8_t>(engine());
  return item;
}

void write(ByteWriter& writer, const Item& item) {
  switch (item.kind) {
    case 0:
      return writer.u8(static_cast<std::uint8_t>(item.number));
    case 1:
      return writer.u16(static_cast<std::uint16_t>(item.number));
    case 2:
      return writer.u32(static_cast<std::uint32_t>(item.number));
    case 3:
      return writer.u64(item.number);
    case 4:
      return writer.varint(item.number);
    case 5:
      return writer.raw(item.bytes);
    case 6:
      return writer.bytes32(item.bytes);
    default: {
      Wire wire{};
      wire.a = static_cast<std::uint16_t>(item.number);
      wire.c = item.number;
      return writer.wire(wire);
    }
  }
}

// Whether the reader gives the item back.
bool reads(ByteReader& reader, const Item& item) {
  switch (item.kind) {
    case 0:
      return reader.u8() == static_cast<std::uint8_t>(item.number);
    case 1:
      return reader.u16() == static_cast<std::uint16_t>(item.number);
    case 2:
      return reader.u32() == static_cast<std::uint32_t>(item.number);
    case 3:
      return reader.u64() == item.number;
    case 4:
      return reader.varint() == item.number;
    case 5:
      return equal(reader.raw(item.bytes.size()), item.bytes);
    case 6:
      return equal(reader.bytes32(40), item.bytes);
    default: {
      const Wire wire = reader.wire<Wire>();
      return wire.a == static_cast<std::uint16_t>(item.number) && wire.c == item.number;
    }
  }
}

TEST(WireTest, WhatIsWrittenIsReadAndEveryPrefixFails) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 engine(seed);
    std::vector<Item> items(1 + engine() % 12);
    Bytes out;
    ByteWriter writer(out);
    for (Item& item : items) {
      item = random_item(engine);
      write(writer, item);
    }
    ASSERT_EQ(writer.size(), out.size());
    ByteReader reader(out);
    for (const Item& item : items) ASSERT_TRUE(reads(reader, item)) << "kind " << item.kind;
    ASSERT_TRUE(reader.done());
    for (std::size_t size = 0; size < out.size(); ++size) {
      ByteReader partial(ByteView(out).first(size));
      for (const Item& item : items) (void)reads(partial, item);
      ASSERT_FALSE(partial.ok()) << size;
      ASSERT_TRUE(partial.at_end());
      ASSERT_FALSE(partial.done());
    }
  }
}

// Random reads of random bytes against a model that is an index and a flag.
TEST(WireTest, ReaderStaysInsideAndStaysFailed) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 engine(seed);
    Bytes in(engine() % 60);
    for (std::uint8_t& b : in) b = engine() % 3 == 0 ? static_cast<std::uint8_t>(engine()) : 0;
    ByteReader reader(in);
    std::size_t at = 0;
    bool ok = true;
    const auto take = [&](std::size_t n) {
      if (!ok || n > in.size() - at) {
        ok = false;
        at = in.size();
        return std::uint64_t{0};
      }
      std::uint64_t v = 0;
      for (std::size_t i = 0; i < n && i < 8; ++i) v |= std::uint64_t{in[at + i]} << 8 * i;
      at += n;
      return v;
    };
    for (int step = 0; step < 20; ++step) {
      switch (engine() % 6) {
        case 0:
          ASSERT_EQ(reader.u8(), take(1));
          break;
        case 1:
          ASSERT_EQ(reader.u16(), take(2));
          break;
        case 2:
          ASSERT_EQ(reader.u32(), take(4));
          break;
        case 3:
          ASSERT_EQ(reader.u64(), take(8));
          break;
        case 4: {
          const std::size_t n = engine() % 12;
          const ByteView raw = reader.raw(n);
          take(n);
          ASSERT_EQ(raw.size(), ok ? n : 0);
          if (!raw.empty()) {
            ASSERT_EQ(raw.data(), in.data() + at - n);
          }
          break;
        }
        default: {
          const std::size_t max = engine() % 20;
          const ByteView bytes = reader.bytes32(max);
          const std::uint64_t n = take(4);
          if (n > max) take(SIZE_MAX);
          take(n);
          ASSERT_EQ(bytes.size(), ok ? n : 0);
        }
      }
      ASSERT_EQ(reader.ok(), ok);
      if (ok) {
        ASSERT_EQ(reader.rest().size(), in.size() - at);
      }
    }
  }
}

TEST(WireTest, CountsAreBoundedByWhatFollows) {
  const auto count = [](std::uint32_t claimed, std::size_t follow, std::size_t item,
                        std::size_t max) {
    Bytes in;
    ByteWriter(in).u32(claimed);
    in.resize(4 + follow);
    ByteReader reader(in);
    const std::uint32_t n = reader.count(item, max);
    return std::pair(n, reader.ok());
  };
  EXPECT_EQ(count(3, 30, 10, 3), std::pair(3u, true));
  EXPECT_EQ(count(3, 29, 10, 3), std::pair(0u, false));
  EXPECT_EQ(count(3, 30, 10, 2), std::pair(0u, false));
  EXPECT_EQ(count(UINT32_MAX, 100, 1, SIZE_MAX), std::pair(0u, false));
  EXPECT_EQ(count(UINT32_MAX, 100, 1 << 30, SIZE_MAX), std::pair(0u, false));
  EXPECT_EQ(count(0, 0, 10, 0), std::pair(0u, true));
}

TEST(WireTest, AskedToFailItFails) {
  const Bytes in = {1, 2, 3};
  ByteReader reader(in);
  EXPECT_EQ(reader.u8(), 1);
  reader.fail();
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.u8(), 0);
  EXPECT_EQ(reader.array<2>(), (std::array<std::uint8_t, 2>{}));
}

}  // namespace
}  // namespace s3crate
