// SPDX-License-Identifier: GPL-3.0-or-later
// How the instructions are used: Intel, "New Instructions Supporting the Secure Hash Algorithm on Intel Architecture Processors"
// (2013), with the state as they want it: ABEF and CDGH.
#include "crypto/sha256_pair.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace s3crate::crypto::internal {

#ifdef __x86_64__

namespace {

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))
#define WITH_SHA_INLINE WITH_SHA __attribute__((always_inline)) inline

constexpr std::size_t kBlock = 64;
constexpr std::size_t kLengthSize = 8;

alignas(16) constexpr std::uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The state of one message.
struct Lane {
  __m128i abef, cdgh;
};
// Sixteen words of its schedule.
struct Words {
  __m128i four[4];
};

WITH_SHA_INLINE Lane begun() {
  return {_mm_set_epi32(0x6a09e667, static_cast<int>(0xbb67ae85), 0x510e527f, static_cast<int>(0x9b05688c)),
          _mm_set_epi32(0x3c6ef372, static_cast<int>(0xa54ff53a), 0x1f83d9ab, 0x5be0cd19)};
}

WITH_SHA_INLINE __m128i big_endian(__m128i words) {
  return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

WITH_SHA_INLINE Words words_of(const std::uint8_t* block) {
  Words words;
  for (int i = 0; i < 4; ++i) words.four[i] = big_endian(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block) + i));
  return words;
}

// Rounds 4 k to 4 k + 3, and the words of sixteen rounds later.
template <std::size_t k>
WITH_SHA_INLINE void four_rounds(Lane& lane, Words& words) {
  __m128i& now = words.four[k % 4];
  const __m128i last = words.four[(k + 3) % 4];
  const __m128i sum = _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(kRound) + k));
  lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, sum);
  lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32(sum, 0x0e));
  if constexpr (k < 12) {
    const __m128i shifted = _mm_alignr_epi8(last, words.four[(k + 2) % 4], 4);
    now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, words.four[(k + 1) % 4]), shifted), last);
  }
}

template <std::size_t... k>
WITH_SHA_INLINE void all_rounds(Lane& a, Words& words_a, Lane& b, Words& words_b, std::index_sequence<k...>) {
  ((four_rounds<k>(a, words_a), four_rounds<k>(b, words_b)), ...);
}

WITH_SHA void add_blocks(Lane& a, Lane& b, const std::uint8_t* from_a, const std::uint8_t* from_b, std::size_t count) {
  for (; count > 0; --count, from_a += kBlock, from_b += kBlock) {
    Lane x = a, y = b;
    Words words_x = words_of(from_a), words_y = words_of(from_b);
    all_rounds(x, words_x, y, words_y, std::make_index_sequence<16>());
    a = {_mm_add_epi32(a.abef, x.abef), _mm_add_epi32(a.cdgh, x.cdgh)};
    b = {_mm_add_epi32(b.abef, y.abef), _mm_add_epi32(b.cdgh, y.cdgh)};
  }
}

// Beside a lane that nobody asks for: one alone takes as long.
WITH_SHA void add_blocks(Lane& lane, ByteView data) {
  Lane idle = begun();
  add_blocks(lane, idle, data.data(), data.data(), data.size() / kBlock);
}

WITH_SHA Sha256 result(const Lane& lane) {
  const __m128i feba = _mm_shuffle_epi32(lane.abef, 0x1b), dchg = _mm_shuffle_epi32(lane.cdgh, 0xb1);
  Sha256 out;
  auto* const to = reinterpret_cast<__m128i*>(out.data());
  _mm_storeu_si128(to, big_endian(_mm_blend_epi16(feba, dchg, 0xf0)));
  _mm_storeu_si128(to + 1, big_endian(_mm_alignr_epi8(dchg, feba, 8)));
  return out;
}

// What stands behind the whole blocks of a message: its rest, a one, zeros, its length in bits.
class Tail {
 public:
  explicit Tail(ByteView message) {
    const ByteView rest = message.subspan(message.size() / kBlock * kBlock);
    std::ranges::copy(rest, bytes_.begin());
    bytes_[rest.size()] = 0x80;
    size_ = rest.size() + 1 + kLengthSize > kBlock ? 2 * kBlock : kBlock;
    const std::uint64_t bits = std::uint64_t{message.size()} * 8;
    for (std::size_t i = 0; i < kLengthSize; ++i) bytes_[size_ - 1 - i] = static_cast<std::uint8_t>(bits >> (8 * i));
  }
  [[nodiscard]] ByteView view() const { return ByteView(bytes_).first(size_); }

 private:
  std::array<std::uint8_t, 2 * kBlock> bytes_{};
  std::size_t size_;
};

bool cpu_has_sha() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("sse4.1") != 0 && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & (1u << 29)) != 0;
}

}  // namespace

bool has_sha256_pair() {
  static const bool has = cpu_has_sha();
  return has;
}

WITH_SHA std::array<Sha256, 2> sha256_pair(ByteView a, ByteView b) {
  CHECK(has_sha256_pair());
  Lane x = begun(), y = begun();
  const std::size_t together = std::min(a.size(), b.size()) / kBlock;
  add_blocks(x, y, a.data(), b.data(), together);
  add_blocks(x, a.subspan(together * kBlock));
  add_blocks(y, b.subspan(together * kBlock));
  add_blocks(x, Tail(a).view());
  add_blocks(y, Tail(b).view());
  return {result(x), result(y)};
}

#else

bool has_sha256_pair() { return false; }
std::array<Sha256, 2> sha256_pair(ByteView, ByteView) {
  CHECK(has_sha256_pair());
  return {};
}

#endif

}  // namespace s3crate::crypto::internal
