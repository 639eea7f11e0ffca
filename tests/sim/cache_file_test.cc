// SPDX-License-Identifier: GPL-3.0-or-later
// What the cache file keeps: over restarts, kills and power cuts, and through scans.
#include <algorithm>

#include "tests/sim/cache_world.h"
#include "tests/support/sanitized.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

using std::chrono::seconds;

TEST(CacheFile, WhatWasOfferedIsFoundAfterARestart) {
  SEEDED_TEST(seed);
  CacheWorld world(seed);
  world.run([&] {
    world.start();
    EXPECT_EQ(world.read_range(0, 100), 100u);
    world.settle();
    EXPECT_EQ(world.read_range(0, 100), 0u);
    world.close();
    world.start();
    EXPECT_EQ(world.read_range(0, 100), 0u);
    const auto stats = world.file->stats();
    EXPECT_TRUE(stats.on);
    EXPECT_EQ(stats.items, 100u);
    EXPECT_EQ(stats.hits, 100u);
    EXPECT_EQ(stats.misses, 0u);
    EXPECT_EQ(stats.bytes, world.bytes_of(0, 100));
    EXPECT_TRUE(world.said.empty());
  });
}

// The sizes that a cache promises: nine tenths of the file are read over and over, in any order.
TEST(CacheFile, WarmRestartServesARepeatedWorkingSet) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 200);
  world.run([&] {
    const std::uint64_t items = world.items_in(200 * (CacheWorld::kChunk - 8192) * 85 / 100);
    std::vector<std::uint64_t> order(items);
    for (std::uint64_t i = 0; i < items; ++i) order[i] = i;
    const auto read_all = [&] {
      for (std::uint64_t i = items; i > 1; --i) std::swap(order[i - 1], order[world.world.dice().below(i)]);
      std::uint64_t gets = 0;
      for (std::uint64_t n : order) {
        gets += world.read({&n, 1});
        if (n % 8 == 0) world.world.executor().sleep_for(std::chrono::milliseconds(1));
      }
      return gets;
    };
    world.start();
    EXPECT_EQ(read_all(), items);
    world.close();
    for (int restart = 0; restart < 3; ++restart) {
      world.start();
      const std::uint64_t gets = read_all();
      EXPECT_LE(gets, items * 5 / 100) << "of " << items;
      RecordProperty(fmt::format("restart{}", restart), fmt::format("{} of {} from the store", gets, items));
      world.close();
    }
  });
}

// What was used twice is hot, whether it was found so long ago or just now, and whether the file was full then.
class ScanOver : public testing::TestWithParam<int> {};
TEST_P(ScanOver, FourTimesTheCacheLeavesTheHotSetInPlace) {
  SEEDED_TEST(seed);
  constexpr std::uint32_t kChunks = 100;
  CacheWorld world(seed, kChunks);
  world.run([&] {
    constexpr std::uint64_t kHotFrom = 1'000'000, kScanFrom = 2'000'000;
    const std::uint64_t capacity = std::uint64_t{kChunks} * (CacheWorld::kChunk - 8192);
    const std::uint64_t hot = world.items_in(capacity / 2, kHotFrom);
    const std::uint64_t scan = world.items_in(4 * world.options.bytes, kScanFrom);
    world.start();
    if (GetParam() == 1) world.read_range(0, world.items_in(2 * capacity));  // full of something else
    EXPECT_EQ(world.read_range(kHotFrom, hot), hot);
    world.settle();
    world.read_range(kHotFrom, hot);
    world.settle();
    world.read_range(kHotFrom, hot);
    if (GetParam() == 2) {
      world.close();
      world.start();
    }
    world.read_range(kScanFrom, scan);
    world.settle();
    const std::uint64_t gets = world.read_range(kHotFrom, hot);
    EXPECT_LE(gets, hot * 30 / 100) << "of " << hot;
    RecordProperty("hot", fmt::format("{} of {} from the store", gets, hot));
    const auto stats = world.file->stats();
    EXPECT_LE(stats.bytes, capacity);
    EXPECT_EQ(stats.rejected, 0u);
    // Of what was let in at most as much was written again.
    EXPECT_LE(stats.copied_bytes, stats.admitted_bytes);
  });
}
INSTANTIATE_TEST_SUITE_P(Of, ScanOver, testing::Values(0, 1, 2));

