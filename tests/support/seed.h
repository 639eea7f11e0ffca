// SPDX-License-Identifier: GPL-3.0-or-later
// The seed of a randomised test: S3CRATE_TEST_SEED, else a new one each run. A failure prints it:
//
//   SEEDED_TEST(seed);
//   std::mt19937_64 random(seed);
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <random>

namespace s3crate::test {

inline std::uint64_t test_seed() {
  if (const char* given = std::getenv("S3CRATE_TEST_SEED"))
    return std::strtoull(given, nullptr, 10);
  return std::random_device()();
}

#define SEEDED_TEST(name)                                  \
  const std::uint64_t name = ::s3crate::test::test_seed(); \
  SCOPED_TRACE(fmt::format("S3CRATE_TEST_SEED={}", name))

}  // namespace s3crate::test
