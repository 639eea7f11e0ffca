// SPDX-License-Identifier: GPL-3.0-or-later
// What a command says while it waits for a store, when, and how that ends.
#include "cli/store_watch.h"

#include <gtest/gtest.h>

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using cli::WaitingNotices;
using store::Trouble;

constexpr MonotonicTime kStart{1h};

TEST(WaitingNoticesTest, SaysWhatIsWrongHowLongItWaitsAndHowToEndIt) {
  WaitingNotices notices("s3://b/v", 10min);
  EXPECT_FALSE(notices.due(kStart, {"GET s3://b/v/volume: connection refused", 2900ms, 597s}));
  EXPECT_EQ(notices.due(kStart, {"GET s3://b/v/volume: connection refused", 3s, 597s}),
            "waiting for s3://b/v: GET s3://b/v/volume: connection refused; giving up in 10 min; Ctrl-C ends");
  EXPECT_EQ(WaitingNotices("s3://b/v", 20s).due(kStart, {"refused", 5s, std::nullopt, 3s}),
            "waiting for s3://b/v: refused; giving up in 17 s; Ctrl-C ends");
  EXPECT_EQ(WaitingNotices("the store", std::nullopt).due(kStart, {"refused", 3s, std::nullopt}),
            "waiting for the store: refused; Ctrl-C ends");
}

TEST(WaitingNoticesTest, ASilenceMayBeASlowLineForSomeSecondsMore) {
  WaitingNotices notices("s3://b", 10min);
  EXPECT_FALSE(notices.due(kStart, {"", 5s, 10min}));
  EXPECT_EQ(notices.due(kStart, {"", 6s, 10min}), "waiting for s3://b: no answer yet; Ctrl-C ends");
}

TEST(WaitingNoticesTest, ComesRarelyThen) {
  WaitingNotices notices("s3://b", std::nullopt);
  int said = 0;
  for (Duration t{}; t < 1h; t += 250ms) said += notices.due(kStart + t, {"refused", t, std::nullopt}).has_value();
  // After 3 s, 1, 3, 7, 15, 25, 35, 45 and 55 minutes.
  EXPECT_EQ(said, 9);
}

TEST(StoreWatchTest, GivesUpWhatHasNoLimitOfItsOwn) {
  std::atomic<int> given_up = 0;
  {
    const cli::StoreWatch limited(system_env(), "s3://b", 1s, [] { return Trouble{"busy", 1s, 0s, 1s}; }, [&] { ++given_up; });
    const cli::StoreWatch unlimited(system_env(), "s3://b", 1s, [] { return Trouble{"busy", 1s, std::nullopt, 1s}; },
                                    [&] { ++given_up; });
    const cli::StoreWatch silent(system_env(), "s3://b", 1s, [] { return Trouble{"", 1h, std::nullopt, {}}; }, [&] { ++given_up; });
    while (given_up == 0) nap(system_clock(), thread_executor(), 10ms);
    EXPECT_EQ(unlimited.given_up()->message(), "busy");
    EXPECT_EQ(unlimited.given_up()->code(), Code::kTransient);
    EXPECT_FALSE(limited.given_up());
    EXPECT_FALSE(silent.given_up()) << "a long put on a slow line";
  }
  EXPECT_EQ(given_up, 1);
}

}  // namespace
}  // namespace s3crate::test
