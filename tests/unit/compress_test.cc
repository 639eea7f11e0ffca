// SPDX-License-Identifier: GPL-3.0-or-later
// Compression gives back what it took, is not worth it where it should not be, and refuses
// everything malformed.
#include "compress/compress.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "compress/probe.h"
#include "tests/support/sanitized.h"

namespace s3crate::compress {
namespace {

constexpr std::size_t kExtent = 64 * 1024;

Bytes random_bytes(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 engine(seed);
  Bytes out(size);
  for (std::uint8_t& b : out) b = static_cast<std::uint8_t>(engine());
  return out;
}

// Words of a small vocabulary: about as compressible as prose.
Bytes prose(std::uint64_t seed, std::size_t size) {
  static constexpr std::string_view kWords[] = {
      "the ",  "volume ", "of ",      "segment ", "extent", ", ",     "and ",   "reads ",
      "block", " is ",    "journal ", "never ",   "a ",     "lost. ", "Commit", "\n"};
  std::mt19937_64 engine(seed);
  Bytes out;
  while (out.size() < size) append(out, as_bytes(kWords[engine() % std::size(kWords)]));
  out.resize(size);
  return out;
}

Bytes base64_like(std::uint64_t seed, std::size_t size) {
  Bytes out = random_bytes(seed, size);
  for (std::uint8_t& b : out) b = static_cast<std::uint8_t>('0' + (b & 63));
  return out;
}

void overwrite(Bytes& in, std::size_t at, ByteView with) {
  std::copy(with.begin(), with.end(), in.begin() + static_cast<std::ptrdiff_t>(at));
}

Bytes packed_with_zstd(ByteView raw) {
  Bytes out(ZSTD_compressBound(raw.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), raw.data(), raw.size(), 3));
  return out;
}

void expect_round_trip(ByteView raw, int level) {
  Bytes packed = {1, 2, 3};
  const Codec codec = compress(raw, level, packed);
  ASSERT_TRUE(equal(ByteView(packed).first(3), Bytes{1, 2, 3}));
  if (codec == Codec::none) {
    ASSERT_EQ(packed.size(), 3u);
    append(packed, raw);
  } else {
    ASSERT_LE(packed.size() - 3, raw.size() - raw.size() / 32);
    ASSERT_LT(packed.size() - 3, raw.size());
  }
  if (codec == Codec::none) return;
  Bytes out(raw.size());
  const Result<> opened = decompress(ByteView(packed).subspan(3), out);
  ASSERT_TRUE(opened) << opened.error().message();
  ASSERT_TRUE(equal(out, raw));
}

TEST(CompressTest, GivesBackWhatItTook) {
  for (int level : {1, 3, 9, 19}) {
    for (std::size_t size : {0, 1, 2, 31, 32, 33, 500, 512, 1023, 1024, 4095, 4096, 65535, 65536}) {
      SCOPED_TRACE(testing::Message() << "level " << level << " size " << size);
      expect_round_trip(prose(size, size), level);
      expect_round_trip(random_bytes(size, size), level);
      expect_round_trip(Bytes(size), level);
    }
  }
}

TEST(CompressTest, GivesBackMixturesOfAllKinds) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 engine(seed);
    Bytes raw;
    while (raw.size() < kExtent && engine() % 8 != 0) {
      const std::size_t n = engine() % 9000;
      switch (engine() % 4) {
        case 0:
          append(raw, random_bytes(seed, n));
          break;
        case 1:
          append(raw, prose(seed, n));
          break;
        case 2:
          append(raw, Bytes(n, static_cast<std::uint8_t>(seed)));
          break;
        default:
          append(raw, base64_like(seed, n));
      }
    }
    expect_round_trip(raw, 1 + static_cast<int>(engine() % 3));
  }
}

TEST(CompressTest, TextShrinksAndRandomDataIsLeftAlone) {
  Bytes out;
  EXPECT_EQ(compress(prose(1, kExtent), 3, out), Codec::zstd);
  EXPECT_LT(out.size(), kExtent / 2);
  out.clear();
  EXPECT_EQ(compress(random_bytes(1, kExtent), 3, out), Codec::none);
  EXPECT_EQ(compress(random_bytes(1, 4096), 3, out), Codec::none);
  EXPECT_EQ(compress(random_bytes(1, 700), 3, out), Codec::none);  // too small for the quick look
  EXPECT_EQ(compress({}, 3, out), Codec::none);
  EXPECT_TRUE(out.empty());
}

TEST(CompressTest, LevelZeroCompressesNothing) {
  Bytes out;
  EXPECT_EQ(compress(prose(1, kExtent), 0, out), Codec::none);
  EXPECT_TRUE(out.empty());
}

TEST(CompressTest, SavingLessThanAThirtySecondIsNotWorthIt) {
  Bytes raw = random_bytes(1, kExtent);
  overwrite(raw, 0, Bytes(kExtent / 32 - 100));
  Bytes out;
  EXPECT_EQ(compress(raw, 3, out), Codec::none);
  EXPECT_TRUE(out.empty());
  overwrite(raw, 0, Bytes(kExtent / 32 + 400));
  EXPECT_EQ(compress(raw, 3, out), Codec::zstd);
  EXPECT_LE(out.size(), kExtent - kExtent / 32);
}