class HotSet : public testing::TestWithParam<bool> {};
TEST_P(HotSet, OfScatteredItemsOutlivesAScan) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 100);
  world.pages = GetParam();
  world.run([&] {
    // Each fifth item is hot, so no chunk is popular as a whole.
    constexpr std::uint64_t kItems = 800;
    world.start();
    world.read_range(0, kItems);
    world.settle();
    const auto read_hot = [&] {
      std::uint64_t gets = 0;
      for (std::uint64_t n = 0; n < kItems; n += 5) gets += world.read({&n, 1});
      world.settle();
      return gets;
    };
    EXPECT_EQ(read_hot(), 0u);
    const std::uint64_t scan = world.items_in(4 * world.options.bytes, 10'000);
    world.read_range(10'000, scan);
    EXPECT_LE(read_hot(), kItems / 5 * 30 / 100);
    EXPECT_GT(world.file->stats().copied_bytes, 0u);
  });
}
INSTANTIATE_TEST_SUITE_P(OfExtentsAndPages, HotSet, testing::Bool());

// It is read from the file never again, but after a restart it will be.
TEST(CacheFile, AHotSetThatMemoryServesOutlivesAScan) {
  SEEDED_TEST(seed);
  constexpr std::uint32_t kChunks = 100;
  CacheWorld world(seed, kChunks);
  world.run([&] {
    const std::uint64_t capacity = std::uint64_t{kChunks} * (CacheWorld::kChunk - 8192);
    const std::uint64_t hot = world.items_in(capacity / 2);
    const std::uint64_t scan = world.items_in(4 * world.options.bytes, 10'000);
    const auto use_hot = [&] {
      for (std::uint64_t n = 0; n < hot; ++n) {
        const auto& item = world.item(n);
        world.file->was_used({item.digest, static_cast<std::uint32_t>(item.bytes.size())});
      }
      world.settle();
    };
    world.start();
    EXPECT_EQ(world.read_range(0, hot), hot);
    world.settle();
    for (int part = 0; part < 4; ++part) {
      use_hot();
      world.read_range(10'000 + static_cast<std::uint64_t>(part) * scan / 4, scan / 4);
    }
    world.close();
    world.start();
    EXPECT_LE(world.read_range(0, hot), hot * 30 / 100) << "of " << hot;
  });
}

TEST(CacheFile, WhatComesBackSoonAfterItWentIsKept) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 40);
  world.run([&] {
    world.start();
    const std::uint64_t capacity = 40 * (CacheWorld::kChunk - 8192);
    world.read_range(0, world.items_in(2 * capacity));  // full, of what nobody wants again
    // More than the room on probation, read in turn: the second time they are remembered.
    const std::uint64_t set = world.items_in(capacity / 4, 50'000);
    EXPECT_EQ(world.read_range(50'000, set), set);
    world.settle();
    world.read_range(50'000, set);
    world.settle();
    EXPECT_LE(world.read_range(50'000, set), set / 20);
  });
}

TEST(CacheFile, AKillLosesWhatCameInTheLastSecondsOnly) {
  SEEDED_TEST(seed);
  CacheWorld world(seed);
  world.run([&] {
    world.start();
    world.read_range(0, 100);
    world.world.executor().sleep_for(seconds(11));
    world.read_range(1000, 5);
    world.settle();
    world.kill();
    world.start();
    EXPECT_EQ(world.read_range(0, 100), 0u);
    EXPECT_LE(world.read_range(1000, 5), 5u);
    EXPECT_EQ(world.file->stats().wrong, 0u);
  });
}

// Reads and offers until the process dies; then whatever is found is right.
void live(CacheWorld& world, std::uint64_t rounds) {
  for (std::uint64_t i = 0; i < rounds && world.process->alive(); ++i) {
    std::vector<std::uint64_t> numbers;
    const bool scan = world.world.dice().percent(20);
    const std::uint64_t from = scan ? world.world.dice().below(100'000) : world.world.dice().below(300);
    for (std::uint64_t n = world.world.dice().between(1, 8); n > 0; --n) numbers.push_back(from + n);
    world.read(numbers);
    if (world.world.dice().percent(30)) world.world.executor().sleep_for(std::chrono::milliseconds(world.world.dice().below(3000)));
  }
}

TEST(CacheFile, AKillAtAnyStepLeavesWhatCanBeUsed) {
  SEEDED_TEST(seed);
  std::uint64_t hits = 0, wrong = 0;
  for (std::uint64_t step = 1; step < 400; step += test::kSanitized ? 7 : 1) {
    SCOPED_TRACE(step);
    CacheWorld world(seed + step, 10);
    world.run([&] {
      world.world.steps().at(step * 3, [&] {
        if (world.process) world.process->kill();
      });
      world.start();
      live(world, 150);
      world.kill();
      world.world.steps().disarm();
      world.start();
      ASSERT_TRUE(world.file->stats().on);
      live(world, 30);
      hits += world.file->stats().hits;
      wrong += world.file->stats().wrong;
      EXPECT_TRUE(world.said.empty());
    });
  }
  EXPECT_GT(hits, test::kSanitized ? 700u : 5'000u);
  EXPECT_LT(wrong, hits / 20);
}

TEST(CacheFile, PowerCutsAndFaultsCostMissesOnly) {
  SEEDED_TEST(base);
  std::uint64_t hits = 0, wrong = 0, admitted = 0, errors = 0, powered_off = 0;
  FaultCounts faults;
  const std::uint64_t seeds = test::kSanitized ? 20 : 60;
  for (std::uint64_t seed = base; seed < base + seeds; ++seed) {
    SCOPED_TRACE(seed);
    CacheWorld world(seed, static_cast<std::uint32_t>(Dice(seed).between(8, 40)));
    Dice& dice = world.world.dice();
    world.run([&] {
      for (int lives = 0; lives < 8; ++lives) {
        world.world.disk().faults = {};
        if (dice.percent(30)) world.world.disk().faults.write_error_per_million = 20'000;
        if (dice.percent(30)) world.world.disk().faults.read_error_per_million = 5'000;
        if (dice.percent(30)) world.world.disk().faults.full_per_million = 50'000;
        const bool power = dice.coin();
        world.world.steps().at(world.world.steps().count() + dice.between(1, 1500), [&] {
          if (!world.process) return;
          power ? world.world.power_cut(world.world.disk()) : world.process->kill();
        });
        world.start();
        live(world, dice.below(300));
        const auto stats = world.file->stats();
        hits += stats.hits, wrong += stats.wrong, admitted += stats.admitted, errors += stats.errors;
        powered_off += power && !world.process->alive();
        if (world.process->alive() && dice.coin()) world.close();
        else if (power) world.power_cut();
        else world.kill();
        world.world.steps().disarm();
      }
    });
    faults.add(world.world.faults());
  }
  EXPECT_GT(hits, seeds * 300);
  EXPECT_GT(admitted, seeds * 80);
  EXPECT_GT(errors, 0u);
  EXPECT_GT(powered_off, seeds / 6);
  for (Fault fault : {Fault::kDiskSectorsLost, Fault::kDiskWriteTorn, Fault::kDiskWriteError, Fault::kDiskReadError, Fault::kDiskFull})
    EXPECT_GT(faults[fault], 0u) << fault_name(fault);
  fmt::print("{} hits, {} wrong, {} admitted, {} errors\n", hits, wrong, admitted, errors);
}

TEST(CacheFile, AnyFlippedByteCostsMissesOnly) {
  SEEDED_TEST(seed);
  for (int round = 0; round < 300; ++round) {
    CacheWorld world(seed + static_cast<std::uint64_t>(round), 8);
    world.run([&] {
      world.start();
      world.read_range(0, 40);
      world.close();
      Node& node = **world.world.disk().find("/state/cache");
      Dice& dice = world.world.dice();
      // Sectors that speak of others, and their contents.
      std::uint64_t at = dice.below(node.cached.size());
      if (dice.coin()) at = (dice.coin() ? 0 : 4096 + dice.below(4) * CacheWorld::kChunk) + dice.below(dice.coin() ? 100 : 8192);
      at = std::min(at, node.cached.size() - 1);
      node.cached.flip(at, static_cast<std::uint8_t>(1 + dice.below(255)));
      world.start();
      EXPECT_TRUE(world.file->stats().on);
      EXPECT_LE(world.read_range(0, 40), 40u);
      world.settle();
      EXPECT_EQ(world.read_range(0, 40), 0u);  // and it heals
    });
  }
}

}  // namespace
}  // namespace s3crate::sim
