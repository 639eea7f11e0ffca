// SPDX-License-Identifier: GPL-3.0-or-later
// What is loaded into the extent cache ahead of readers: who joins whom, what counts as used and as
// wasted, how much room it takes, and that nobody hears of its errors.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cache/extent_cache.h"

namespace s3crate::test {
namespace {

using cache::AheadExtent;
using cache::ExtentCache;
using cache::ExtentRef;
using cache::PlainExtent;

ExtentRef ref_of(std::uint32_t number) {
  ExtentRef ref{.object = {.origin = 0, .id = {1}},
                .number = number,
                .offset = number * 100,
                .length = 100,
                .digest = {}};
  ref.digest[0] = static_cast<std::uint8_t>(number);
  return ref;
}

std::vector<AheadExtent> ahead_of(std::uint32_t first, std::uint32_t count) {
  std::vector<AheadExtent> out;
  for (std::uint32_t i = 0; i < count; ++i) out.push_back({ref_of(first + i), 100});
  return out;
}

// Extents of 100 bytes, each full of its number.
class FakeSource final : public cache::ExtentSource {
 public:
  std::vector<Result<PlainExtent>> load(std::span<const ExtentRef> refs) override {
    demanded += static_cast<int>(refs.size());
    return answer(refs, false);
  }
  std::vector<Result<PlainExtent>> load_ahead(std::span<const ExtentRef> refs, Turns::Place&) override {
    ahead += static_cast<int>(refs.size());
    if (before) before();
    return answer(refs, failing);
  }
  std::function<void()> before;
  bool failing = false;
  std::atomic<int> demanded = 0, ahead = 0;

 private:
  static std::vector<Result<PlainExtent>> answer(std::span<const ExtentRef> refs, bool failing) {
    std::vector<Result<PlainExtent>> answers;
    for (const ExtentRef& ref : refs) {
      if (failing)
        answers.push_back(fail(Code::kTransient, "away"));
      else
        answers.push_back(
            PlainExtent(Bytes(100, static_cast<std::uint8_t>(ref.number))));
    }
    return answers;
  }
};

class ExtentCacheAheadTest : public testing::Test {
 protected:
  bool load_ahead(ExtentCache& cache, const std::vector<AheadExtent>& extents) {
    Turns::Place place(turns_);
    return cache.load_ahead(extents, source_, place);
  }
  bool fetch(std::uint32_t number, FetchCounts* counts = nullptr) {
    const ExtentRef ref = ref_of(number);
    const auto answer = cache_.fetch({&ref, 1}, source_, counts)[0];
    return answer && equal(*answer, Bytes(100, static_cast<std::uint8_t>(number)));
  }
  Turns turns_{system_env()};
  void wait_for_a_joiner() {
    while (cache_.stats().shared_loads == 0) std::this_thread::yield();
  }

