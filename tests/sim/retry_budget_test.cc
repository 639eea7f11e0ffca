// SPDX-License-Identifier: GPL-3.0-or-later
// The budget of repetitions in virtual time: how often a store that is dying is asked, what the budget costs with one that
// fails now and then, and how soon all is well after an outage.
#include <gtest/gtest.h>

#include "store/memory_store.h"
#include "store/retry_store.h"
#include "tests/sim/sim_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using store::RetryOptions;
using test::FaultStore;

struct Load {
  int callers = 1;
  int calls_each = 1;
  unsigned turned_away_per_mille = 0;
  std::optional<Duration> away_for = {};  // from the beginning
  std::optional<Duration> cancel_after = {};
};

struct Outcome {
  std::uint64_t asked = 0;
  Duration took{};
};

Outcome run(const Load& load, const RetryOptions& options) {
  Outcome out;
  World world(test::test_seed());
  world.run([&] {
    auto process = world.start();
    store::MemoryStore memory;
    ASSERT_TRUE(memory.put("object", as_bytes("x")));
    FaultStore faults(memory, {.seed = 7, .transient_before = load.turned_away_per_mille});
    const MonotonicTime start = world.executor().monotonic_now();
    faults.set_hook([&](store::Verb, const std::string&) -> Result<> {
      ++out.asked;
      world.executor().sleep_for(milliseconds(10));
      if (load.away_for && world.executor().monotonic_now() < start + *load.away_for) return fail(Code::kTransient, "503");
      return {};
    });
    store::RetryStore retry(process->env(), faults, options);
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < load.callers; ++i) {
      tasks.push_back(world.executor().spawn("caller", [&] {
        for (int call = 0; call < load.calls_each; ++call) static_cast<void>(retry.get("object", 10));
      }));
    }
    if (load.cancel_after) {
      world.executor().sleep_for(*load.cancel_after);
      retry.cancel();
    }
    tasks.clear();
    out.took = world.executor().monotonic_now() - start;
  });
  return out;
}

constexpr RetryOptions kUnlimited{.budget_burst = 1'000'000, .budget_per_second = 1'000'000};

TEST(RetryBudgetTest, AStoreThatIsDyingIsAskedSoOftenHoweverManyAsk) {
  for (int callers : {1, 16, 100, 400}) {
    for (int time_s : {1, 10, 120}) {
      const Load load{.callers = callers, .away_for = seconds(1000), .cancel_after = seconds(time_s)};
      const auto asked = run(load, {}).asked;
      const auto most = static_cast<std::uint64_t>(callers + 100 + 10 * time_s + 1);
      EXPECT_LE(asked, most) << callers << " callers, " << time_s << " s; " << run(load, kUnlimited).asked << " without a budget";
    }
  }
}

TEST(RetryBudgetTest, OneThatFailsNowAndThenIsNotSlowedDown) {
  for (unsigned share : {0u, 50u, 200u, 400u}) {
    const Load load{.callers = 16, .calls_each = 400, .turned_away_per_mille = share};
    // Long pauses after many failures in a row are rare and decide all: luck, and not the budget.
    RetryOptions limited, unlimited = kUnlimited;
    limited.delay_max = unlimited.delay_max = milliseconds(50);
    const auto with = run(load, limited).took, without = run(load, unlimited).took;
    EXPECT_LE(with, without + without / 10) << share << " per mille: " << with.count() << " instead of " << without.count();
  }
}

TEST(RetryBudgetTest, AfterAnOutageAllAreAnsweredSoon) {
  const auto out = run({.callers = 100, .away_for = seconds(60)}, {});
  EXPECT_GE(out.took, seconds(60));
  EXPECT_LE(out.took, seconds(60) + seconds(10) + seconds(10));
}

}  // namespace
}  // namespace s3crate::sim
