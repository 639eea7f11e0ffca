// SPDX-License-Identifier: GPL-3.0-or-later
// The MD5 cache in the simulator: many tasks, virtual time, a store that lags behind, fails and loses replies. Above the
// cache everybody sees all of its own changes at once, which without it they do not.
#include <gtest/gtest.h>

#include <map>

#include "store/md5_cache_store.h"
#include "store/retry_store.h"
#include "tests/sim/sim_world.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Seen {
  std::uint64_t right = 0, wrong = 0;
};

// Changes names below `home`, which are its alone, and looks at them.
void live(store::ObjectStore& store, const std::string& home, Dice dice, SimExecutor& executor, Seen& seen) {
  std::map<std::string, Bytes> model;
  const auto judge = [&](bool right) { ++(right ? seen.right : seen.wrong); };
  for (int step = 0; step < 60; ++step) {
    const auto name = fmt::format("{}/{}", home, dice.below(5));
    const auto expected = model.find(name);
    const bool there = expected != model.end();
    switch (dice.below(7)) {
      case 0:
      case 1: {
        const Bytes data(1 + dice.below(50), static_cast<std::uint8_t>(dice.below(256)));
        const auto done = store.put(name, data);
        // A lost reply makes a repeated put exist; nobody else writes here.
        judge(there ? is(done, Code::kExists) : done || is(done, Code::kExists));
        if (!there) model[name] = data;
        break;
      }
      case 2:
        judge(store.remove(name).has_value());
        model.erase(name);
        break;
      case 3: {
        const auto data = store.get(name, 100);
        judge(there ? data && *data == expected->second : is(data, Code::kNotFound));
        break;
      }
      case 4: {
        Bytes out(1);
        const auto done = store.get_range(name, 0, out);
        judge(there ? done && out[0] == expected->second[0] : is(done, Code::kNotFound));
        break;
      }
      case 5: {
        const auto page = store.list(home + "/", "", 100);
        std::map<std::string, std::uint64_t> listed, wanted;
        for (const auto& info : page->objects) listed[info.name] = info.size;
        for (const auto& [n, data] : model) wanted[n] = data.size();
        judge(listed == wanted);
        break;
      }
      default:
        executor.sleep_for(milliseconds(dice.below(3000)));
    }
  }
}

struct Outcome {
  Seen seen;
  store::Md5CacheStats stats;
};

Outcome run(std::uint64_t seed, bool cached) {
  Outcome out;
  World world(seed);
  auto& faults = world.bucket().faults;
  faults.stale_max = seconds(5);
  faults.latency_max = milliseconds(200);
  faults.transient_before_per_million = 100'000;
  faults.reply_lost_per_million = 50'000;
  world.run([&] {
    auto process = world.start();
    store::RetryStore retry(process->env(), process->store(), {});
    store::Md5CacheStore cache(process->env(), retry, {.time = seconds(30)});
    store::ObjectStore& store = cached ? static_cast<store::ObjectStore&>(cache) : retry;
    std::vector<std::unique_ptr<Task>> tasks;
    for (int i = 0; i < 4; ++i) {
      tasks.push_back(world.executor().spawn("client", [&, i, dice = Dice(seed * 10 + static_cast<std::uint64_t>(i))] {
        live(store, fmt::format("home{}", i), dice, world.executor(), out.seen);
      }));
    }
    tasks.clear();
    out.stats = cache.stats();
  });
  return out;
}

TEST(Md5CacheSim, EverybodySeesItsOwnChangesAtOnce) {
  const std::uint64_t first = test::test_seed() % 1'000'000;
  std::uint64_t stale = 0;
  for (std::uint64_t seed = first; seed < first + 20; ++seed) {
    SCOPED_TRACE(fmt::format("S3CRATE_TEST_SEED={}", seed));
    const Outcome outcome = run(seed, true);
    EXPECT_EQ(outcome.seen.wrong, 0u);
    EXPECT_GT(outcome.seen.right, 100u);
    EXPECT_EQ(outcome.stats.passed_on, 0u);
    stale += outcome.stats.stale_answers;
  }
  EXPECT_GT(stale, 100u);
}

TEST(Md5CacheSim, WithoutItTheyDoNot) { EXPECT_GT(run(1, false).seen.wrong, 0u); }

}  // namespace
}  // namespace s3crate::sim
