// SPDX-License-Identifier: GPL-3.0-or-later
// Lanes and rates on a clock that only the test moves.

#include <gtest/gtest.h>

#include <atomic>

#include "s3/limits.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seeded_random.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using s3::Lane;
using s3::LaneLimiter;
using s3::LaneLimits;
using s3::RateLimiter;
using Outcome = s3::LaneLimiter::Outcome;

class LimitsTest : public ::testing::Test {
 protected:
  explicit LimitsTest(Advance mode = Advance::by_waiting) : clock_(mode) {}

  // One window of answers to requests that are all under way at once.
  void window(int turned_away, Lane lane = Lane::upload) {
    int places = lanes_.limit(lane);
    int answers = std::max(places, LaneLimiter::kWindowMin);
    int open = 0;
    for (; open < std::min(places, answers); ++open) ASSERT_TRUE(lanes_.enter(lane));
    for (int i = 0; i < answers; ++i) {
      lanes_.leave(lane, i < turned_away ? Outcome::turned_away : Outcome::served);
      if (open < answers) {
        ASSERT_TRUE(lanes_.enter(lane));
        ++open;
      }
    }
  }
  int limit(Lane lane = Lane::upload) { return lanes_.limit(lane); }

  FakeClock clock_;
  SeededRandom random_{1};
  FakeExecutor executor_{clock_};
  Env env_{clock_, random_, executor_};
  LaneLimiter lanes_{env_, {LaneLimits{4, 64, 16}, LaneLimits{2, 20, 9}, LaneLimits{1, 3, 2}}};
};

class LimitsByHandTest : public LimitsTest {
 protected:
  LimitsByHandTest() : LimitsTest(Advance::by_hand) {}
};

TEST_F(LimitsTest, ABusyLaneDoublesUpToItsMost) {
  EXPECT_EQ(limit(), 9);
  for (int expected : {18, 20, 20}) {
    window(0);
    EXPECT_EQ(limit(), expected);
  }
  EXPECT_EQ(limit(Lane::read), 16);
}

TEST_F(LimitsTest, OnceSomethingWasTurnedAwayABusyLaneGrowsByOneAWindow) {
  window(1);
  for (int i = 11; i <= 20; ++i) {
    window(0);
    EXPECT_EQ(limit(), i);
  }
  window(0);
  EXPECT_EQ(limit(), 20);
}

TEST_F(LimitsTest, AnIdleLaneStaysAsItIs) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(lanes_.enter(Lane::upload));
    lanes_.leave(Lane::upload, Outcome::served);
  }
  EXPECT_EQ(limit(), 9);
}

TEST_F(LimitsTest, AStoreThatTurnsAwayHalfHalvesTheLaneDownToItsLeast) {
  window(8);  // of 16
  EXPECT_EQ(limit(), 4);
  window(8);
  EXPECT_EQ(limit(), 2);
  window(16);
  EXPECT_EQ(limit(), 2);
}

TEST_F(LimitsTest, AStoreThatTurnsAwayAThirdKeepsTheLaneAsItIs) {
  window(6);
  EXPECT_EQ(limit(), 9);
  window(7);
  EXPECT_EQ(limit(), 9);
}

TEST_F(LimitsTest, AFewRefusalsDoNotSlowDown) {
  window(5);
  EXPECT_EQ(limit(), 10);
}

TEST_F(LimitsTest, ALaneIsSoonBackWhereItBegan) {
  window(16);
  window(16);
  EXPECT_EQ(limit(), 2);
  for (int expected : {4, 8, 9, 10}) {
    window(0);
    EXPECT_EQ(limit(), expected);
  }
}

TEST_F(LimitsTest, AnswersThatSayNothingDoNotCount) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(lanes_.enter(Lane::upload));
    lanes_.leave(Lane::upload, Outcome::unknown);
  }
  window(0);
  EXPECT_EQ(limit(), 18);
}

TEST_F(LimitsByHandTest, AFullLaneLetsTheNextInWhenOneLeavesAndOtherLanesAtOnce) {
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(lanes_.enter(Lane::meta));
  std::atomic<bool> in = false;
  auto waiter = executor_.spawn("waiter", [&] {
    EXPECT_TRUE(lanes_.enter(Lane::meta));
    in = true;
  });
  ASSERT_TRUE(lanes_.enter(Lane::read));
  EXPECT_FALSE(in);
  lanes_.leave(Lane::meta, Outcome::served);
  waiter.reset();
  EXPECT_TRUE(in);
}

TEST_F(LimitsTest, APauseHoldsEveryLane) {
  Duration before = clock_.now();
  lanes_.pause(7s);
  lanes_.pause(3s);  // does not shorten it
  ASSERT_TRUE(lanes_.enter(Lane::read));
  EXPECT_EQ(clock_.now() - before, 7s);
  lanes_.pause(1s);
  ASSERT_TRUE(lanes_.enter(Lane::upload));
  EXPECT_EQ(clock_.now() - before, 8s);
}

TEST_F(LimitsByHandTest, CancellingEndsWhatWaitsAndNothingElse) {
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(lanes_.enter(Lane::meta));
  RateLimiter rate(env_, 1000);
  lanes_.pause(1min);
  Result<> paused, limited;
  auto one = executor_.spawn("one", [&] { paused = lanes_.enter(Lane::read); });
  auto two = executor_.spawn("two", [&] { limited = rate.take(1'000'000); });
  clock_.wait_for_waiters(2);
  lanes_.cancel();
  rate.cancel();
  one.reset();
  two.reset();
  EXPECT_TRUE(is(paused, Code::kCancelled));
  EXPECT_TRUE(is(limited, Code::kCancelled));
  clock_.advance(1min);
  EXPECT_TRUE(lanes_.enter(Lane::read));
  EXPECT_TRUE(rate.take(1));
}

TEST_F(LimitsByHandTest, CancellingEndsTheWaitForAPlace) {
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(lanes_.enter(Lane::meta));
  Result<> full;
  std::atomic<bool> ended = false;
  auto waiter = executor_.spawn("waiter", [&] {
    full = lanes_.enter(Lane::meta);
    ended = true;
  });
  // Whoever begins to wait after a cancel() is not touched by it, so it is repeated.
  while (!ended) {
    lanes_.cancel();
    std::this_thread::yield();
  }
  waiter.reset();
  EXPECT_TRUE(is(full, Code::kCancelled));
}

TEST_F(LimitsTest, BytesGoAtTheRateOverAllPieces) {
  RateLimiter rate(env_, 1'000'000);
  ASSERT_TRUE(rate.take(100'000));  // saved up
  Duration before = clock_.now();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(rate.take(50'000));
  EXPECT_EQ(clock_.now() - before, 5s);
  ASSERT_TRUE(rate.take(3'000'000));
  EXPECT_EQ(clock_.now() - before, 8s);
}

TEST_F(LimitsTest, OnlyAMomentsIdlenessIsSavedUp) {
  RateLimiter rate(env_, 1'000'000);
  clock_.advance(1h);
  Duration before = clock_.now();
  ASSERT_TRUE(rate.take(1'000'000));
  EXPECT_EQ(clock_.now() - before, 1s - RateLimiter::kBurst);
}

TEST_F(LimitsTest, NoRateIsNoLimit) {
  RateLimiter rate(env_, 0);
  Duration before = clock_.now();
  ASSERT_TRUE(rate.take(1ull << 40));
  EXPECT_EQ(clock_.now(), before);
}

}  // namespace
}  // namespace s3crate::test