  ExtentCache cache_{thread_executor(), 2000};
  FakeSource source_;
};

TEST_F(ExtentCacheAheadTest, WhatIsLoadedAheadIsFoundAndCountsAsUsedOnce) {
  EXPECT_TRUE(load_ahead(cache_, ahead_of(0, 4)));
  EXPECT_EQ(cache_.loaded_ahead().unused, 400u);
  FetchCounts counts;
  for (int round = 0; round < 2; ++round) EXPECT_TRUE(fetch(2, &counts));
  EXPECT_EQ(counts.missed + counts.awaited, 0u);
  EXPECT_EQ(source_.demanded, 0);
  EXPECT_EQ(cache_.loaded_ahead().used, 100u);
  EXPECT_EQ(cache_.loaded_ahead().unused, 300u);
  EXPECT_EQ(cache_.loaded_ahead().loaded(), 400u);
  EXPECT_EQ(cache_.stats().misses, 0u);
}

TEST_F(ExtentCacheAheadTest, WhatIsThereIsNotLoadedAgain) {
  EXPECT_TRUE(fetch(1));
  EXPECT_EQ(cache_.absent(std::vector{ref_of(0), ref_of(1)}), (std::vector{true, false}));
  EXPECT_TRUE(load_ahead(cache_, ahead_of(0, 3)));
  EXPECT_EQ(source_.ahead, 2);
  EXPECT_FALSE(load_ahead(cache_, ahead_of(0, 3)));
  EXPECT_EQ(source_.ahead, 2);
}

TEST_F(ExtentCacheAheadTest, TakesAtMostHalfAndTheOldestUnusedGoesFirst) {
  for (std::uint32_t i = 100; i < 110; ++i) EXPECT_TRUE(fetch(i));
  EXPECT_TRUE(load_ahead(cache_, ahead_of(0, 8)));
  EXPECT_TRUE(fetch(0));
  EXPECT_TRUE(load_ahead(cache_, ahead_of(8, 8)));
  const LoadedAhead ahead = cache_.loaded_ahead();
  EXPECT_EQ(ahead.unused, 1000u);
  EXPECT_EQ(ahead.used, 100u);
  EXPECT_EQ(ahead.wasted, 500u);
  EXPECT_EQ(cache_.absent(std::vector{ref_of(0), ref_of(1), ref_of(5), ref_of(6), ref_of(15)}),
            (std::vector{false, true, true, false, false}));
  for (std::uint32_t i = 102; i < 110; ++i)
    EXPECT_EQ(cache_.absent(std::vector{ref_of(i)}), std::vector{false}) << i;
}

TEST_F(ExtentCacheAheadTest, MoreThanThereIsRoomForIsLeftOut) {
  EXPECT_TRUE(load_ahead(cache_, ahead_of(0, 30)));
  EXPECT_EQ(source_.ahead, 10);
  ExtentCache none(thread_executor(), 150);
  EXPECT_FALSE(load_ahead(none, ahead_of(0, 1)));
}

TEST_F(ExtentCacheAheadTest, UnusedAndUsedAgeAlike) {
  EXPECT_TRUE(load_ahead(cache_, ahead_of(0, 5)));
  for (std::uint32_t i = 100; i < 120; ++i) EXPECT_TRUE(fetch(i));
  EXPECT_EQ(cache_.loaded_ahead().wasted, 500u);
  EXPECT_EQ(cache_.loaded_ahead().unused, 0u);
  EXPECT_EQ(cache_.stats().bytes, 2000u);
}

TEST_F(ExtentCacheAheadTest, WhatIsUnderWayHasItsRoom) {
  for (std::uint32_t i = 100; i < 120; ++i) EXPECT_TRUE(fetch(i));
  bool looked = false;
  source_.before = [&] {
    looked = true;
    EXPECT_EQ(cache_.loaded_ahead().under_way, 800u);
    EXPECT_LE(cache_.stats().bytes, 1200u);
    for (std::uint32_t i = 200; i < 220; ++i) EXPECT_TRUE(fetch(i));
    EXPECT_LE(cache_.stats().bytes, 1200u);
  };
  EXPECT_TRUE(load_ahead(cache_, ahead_of(0, 8)));
  EXPECT_TRUE(looked);
  EXPECT_EQ(cache_.loaded_ahead().under_way, 0u);
  EXPECT_EQ(cache_.stats().bytes, 2000u);
}

TEST_F(ExtentCacheAheadTest, AReaderJoinsWhatIsUnderWay) {
  bool read = false;
  FetchCounts counts;
  std::unique_ptr<Task> reader;
  source_.before = [&] {
    reader = thread_executor().spawn("reader", [&] { read = fetch(3, &counts); });
    wait_for_a_joiner();
    EXPECT_FALSE(load_ahead(cache_, ahead_of(3, 1)));
  };
  EXPECT_TRUE(load_ahead(cache_, ahead_of(2, 2)));
  reader.reset();
  EXPECT_TRUE(read);
  EXPECT_EQ(counts.awaited, 1u);
  EXPECT_EQ(counts.missed, 0u);
  EXPECT_EQ(source_.demanded, 0);
  EXPECT_EQ(cache_.loaded_ahead().used, 100u);
  EXPECT_EQ(cache_.loaded_ahead().unused, 100u);
}

TEST_F(ExtentCacheAheadTest, AReaderWhoJoinedAFailureLoadsByHimself) {
  bool read = false;
  FetchCounts counts;
  std::unique_ptr<Task> reader;
  source_.failing = true;
  source_.before = [&] {
    reader = thread_executor().spawn("reader", [&] { read = fetch(3, &counts); });
    wait_for_a_joiner();
  };
  EXPECT_TRUE(load_ahead(cache_, ahead_of(2, 2)));
  reader.reset();
  EXPECT_TRUE(read);
  EXPECT_EQ(counts.awaited, 1u);
  EXPECT_EQ(counts.missed, 1u);
  EXPECT_EQ(source_.demanded, 1);
  EXPECT_EQ(cache_.loaded_ahead().loaded(), 0u);
  EXPECT_EQ(cache_.loaded_ahead().under_way, 0u);
}

TEST_F(ExtentCacheAheadTest, ALoadThatThrowsLeavesNobodyWaiting) {
  bool read = false;
  std::unique_ptr<Task> reader;
  source_.before = [&] {
    reader = thread_executor().spawn("reader", [&] { read = fetch(3); });
    wait_for_a_joiner();
    throw std::bad_alloc();
  };
  EXPECT_THROW(load_ahead(cache_, ahead_of(2, 2)), std::bad_alloc);
  reader.reset();
  EXPECT_TRUE(read);
  EXPECT_EQ(cache_.loaded_ahead().under_way, 0u);
}

}  // namespace
}  // namespace s3crate::test
