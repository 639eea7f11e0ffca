// SPDX-License-Identifier: GPL-3.0-or-later
// curve.h against libsodium: any numbers and points, and the odd ones.
#include "tests/sim/curve.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include "tests/sim/sim_random.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

CurveBytes any(Dice& dice) {
  CurveBytes out;
  for (auto& byte : out) byte = static_cast<std::uint8_t>(dice.below(256));
  return out;
}

// crypto_scalarmult_base is wrapped in this program.
CurveBytes public_key(const CurveBytes& secret) {
  static constexpr CurveBytes kBase{9};
  CurveBytes out;
  EXPECT_EQ(crypto_scalarmult(out.data(), secret.data(), kBase.data()), 0);
  return out;
}

void expect_same_product(const CurveBytes& secret, const CurveBytes& to) {
  const auto fast = x25519(secret, to);
  if (!fast) return;
  CurveBytes real;
  EXPECT_EQ(crypto_scalarmult(real.data(), secret.data(), to.data()), 0);
  EXPECT_EQ(*fast, real);
}

TEST(Curve, MultipliesTheBasePointAsLibsodiumDoes) {
  SEEDED_TEST(seed);
  Dice dice(seed);
  for (int i = 0; i < 200; ++i) {
    CurveBytes number = i == 0 ? CurveBytes{1} : any(dice);
    EXPECT_EQ(x25519_base(number), public_key(number));
    number[31] &= 127;
    CurveBytes real;
    ASSERT_EQ(crypto_scalarmult_ed25519_base_noclamp(real.data(), number.data()), 0);
    EXPECT_EQ(ed25519_base(number), real);
  }
}

TEST(Curve, MultipliesAnyPointAsLibsodiumDoesOrSaysThatItCannot) {
  SEEDED_TEST(seed);
  Dice dice(seed);
  for (int i = 0; i < 100; ++i) {
    const CurveBytes secret = any(dice), to = public_key(any(dice));
    EXPECT_TRUE(x25519(secret, to)) << "a key that somebody has";
    expect_same_product(secret, to);
    expect_same_product(secret, any(dice));
    expect_same_product(secret, CurveBytes{static_cast<std::uint8_t>(i)});
    CurveBytes large;  // and those that are zero and more, once reduced
    large.fill(255), large[0] = static_cast<std::uint8_t>(220 + i % 36), large[31] = i % 2 == 0 ? 127 : 255;
    expect_same_product(secret, large);
  }
}

}  // namespace
}  // namespace s3crate::sim
