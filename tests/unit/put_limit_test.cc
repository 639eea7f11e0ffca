// SPDX-License-Identifier: GPL-3.0-or-later
// PutLimit against stores of which it is known how many puts at a time are worth it.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "device/put_limit.h"

namespace s3crate::device {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kSegment = 8 << 20;

// A store that gives each connection so many segments a second, and all of them together no more than the line carries.
struct Line {
  double of_each;
  double of_all;
};

// What the limit was at each of so many puts.
std::vector<std::uint32_t> run(PutLimit& limit, const Line& line, int puts, bool more = true) {
  std::vector<std::uint32_t> seen;
  MonotonicTime now{};
  for (int i = 0; i < puts; ++i) {
    now += std::chrono::duration_cast<Duration>(std::chrono::duration<double>(1 / std::min(limit.now() * line.of_each, line.of_all)));
    (void)limit.ended(kSegment, more, now);
    seen.push_back(limit.now());
  }
  return seen;
}

TEST(PutLimitTest, GrowsToTheMostWhereEachConnectionIsSlow) {
  PutLimit limit(4, 12);
  EXPECT_EQ(run(limit, {1, 1000}, 100).back(), 12u);
}

TEST(PutLimitTest, StaysWhereTheLineIsFull) {
  PutLimit limit(4, 12);
  const auto seen = run(limit, {10, 40}, 5000);
  EXPECT_LT(std::ranges::count_if(seen, [](std::uint32_t n) { return n != 4; }), 5000 / 8);
  EXPECT_EQ(std::ranges::max(seen), 6u);
}

TEST(PutLimitTest, FindsWhatFillsTheLine) {
  PutLimit limit(4, 32);
  const auto seen = run(limit, {1, 9}, 5000);
  EXPECT_GT(std::ranges::count(seen, 9u), 5000 * 3 / 4);
  EXPECT_EQ(std::ranges::max(seen), 13u);
}

// What more puts brought for a while is given back.
TEST(PutLimitTest, GivesBackWhatDoesNotPayAnyMore) {
  PutLimit limit(4, 12);
  ASSERT_EQ(run(limit, {1, 1000}, 100).back(), 12u);
  const auto seen = run(limit, {10, 40}, 5000);
  EXPECT_GT(std::ranges::count(seen, 4u), 5000 / 2);
}

// A line that becomes faster is found out at the next try.
TEST(PutLimitTest, TriesAgain) {
  PutLimit limit(4, 12);
  ASSERT_EQ(std::ranges::max(run(limit, {10, 40}, 100)), 6u);
  EXPECT_EQ(run(limit, {10, 400}, 300).back(), 12u);
}

TEST(PutLimitTest, WritersThatAreSlowerThanTheStoreChangeNothing) {
  PutLimit limit(4, 12);
  EXPECT_EQ(run(limit, {1, 1000}, 1000, false), std::vector<std::uint32_t>(1000, 4));
}

// An outage in the middle of a try only ends the try.
TEST(PutLimitTest, OutagesCostATry) {
  PutLimit limit(4, 12);
  MonotonicTime now{};
  for (int i = 0; i < 400; ++i) {
    now += i % 9 == 8 ? Duration(1h) : Duration(1s) / limit.now();
    (void)limit.ended(kSegment, true, now);
    ASSERT_GE(limit.now(), 4u);
    ASSERT_LE(limit.now(), 12u);
  }
}

TEST(PutLimitTest, WhatTheUserSaysStands) {
  PutLimit limit(3, 3);
  EXPECT_EQ(run(limit, {1, 1000}, 100), std::vector<std::uint32_t>(100, 3));
}

}  // namespace
}  // namespace s3crate::device
