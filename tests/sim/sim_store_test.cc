// SPDX-License-Identifier: GPL-3.0-or-later
// The faults of a simulated store, one at a time.
#include <gtest/gtest.h>

#include <set>

#include "tests/sim/sim_world.h"

namespace s3crate::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kAlways = 1'000'000;

void with_world(std::uint64_t seed, const std::function<void(World&, store::ObjectStore&)>& body) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  World world(seed);
  world.run([&] {
    auto process = world.start();
    body(world, process->store());
  });
}

std::string text(const SimBucket::Data& data) {
  return data == nullptr ? "(none)" : std::string(as_chars(*data));
}

TEST(SimStore, TransientBeforeEffectHasNone) {
  with_world(1, [](World& world, store::ObjectStore& store) {
    world.bucket().faults.transient_before_per_million = kAlways;
    EXPECT_TRUE(is(store.put("a", as_bytes("x")), Code::kTransient));
    EXPECT_TRUE(is(store.get("a", 10), Code::kTransient));
    EXPECT_EQ(world.faults()[Fault::kStoreTransientBefore], 2u);
    EXPECT_EQ(world.bucket().peek("a"), nullptr);
  });
}

TEST(SimStore, LostReplyComesAfterTheEffect) {
  with_world(2, [](World& world, store::ObjectStore& store) {
    world.bucket().faults.reply_lost_per_million = kAlways;
    EXPECT_TRUE(is(store.put("a", as_bytes("x")), Code::kTransient));
    EXPECT_EQ(text(world.bucket().peek("a")), "x");
    EXPECT_TRUE(is(store.remove("a"), Code::kTransient));
    EXPECT_EQ(world.bucket().peek("a"), nullptr);
    EXPECT_EQ(world.faults()[Fault::kStoreReplyLost], 2u);
  });
}

TEST(SimStore, LatePutLandsLaterUnlessTheNameIsTakenByThen) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    with_world(seed, [](World& world, store::ObjectStore& store) {
      world.bucket().faults.late_per_million = kAlways;
      EXPECT_TRUE(is(store.put("late", as_bytes("1")), Code::kTransient));
      EXPECT_TRUE(is(store.put("raced", as_bytes("1")), Code::kTransient));
      EXPECT_EQ(world.bucket().names(), std::vector<std::string>{});
      world.bucket().faults.late_per_million = 0;
      bool won = store.put("raced", as_bytes("2")).has_value();
      world.executor().sleep_for(world.bucket().faults.late_max);
      EXPECT_EQ(as_chars(store.get("late", 10).value()), "1");
      EXPECT_EQ(as_chars(store.get("raced", 10).value()), won ? "2" : "1");
      EXPECT_EQ(world.bucket().overwrites(), 0u);
      EXPECT_EQ(world.bucket().waiting_effects(), 0u);
    });
  }
}

TEST(SimStore, PutAppliedTwiceOverwritesOnlyWithoutConditions) {
  for (bool conditional : {true, false}) {
    with_world(3, [&](World& world, store::ObjectStore& store) {
      world.bucket().faults.put_if_absent = conditional;
      EXPECT_EQ(store.caps().put_if_absent, conditional);
      world.bucket().faults.twice_per_million = kAlways;
      ASSERT_TRUE(store.put("a", as_bytes("1")));
      world.bucket().faults.twice_per_million = 0;
      EXPECT_EQ(is(store.put("a", as_bytes("2")), Code::kExists), conditional);
      world.bucket().settle_all();
      EXPECT_EQ(text(world.bucket().peek("a")), "1");
      EXPECT_EQ(world.bucket().overwrites(), conditional ? 0u : 2u);
      EXPECT_EQ(world.faults()[Fault::kStoreTwice], 1u);
    });
  }
}

TEST(SimStore, OwnPutMayAnswerExists) {
  with_world(4, [](World& world, store::ObjectStore& store) {
    world.bucket().faults.own_put_exists_per_million = kAlways;
    EXPECT_TRUE(is(store.put("a", as_bytes("1")), Code::kExists));
    EXPECT_EQ(text(world.bucket().peek("a")), "1");
  });
}

TEST(SimStore, LatencyTakesVirtualTime) {
  with_world(5, [](World& world, store::ObjectStore& store) {
    world.bucket().faults.latency_max = seconds(1);
    MonotonicTime start = world.executor().monotonic_now();
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(store.put(fmt::format("{}", i), as_bytes("x")));
    EXPECT_GT(world.executor().monotonic_now(), start + milliseconds(100));
    EXPECT_LE(world.executor().monotonic_now(), start + seconds(40));
  });
}

