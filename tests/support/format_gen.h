// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of formats share: random values, and what every decoder owes to damaged bytes.
//
// All encodings are canonical: what a decoder accepts encodes to the very same bytes. So a damaged
// form is refused, or is the form of another valid value; check_damage() tells both apart from a
// field that nobody looks at.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <set>
#include <string>

#include "segment/codec.h"
#include "segment/extension.h"
#include "tests/support/seed.h"
#include "tests/support/seeded_random.h"

namespace s3crate::test {

class Gen {
 public:
  explicit Gen(std::uint64_t seed) : random(seed), engine_(seed) {
    EXPECT_TRUE(crypto::initialise().has_value());
  }

  // 0 to n - 1.
  std::uint64_t below(std::uint64_t n) { return engine_() % n; }
  bool coin() { return below(2) == 0; }
  // Up to max, of any magnitude.
  std::uint64_t up_to(std::uint64_t max) {
    const int width = std::bit_width(max);
    const std::uint64_t v = engine_() >> (64 - 1 - below(static_cast<std::uint64_t>(width)));
    return std::min(v, max);
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(up_to(UINT32_MAX)); }
  std::uint64_t number() { return up_to(segment::kNumberMax); }
  Bytes bytes(std::size_t n) {
    Bytes out(n);
    random.fill(out);
    return out;
  }
  template <std::size_t N>
  std::array<std::uint8_t, N> array() {
    return random.array<N>();
  }
  std::string text(std::size_t max) {
    std::string out;
    for (std::uint64_t n = below(max + 1); n > 0; --n)
      out.push_back(static_cast<char>('a' + below(26)));
    return out;
  }
  segment::ObjectId object_id() {
    return segment::ObjectId::of(static_cast<std::uint32_t>(up_to(segment::ObjectId::kEpochMax)),
                                 1 + up_to(segment::ObjectId::kCounterMax - 1));
  }
  segment::ObjectKey object_key() {
    return {static_cast<std::uint16_t>(coin() ? 0 : up_to(64)), object_id()};
  }
  segment::ExtentRef extent_ref() {
    segment::ExtentRef ref;
    ref.object = object_key();
    ref.number = u32();
    ref.length = segment::kSealedExtentMin +
                 static_cast<std::uint32_t>(
                     below(segment::kSealedExtentMax - segment::kSealedExtentMin + 1));
    ref.offset = static_cast<std::uint32_t>(up_to(segment::kObjectBytesMax - ref.length));
    ref.digest = array<16>();
    return ref;
  }
  // Sorted, apart, within `blocks`.
  std::vector<segment::Run> runs(std::size_t n, std::uint64_t blocks, bool holes) {
    std::vector<segment::Run> out;
    std::vector<segment::ObjectKey> objects = {object_key(), object_key(), object_key()};
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < n; ++i) {
      segment::Run run;
      run.block = BlockIndex(at + up_to(1000));
      run.hole = holes && below(4) == 0;
      run.count = 1 + (run.hole ? up_to(1 << 20) : below(16));
      if (!run.hole) {
        run.first = static_cast<std::uint16_t>(below(16 - run.count + 1));
        run.extent = extent_ref();
        run.extent.object = objects[below(objects.size())];
      }
      if (run.end().value > blocks) break;
      at = run.end().value;
      out.push_back(run);
    }
    return out;
  }
  template <typename T, typename Make>
  std::vector<T> ascending(std::size_t n, Make make) {
    std::set<T> set;
    for (std::size_t i = 0; i < n; ++i) set.insert(make());
    return {set.begin(), set.end()};
  }
  std::vector<segment::Extension> extensions() {
    std::vector<segment::Extension> out;
    for (std::uint64_t type : ascending<std::uint64_t>(below(3), [&] { return below(65536); }))
      out.push_back({static_cast<std::uint16_t>(type), false, bytes(below(20))});
    return out;
  }

  SeededRandom random;

 private:
  std::mt19937_64 engine_;
};

// Every shorter form is refused, so is one byte more, and every form with one byte changed is
// refused or valid. `decode` answers a Result; `encode` gives what it accepted its bytes back.
template <typename Decode, typename Encode>
void check_damage(Gen& gen, const Bytes& good, Decode decode, Encode encode) {
  ASSERT_TRUE(decode(good));
  for (std::size_t n = 0; n < good.size(); ++n) {
    const Bytes shorter(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(n));
    ASSERT_FALSE(decode(shorter)) << "cut at " << n << " of " << good.size();
  }
  Bytes longer = good;
  longer.push_back(0);
  ASSERT_FALSE(decode(longer));
  for (std::size_t n = 0; n < good.size(); ++n) {
    Bytes changed = good;
    changed[n] ^= static_cast<std::uint8_t>(1 + gen.below(255));
    auto decoded = decode(changed);
    if (!decoded) {
      ASSERT_TRUE(decoded.error().code() == Code::kCorrupt ||
                  decoded.error().code() == Code::kUnsupported)
          << "byte " << n << ": " << decoded.error().message();
    } else {
      ASSERT_EQ(encode(*decoded), changed) << "nobody looks at byte " << n;
    }
  }
}

// The same for what is signed or sealed: every change is refused.
template <typename Decode>
void check_refused(Gen& gen, const Bytes& good, Decode decode) {
  ASSERT_TRUE(decode(good));
  for (std::size_t n = 0; n < good.size(); ++n) {
    Bytes changed = good;
    changed[n] ^= static_cast<std::uint8_t>(1 + gen.below(255));
    ASSERT_FALSE(decode(changed)) << "byte " << n << " of " << good.size();
    changed.resize(n);
    ASSERT_FALSE(decode(changed)) << "cut at " << n << " of " << good.size();
  }
  Bytes longer = good;
  longer.push_back(0);
  ASSERT_FALSE(decode(longer));
}

// Random bytes never do harm.
template <typename Decode>
void check_garbage(Gen& gen, std::size_t rounds, Decode decode) {
  for (std::size_t i = 0; i < rounds; ++i) (void)decode(gen.bytes(gen.below(400)));
}

inline Bytes varint_bytes(std::uint64_t v) {
  Bytes out;
  ByteWriter(out).varint(v);
  return out;
}

}  // namespace s3crate::test
