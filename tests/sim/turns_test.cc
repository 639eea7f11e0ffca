// SPDX-License-Identifier: GPL-3.0-or-later
// Whose turn it is, whatever the order in which tasks come to wait for theirs.
#include "base/turns.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_random.h"

namespace s3crate::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TurnsTest : public testing::Test {
 protected:
  // In a world of its own, with two processors (SimExecutor's): `count` places taken in order, and two turns that began before.
  void run(std::uint64_t seed, std::size_t count, const std::function<void(SimExecutor&)>& body) {
    FaultCounts faults;
    SimExecutor executor(seed, faults);
    executor.run([&] {
      SimRandom random{Dice(seed)};
      Turns turns(Env{executor, random, executor});
      for (std::size_t i = 0; i < count; ++i) places_.emplace_back(std::make_unique<Turns::Place>(turns));
      Turns::Place early(turns);
      one_.emplace(early);
      other_.emplace(early);
      body(executor);
      one_.reset();
      other_.reset();
      places_.clear();
    });
  }

  std::vector<std::unique_ptr<Turns::Place>> places_;
  std::optional<Turns::Turn> one_, other_;
};

TEST_F(TurnsTest, OfThoseWhoWaitTheFirstPlaceGoesFirst) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    const auto length = [seed](std::size_t i) { return milliseconds(1 + (seed + i) % 3); };
    std::vector<std::size_t> order;
    std::size_t running = 0, most = 0;
    run(seed, 8, [&](SimExecutor& executor) {
      std::vector<std::unique_ptr<Task>> tasks;
      for (std::size_t i = 8; i-- > 0;) {
        tasks.push_back(executor.spawn("turn", [&, i] {
          executor.sleep_for(milliseconds((seed * 7 + i * 5) % 11));
          const Turns::Turn turn(*places_[i]);
          order.push_back(i);
          most = std::max(most, ++running);
          executor.sleep_for(length(i));
          --running;
        }));
      }
      executor.sleep_for(seconds(1));
      EXPECT_TRUE(order.empty());
      const MonotonicTime begin = executor.monotonic_now();
      one_.reset();
      other_.reset();
      tasks.clear();
      Duration first{}, second{};  // until then the two processors are busy
      for (std::size_t i = 0; i < 8; ++i) (first <= second ? first : second) += length(i);
      EXPECT_EQ(executor.monotonic_now() - begin, std::max(first, second));
    });
    EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7}));
    EXPECT_EQ(most, 2u);
  }
}

TEST_F(TurnsTest, SeveralMayUseOnePlace) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    run(seed, 2, [&](SimExecutor& executor) {
      std::vector<std::size_t> order;
      std::vector<std::unique_ptr<Task>> tasks;
      for (std::size_t i : {1, 0, 1, 0}) {
        tasks.push_back(executor.spawn("turn", [&, i] {
          const Turns::Turn turn(*places_[i]);
          order.push_back(i);
          executor.sleep_for(seconds(1));
        }));
      }
      executor.sleep_for(seconds(1));
      one_.reset();  // one processor for all of them
      tasks.clear();
      EXPECT_EQ(order, (std::vector<std::size_t>{0, 0, 1, 1}));
      EXPECT_EQ(places_[0]->waited(), seconds(1 + 2));
      EXPECT_EQ(places_[1]->waited(), seconds(3 + 4));
    });
  }
}

TEST_F(TurnsTest, NobodyWaitsForAPlaceThatDoesNotWait) {
  run(1, 2, [&](SimExecutor& executor) {
    one_.reset();
    const MonotonicTime before = executor.monotonic_now();
    const Turns::Turn turn(*places_[1]);
    EXPECT_EQ(executor.monotonic_now(), before);
    EXPECT_EQ(places_[1]->waited(), Duration{});
  });
}

}  // namespace
}  // namespace s3crate::sim
