// SPDX-License-Identifier: GPL-3.0-or-later
// Whose turn it is, whatever the order in which tasks come to wait for theirs.
#include "base/turns.h"

#include <gtest/gtest.h>

#include "tests/sim/sim_executor.h"

namespace s3crate::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TurnsTest : public testing::Test {
 protected:
  // In a world of its own: two processors (SimExecutor's), `turns_` and `places_` of which `count` are taken in order.
  void run(std::uint64_t seed, std::size_t count, const std::function<void(SimExecutor&)>& body) {
    FaultCounts faults;
    SimExecutor executor(seed, faults);
    executor.run([&] {
      Turns turns(executor);
      for (std::size_t i = 0; i < count; ++i) places_.emplace_back(std::make_unique<Turns::Place>(turns));
      body(executor);
      places_.clear();
    });
  }

  std::vector<std::unique_ptr<Turns::Place>> places_;
};

TEST_F(TurnsTest, OfThoseWhoWaitTheFirstPlaceGoesFirst) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    std::vector<std::size_t> order;
    std::size_t running = 0, most = 0;
    run(seed, 10, [&](SimExecutor& executor) {
      places_[0]->wait();
      places_[1]->wait();
      std::vector<std::unique_ptr<Task>> tasks;
      for (std::size_t i = 9; i >= 2; --i) {
        tasks.push_back(executor.spawn("turn", [&, i] {
          executor.sleep_for(milliseconds((seed * 7 + i * 5) % 11));
          places_[i]->wait();
          order.push_back(i);
          most = std::max(most, ++running);
          executor.sleep_for(milliseconds(1 + (seed + i) % 3));
          --running;
          places_[i].reset();
        }));
      }
      executor.sleep_for(seconds(1));
      EXPECT_TRUE(order.empty());
      places_[0].reset();
      places_[1].reset();
    });
    EXPECT_EQ(order, (std::vector<std::size_t>{2, 3, 4, 5, 6, 7, 8, 9}));
    EXPECT_EQ(most, 2u);
  }
}

TEST_F(TurnsTest, NobodyWaitsForAPlaceThatDoesNotWait) {
  run(1, 4, [&](SimExecutor& executor) {
    places_[3]->wait();
    places_[1].reset();
    const MonotonicTime before = executor.monotonic_now();
    places_[2]->wait();
    EXPECT_EQ(executor.monotonic_now(), before);
  });
}

}  // namespace
}  // namespace s3crate::sim
