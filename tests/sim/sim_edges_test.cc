// SPDX-License-Identifier: GPL-3.0-or-later
// All edges together: a world is decided by its seed alone, and the dead touch nothing.
#include <gtest/gtest.h>

#include <set>

#include "tests/sim/sim_world.h"

namespace s3crate::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Tasks of one process at work on all edges, with every fault on, until a crash; then the next process.
struct Outcome {
  std::uint64_t trace_hash = 0;
  std::uint64_t successes = 0;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

void turn_on_all_faults(World& world) {
  world.disk().faults = {.write_error_per_million = 20'000,
                         .read_error_per_million = 20'000,
                         .sync_error_per_million = 50'000,
                         .directory_sync_error_per_million = 20'000,
                         .full_per_million = 20'000,
                         .sync_latency_max = milliseconds(3)};
  StoreFaults& store = world.bucket().faults;
  store.latency_max = milliseconds(200);
  store.stale_max = seconds(1);
  for (auto* fault : {&store.transient_before_per_million, &store.reply_lost_per_million,
                      &store.late_per_million, &store.twice_per_million,
                      &store.own_put_exists_per_million, &store.bit_flip_per_million,
                      &store.truncated_per_million, &store.outage_per_million}) {
    *fault = 30'000;
  }
}

void write_until_dead(World& world, Process& process, std::uint64_t& successes) {
  while (process.alive()) {
    auto file = process.file_io().open("/journal", io::OpenMode::create_or_open);
    if (!file) continue;
    Bytes data(1 + process.env().random.u64() % 5000, 7);
    successes += (*file)->write_at(world.dice().below(20000), data, io::Sync::yes).has_value();
    std::string name = fmt::format("/link{}", process.env().random.u64());
    successes += process.file_io().link("/journal", name).has_value();
    successes += process.file_io().sync_directory("/").has_value();
    successes += (*file)->read_at(0, data).has_value();
  }
}

void put_until_dead(World& world, Process& process, std::uint64_t& successes) {
  while (process.alive()) {
    auto bytes = process.env().random.array<16>();
    std::string name = "segments/" + to_hex(bytes);
    successes += process.store().put(name, bytes).has_value();
    world.executor().sleep_for(milliseconds(10));
    successes += process.store().get(name, 100).has_value();
  }
}

Outcome busy_world(std::uint64_t seed, FaultCounts& total) {
  World world(seed, {.spurious_wakeups_per_million = 10'000});
  turn_on_all_faults(world);
  Outcome outcome;
  world.run([&] {
    for (int life = 0; life < 4; ++life) {
      auto process = world.start();
      std::uint64_t end = world.steps().count() + world.dice().below(300);
      if (world.dice().coin()) {
        world.power_cut_at(end, world.disk());
      } else {
        world.kill_at(end, *process);
      }
      auto writer = world.executor().spawn(
          "writer", [&] { write_until_dead(world, *process, outcome.successes); });
      put_until_dead(world, *process, outcome.successes);
    }
  });
  total.add(world.faults());
  outcome.trace_hash = world.trace_hash();
  return outcome;
}

TEST(World, SameSeedGivesTheSameTraceWithAllFaultsOn) {
  FaultCounts total;
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Outcome first = busy_world(seed, total);
    EXPECT_EQ(first, busy_world(seed, total));
    EXPECT_GT(first.successes, 0u);
    hashes.insert(first.trace_hash);
  }
  EXPECT_EQ(hashes.size(), 100u);
  for (Fault fault : {Fault::kPowerCut, Fault::kProcessKilled, Fault::kDiskSectorsLost, Fault::kDiskWriteTorn,
                      Fault::kDiskNameLost, Fault::kDiskWriteError, Fault::kDiskReadError,
                      Fault::kDiskSyncError, Fault::kDiskCleanPageLost, Fault::kStoreLateAfterCrash,
                      Fault::kStoreTwice, Fault::kStoreStale, Fault::kStoreOutage}) {
    EXPECT_GT(total[fault], 0u) << fault_name(fault);
  }
}

TEST(World, EveryFaultHasANameAndIsListed) {
  FaultCounts counts;
  counts.add(Fault::kPowerCut);
  std::string text = counts.to_string();
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    names.insert(fault_name(static_cast<Fault>(i)));
    EXPECT_NE(text.find(fault_name(static_cast<Fault>(i))), std::string::npos);
  }
  EXPECT_EQ(names.size(), kFaultCount);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(World, DeadProcessIsInertButItsTasksComeToTheirEnd) {
  World world(3);
  world.run([&] {
    auto process = world.start();
    auto kept = process->file_io().open("/kept", io::OpenMode::create_new);
    ASSERT_TRUE((*kept)->write_at(0, as_bytes("before"), io::Sync::yes));
    ASSERT_TRUE(process->store().put("before", as_bytes("x")));
    process->kill();
    std::uint64_t steps = world.steps().count();

    io::FileIo& io = process->file_io();
    Bytes six(6);
    EXPECT_TRUE(is((*kept)->write_at(0, as_bytes("after!")), Code::kCancelled));
    EXPECT_TRUE(is((*kept)->read_at(0, six), Code::kCancelled));
    EXPECT_TRUE(is((*kept)->datasync(), Code::kCancelled));
    EXPECT_TRUE(is((*kept)->allocate(100), Code::kCancelled));
    EXPECT_TRUE(is((*kept)->lock(), Code::kCancelled));
    EXPECT_TRUE(is(io.open("/new", io::OpenMode::create_new), Code::kCancelled));
    EXPECT_TRUE(is(io.remove("/kept"), Code::kCancelled));
    EXPECT_TRUE(is(io.link("/kept", "/new"), Code::kCancelled));
    EXPECT_TRUE(is(io.make_directories("/new"), Code::kCancelled));
    EXPECT_TRUE(is(process->store().put("after", as_bytes("x")), Code::kCancelled));
    EXPECT_TRUE(is(process->store().remove("before"), Code::kCancelled));
    EXPECT_TRUE(is(process->store().get("before", 10), Code::kCancelled));
    EXPECT_EQ(world.steps().count(), steps);

    Mutex mutex;
    auto changed = process->env().executor.cond_var();
    bool stop = false;
    {
      auto task = process->env().executor.spawn("task", [&] {
        MutexLock lock(mutex);
        while (!stop) changed->wait_until(mutex, world.executor().monotonic_now() + seconds(1));
      });
      world.executor().sleep_for(seconds(10));
      MutexLock lock(mutex);
      stop = true;
      changed->notify_all();
    }

    world.bucket().settle_all();
    EXPECT_EQ(world.bucket().names(), std::vector<std::string>{"before"});
    auto next = world.start();
    EXPECT_EQ(next->file_io().list("/")->size(), 1u);
    auto file = next->file_io().open("/kept", io::OpenMode::read_write);
    ASSERT_TRUE((*file)->read_at(0, six));
    EXPECT_EQ(as_chars(six), "before");
  });
}

TEST(World, CrashFallsBetweenAnyTwoSteps) {
  // A create, a write with its sync and a put: each crash point shows one more effect, in this order.
  std::vector<std::string> states;
  for (std::uint64_t at = 1;; ++at) {
    World world(17);
    bool finished = false;
    std::string state;
    world.run([&] {
      auto process = world.start();
      world.kill_at(at, *process);
      auto file = process->file_io().open("/file", io::OpenMode::create_new);
      if (file) (void)(*file)->write_at(0, as_bytes("x"), io::Sync::yes);
      (void)process->store().put("object", as_bytes("x"));
      finished = process->alive();
      process.reset();
      world.bucket().settle_all();
      auto next = world.start();
      auto found = next->file_io().open("/file", io::OpenMode::read_only);
      state = !found ? "nothing" : *(*found)->size() == 0 ? "name" : "data";
      if (world.bucket().peek("object") != nullptr) state = "object";
    });
    if (states.empty() || states.back() != state) states.push_back(state);
    if (finished) break;
    ASSERT_LT(at, 50u);
    EXPECT_EQ(world.faults()[Fault::kProcessKilled], 1u);
  }
  EXPECT_EQ(states, (std::vector<std::string>{"nothing", "name", "data", "object"}));
}

TEST(World, LocksEndWithTheirProcess) {
  World world(8);
  world.run([&] {
    auto first = world.start();
    auto second = world.start();
    auto held = first->file_io().open("/lock", io::OpenMode::create_new);
    ASSERT_TRUE((*held)->lock());
    auto wanted = second->file_io().open("/lock", io::OpenMode::read_write);
    EXPECT_TRUE(is((*wanted)->lock(), Code::kExists));
    first->kill();
    EXPECT_TRUE((*wanted)->lock());
    held->reset();  // what a dead process closes frees nothing
    auto third = second->file_io().open("/lock", io::OpenMode::read_write);
    EXPECT_TRUE(is((*third)->lock(), Code::kExists));
  });
}

TEST(World, PowerCutEndsTheProcessesOfItsMachineOnly) {
  World world(9);
  SimDisk& other_disk = world.add_disk();
  world.run([&] {
    auto here = world.start();
    auto there = world.start(other_disk);
    ASSERT_TRUE(there->file_io().open("/file", io::OpenMode::create_new));
    world.power_cut(world.disk());
    EXPECT_FALSE(here->alive());
    EXPECT_TRUE(there->alive());
    EXPECT_TRUE(there->file_io().open("/file", io::OpenMode::read_only));
    EXPECT_NE(*there->file_io().identity("/"), io::FileIdentity{});
  });
}

TEST(World, PausedProcessStandsStill) {
  World world(10);
  world.run([&] {
    auto process = world.start();
    MonotonicTime start = world.executor().monotonic_now();
    process->pause_for(seconds(100));
    ASSERT_TRUE(process->store().put("object", as_bytes("x")));
    EXPECT_EQ(world.executor().monotonic_now(), start + seconds(100));
  });
}

TEST(World, RandomDiffersBetweenProcessesButNotBetweenRuns) {
  auto draw = [](std::uint64_t seed) {
    World world(seed);
    auto first = world.start();
    auto second = world.start();
    return std::pair(first->env().random.u64(), second->env().random.u64());
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
  EXPECT_NE(draw(1).first, draw(1).second);
}

}  // namespace
}  // namespace s3crate::sim