TEST(CompressTest, QuickLookRejectsNothingThatShrinks) {
  for (std::uint64_t seed = 1; seed <= (test::kSanitized ? 20 : 200); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    for (std::size_t size : {1024u, 4096u, 20000u, 65536u}) {
      ASSERT_FALSE(looks_random(prose(seed, size)));
      ASSERT_FALSE(looks_random(base64_like(seed, size)));
      ASSERT_FALSE(looks_random(Bytes(size, static_cast<std::uint8_t>(seed))));
    }
    // One block of text in an extent of noise, wherever it is.
    Bytes mixed = random_bytes(seed, kExtent);
    overwrite(mixed, 4096 * (seed % 16), prose(seed, 4096));
    ASSERT_FALSE(looks_random(mixed));
    // The same noise twice and more.
    Bytes repeated;
    while (repeated.size() < kExtent) append(repeated, random_bytes(seed, 512 << seed % 6));
    ASSERT_FALSE(looks_random(repeated));
    // Every value as often as any other.
    Bytes ramp(kExtent);
    for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<std::uint8_t>(i + seed);
    ASSERT_FALSE(looks_random(ramp));
    // Arrays of numbers: even in their low bytes, not in their high ones.
    Bytes numbers = random_bytes(seed, kExtent);
    for (std::size_t i = 7; i < numbers.size(); i += 8) numbers[i] = 0x3f;
    ASSERT_FALSE(looks_random(numbers));
  }
}

TEST(CompressTest, QuickLookRecognisesNoiseAndCompressedData) {
  for (std::uint64_t seed = 1; seed <= (test::kSanitized ? 50 : 500); ++seed) {
    for (std::size_t size : {1024u, 4096u, 12288u, 65536u}) {
      ASSERT_TRUE(looks_random(random_bytes(seed, size))) << seed << " " << size;
    }
  }
  const Bytes packed = packed_with_zstd(prose(1, 4 << 20));
  ASSERT_GT(packed.size(), 2 * kExtent);
  EXPECT_TRUE(looks_random(ByteView(packed).subspan(kExtent, kExtent)));
}

TEST(DecompressTest, OtherLengthIsRefused) {
  const Bytes packed = packed_with_zstd(prose(1, kExtent));
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, kExtent - 1, kExtent + 1, kExtent * 1000}) {
    Bytes out(size);
    EXPECT_TRUE(is(decompress(packed, out), Code::kCorrupt)) << size;
  }
}

TEST(DecompressTest, TruncatedOrPrecededOrFollowedDataIsRefused) {
  const Bytes raw = prose(1, 5000);
  const Bytes packed = packed_with_zstd(raw);
  Bytes out(raw.size());
  for (std::size_t size = 0; size < packed.size(); ++size) {
    ASSERT_TRUE(is(decompress(ByteView(packed).first(size), out), Code::kCorrupt)) << size;
  }
  Bytes followed = packed;
  followed.push_back(0);
  EXPECT_TRUE(is(decompress(followed, out), Code::kCorrupt));
  // Two frames that hold the right number of bytes together.
  Bytes two = packed_with_zstd(ByteView(raw).first(2000));
  append(two, packed_with_zstd(ByteView(raw).subspan(2000)));
  EXPECT_TRUE(is(decompress(two, out), Code::kCorrupt));
  // A skippable frame in front.
  Bytes skipping = {0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 'x'};
  append(skipping, packed);
  EXPECT_TRUE(is(decompress(skipping, out), Code::kCorrupt));
}

TEST(DecompressTest, BombsAreRefused) {
  // A frame of one empty block that claims to hold 2^60 bytes.
  constexpr std::uint64_t kClaim = std::uint64_t{1} << 60;
  const Bytes liar = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0};
  ASSERT_EQ(ZSTD_getFrameContentSize(liar.data(), liar.size()), kClaim);
  Bytes out(kExtent);
  EXPECT_TRUE(is(decompress(liar, out), Code::kCorrupt));
  // An honest bomb: 64 MiB of zeros where 64 KiB belong.
  const Bytes bomb = packed_with_zstd(Bytes(64 << 20));
  EXPECT_TRUE(is(decompress(bomb, out), Code::kCorrupt));
  // What really grows that much is given back, if it was asked for.
  Bytes large(64 << 20, 1);
  EXPECT_TRUE(decompress(bomb, large));
  EXPECT_TRUE(all_zero(large));
}

TEST(DecompressTest, DamageNeverWritesBeyondTheEnd) {
  const Bytes raw = prose(1, 3000);
  const Bytes packed = packed_with_zstd(raw);
  std::size_t refused = 0;
  for (std::size_t i = 0; i < packed.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = packed;
      damaged[i] ^= static_cast<std::uint8_t>(1 << bit);
      Bytes out(raw.size() + 8, 7);
      refused += !decompress(damaged, MutableByteView(out).first(raw.size()));
      ASSERT_TRUE(equal(ByteView(out).subspan(raw.size()), Bytes(8, 7))) << i << "." << bit;
    }
  }
  EXPECT_GT(refused, packed.size());
}

}  // namespace
}  // namespace s3crate::compress