TEST(SimStore, StaleReadsEndInTimeAndConditionsAreNeverStale) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    with_world(seed, [&](World& world, store::ObjectStore& store) {
      world.bucket().faults.stale_max = seconds(5);
      ASSERT_TRUE(store.put("a", as_bytes("1")));
      EXPECT_TRUE(is(store.put("a", as_bytes("2")), Code::kExists));
      seen.insert(store.get("a", 10) ? "there" : "not yet");
      seen.insert(store.list("", "", 10)->objects.empty() ? "not yet listed" : "listed");
      world.executor().sleep_for(seconds(5));
      EXPECT_TRUE(store.get("a", 10));
      EXPECT_EQ(store.list("", "", 10)->objects.size(), 1u);
      ASSERT_TRUE(store.remove("a"));
      seen.insert(store.head("a") ? "still there" : "gone");
      world.executor().sleep_for(seconds(5));
      EXPECT_TRUE(is(store.get("a", 10), Code::kNotFound));
    });
  }
  EXPECT_EQ(seen.size(), 6u);
}

TEST(SimStore, BitFlipsAndCutsChangeTheAnswerNotTheObject) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    with_world(seed, [&](World& world, store::ObjectStore& store) {
      const Bytes data(100, 0x55);
      ASSERT_TRUE(store.put("a", data));
      world.bucket().faults.bit_flip_per_million = kAlways;
      Bytes part(50);
      ASSERT_TRUE(store.get_range("a", 10, part));
      EXPECT_NE(part, Bytes(50, 0x55));
      Bytes whole = store.get("a", 100).value();
      EXPECT_EQ(whole.size(), 100u);
      EXPECT_NE(whole, data);
      world.bucket().faults.bit_flip_per_million = 0;
      world.bucket().faults.truncated_per_million = kAlways;
      EXPECT_TRUE(is(store.get_range("a", 10, part), Code::kCorrupt));
      auto cut = store.get("a", 100);
      EXPECT_TRUE(cut ? cut->size() < 100 : is(cut, Code::kCorrupt));
      seen.insert(cut ? "short" : "error");
      EXPECT_EQ(*world.bucket().peek("a"), data);
    });
  }
  EXPECT_EQ(seen.size(), 2u);
}

TEST(SimStore, OutageAnswersTransientUntilItIsOver) {
  with_world(6, [](World& world, store::ObjectStore& store) {
    world.bucket().outage_until(world.executor().monotonic_now() + seconds(10));
    EXPECT_TRUE(is(store.put("a", as_bytes("1")), Code::kTransient));
    EXPECT_TRUE(is(store.list("", "", 10), Code::kTransient));
    EXPECT_EQ(world.faults()[Fault::kStoreOutage], 2u);
    world.executor().sleep_for(seconds(10));
    EXPECT_TRUE(store.put("a", as_bytes("1")));
    world.bucket().faults.outage_per_million = kAlways;
    world.bucket().faults.outage_max = seconds(100);
    std::uint64_t away = 0;
    for (int i = 0; i < 20; ++i) away += is(store.get("a", 10), Code::kTransient);
    EXPECT_GT(away, 0u);
  });
}

TEST(SimStore, FullStoreTakesNothingButStaysReadable) {
  with_world(7, [](World& world, store::ObjectStore& store) {
    world.bucket().faults.quota_bytes = 10;
    ASSERT_TRUE(store.put("a", as_bytes("12345678")));
    EXPECT_TRUE(is(store.put("b", as_bytes("123")), Code::kTransient));
    EXPECT_TRUE(store.put("c", as_bytes("12")));
    EXPECT_TRUE(store.get("a", 10));
    ASSERT_TRUE(store.remove("a"));
    EXPECT_TRUE(store.put("b", as_bytes("123")));
    EXPECT_EQ(world.faults()[Fault::kStoreFull], 1u);
  });
}

TEST(SimStore, ObjectsCanBeLostAndReplaced) {
  with_world(8, [](World& world, store::ObjectStore& store) {
    world.bucket().faults.stale_max = seconds(5);
    ASSERT_TRUE(store.put("a", as_bytes("1")));
    ASSERT_TRUE(store.put("b", as_bytes("1")));
    world.bucket().lose("a");
    world.bucket().replace("b", {'2'});
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(is(store.get("a", 10), Code::kNotFound));
      EXPECT_EQ(as_chars(store.get("b", 10).value()), "2");
    }
  });
}

TEST(SimStore, PutInFlightWhenItsProcessDiesMayStillLand) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    World world(seed);
    world.bucket().faults.latency_max = seconds(1);
    world.run([&] {
      auto process = world.start();
      auto sender = world.executor().spawn("sender", [&] {
        EXPECT_TRUE(is(process->store().put("a", as_bytes("1")), Code::kCancelled));
      });
      world.executor().yield();
      world.executor().yield();
      process->kill();
    });
    seen.insert(text(world.bucket().peek("a")));
    bool waits = world.bucket().waiting_effects() != 0;
    EXPECT_EQ(waits, world.faults()[Fault::kStoreLateAfterCrash] != 0);
    world.bucket().settle_all();
    if (waits) seen.insert("later " + text(world.bucket().peek("a")));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"(none)", "later 1"}));
}

}  // namespace
}  // namespace s3crate::sim
