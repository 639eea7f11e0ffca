// SPDX-License-Identifier: GPL-3.0-or-later
// What the cache file keeps: over restarts, kills and power cuts, through scans; and what it does when its disk fails it.
#include <algorithm>

#include "tests/sim/cache_world.h"
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

TEST(CacheFile, AHotSetOfScatteredItemsOutlivesAScan) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 100);
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
  for (std::uint64_t step = 1; step < 400; ++step) {
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
  EXPECT_GT(hits, 5'000u);
  EXPECT_LT(wrong, hits / 20);
}

TEST(CacheFile, PowerCutsAndFaultsCostMissesOnly) {
  SEEDED_TEST(base);
  std::uint64_t hits = 0, wrong = 0, admitted = 0, errors = 0, powered_off = 0;
  FaultCounts faults;
  for (std::uint64_t seed = base; seed < base + 60; ++seed) {
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
  EXPECT_GT(hits, 20'000u);
  EXPECT_GT(admitted, 5'000u);
  EXPECT_GT(errors, 0u);
  EXPECT_GT(powered_off, 10u);
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
      node.cached[at] ^= static_cast<std::uint8_t>(1 + dice.below(255));
      world.start();
      EXPECT_TRUE(world.file->stats().on);
      EXPECT_LE(world.read_range(0, 40), 40u);
      world.settle();
      EXPECT_EQ(world.read_range(0, 40), 0u);  // and it heals
    });
  }
}

// ---- Files that are not to be used --------------------------------------------------------------

TEST(CacheFile, AnotherVolumesFileStartsAnew) {
  SEEDED_TEST(seed);
  CacheWorld world(seed);
  world.run([&] {
    world.start();
    world.read_range(0, 20);
    world.close();
    world.options.vid.fill(8);
    world.start();
    EXPECT_EQ(world.file->stats().items, 0u);
    EXPECT_EQ(world.read_range(0, 20), 20u);
    world.settle();
    EXPECT_EQ(world.read_range(0, 20), 0u);
  });
}

TEST(CacheFile, AFileOfAnotherSizeStartsAnewAndGivesItsRoomBack) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 64);
  world.run([&] {
    world.start();
    world.read_range(0, 500);
    world.close();
    const std::uint64_t before = world.world.disk().used_bytes();
    world.options.bytes = 4096 + 32 * CacheWorld::kChunk;
    world.start();
    EXPECT_EQ(world.file->stats().items, 0u);
    EXPECT_LT(world.world.disk().used_bytes(), before / 4);
    world.close();
    // A default that follows the free space does not.
    world.start();
    world.read_range(0, 20);
    world.close();
    world.options.bytes = 4096 + 20 * CacheWorld::kChunk;
    world.options.kept_bytes_max = 2 * world.options.bytes;
    world.start();
    EXPECT_EQ(world.file->stats().items, 20u);
    EXPECT_EQ(world.file->stats().capacity, 4096 + 32 * CacheWorld::kChunk);
    world.close();
    world.options.bytes = 4096 + 12 * CacheWorld::kChunk;
    world.options.kept_bytes_max = 2 * world.options.bytes;
    world.start();
    EXPECT_EQ(world.file->stats().items, 0u);
    EXPECT_EQ(world.file->stats().capacity, world.options.bytes);
  });
}

TEST(CacheFile, AForeignFileIsReplaced) {
  SEEDED_TEST(seed);
  CacheWorld world(seed);
  world.run([&] {
    world.start();
    world.end();
    Node& node = **world.world.disk().find("/state/cache");
    for (auto& byte : node.cached) byte = static_cast<std::uint8_t>(world.world.dice().below(256));
    world.start();
    EXPECT_TRUE(world.file->stats().on);
    EXPECT_EQ(world.read_range(0, 20), 20u);
    world.settle();
    EXPECT_EQ(world.read_range(0, 20), 0u);
  });
}

TEST(CacheFile, ASecondMountGoesOnWithout) {
  SEEDED_TEST(seed);
  CacheWorld world(seed);
  world.run([&] {
    world.start();
    world.read_range(0, 20);
    CacheWorld::Item item = world.item(0);
    auto other = world.world.start();
    auto second = cache::CacheFile::open(other->env(), other->file_io(), world.options);
    ASSERT_TRUE(second);
    (*second)->wait_ready(seconds(10));
    (*second)->offer(item.digest, item.bytes);
    world.world.executor().sleep_for(seconds(5));
    EXPECT_FALSE((*second)->stats().on);
    ASSERT_EQ(world.said.size(), 1u);
    EXPECT_NE(world.said[0].find("locked"), std::string::npos) << world.said[0];
    const cache::SealedCache::Wanted wanted{item.digest, static_cast<std::uint32_t>(item.bytes.size())};
    EXPECT_TRUE((*second)->find({&wanted, 1})[0].empty());
    second->reset();
    other.reset();
    EXPECT_EQ(world.read_range(0, 20), 0u);
  });
}

// ---- A disk that fails --------------------------------------------------------------------------

TEST(CacheFile, AFullDiskEndsTheGrowthOnly) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 100);
  world.run([&] {
    world.world.disk().faults.capacity = 20 * CacheWorld::kChunk;
    world.start();
    world.read_range(0, 2000);
    world.settle();
    auto stats = world.file->stats();
    EXPECT_TRUE(stats.on);
    EXPECT_GT(stats.items, 50u);
    EXPECT_LE(world.world.disk().used_bytes(), 20 * CacheWorld::kChunk);
    EXPECT_LT(world.read_range(1990, 10), 10u);  // it goes on with the chunks it has
    EXPECT_TRUE(world.said.empty());
  });
}

TEST(CacheFile, ADiskTooFullForAnythingIsAskedAgainLater) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 100);
  world.run([&] {
    world.world.disk().faults.capacity = CacheWorld::kChunk / 2;
    world.start();
    for (int i = 0; i < 5; ++i) {
      world.read_range(0, 50);
      world.settle();
    }
    EXPECT_EQ(world.file->stats().items, 0u);
    EXPECT_GT(world.file->stats().rejected, 100u);
    EXPECT_EQ(world.file->stats().errors, 1u);
    ASSERT_EQ(world.said.size(), 1u);
    world.world.executor().sleep_for(seconds(61));
    world.read_range(0, 50);
    world.settle();
    EXPECT_EQ(world.said.size(), 1u);
    EXPECT_TRUE(world.file->stats().on);
  });
}

TEST(CacheFile, OthersOnTheDiskAreLeftTheirRoom) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 100);
  world.run([&] {
    world.world.disk().faults.capacity = 60 * CacheWorld::kChunk;
    world.options.leave_free = 40 * CacheWorld::kChunk;
    world.start();
    world.read_range(0, 2000);
    world.settle();
    EXPECT_LE(world.world.disk().used_bytes(), 20 * CacheWorld::kChunk);
    EXPECT_GT(world.file->stats().items, 50u);
  });
}

TEST(CacheFile, AnErrorOfTheDiskIsSaidOnceAndTheMountGoesOnWithout) {
  SEEDED_TEST(seed);
  for (bool reading : {false, true}) {
    CacheWorld world(seed);
    world.run([&] {
      world.start();
      world.read_range(0, 50);
      world.settle();
      (reading ? world.world.disk().faults.read_error_per_million : world.world.disk().faults.write_error_per_million) = 1'000'000;
      world.read_range(reading ? 0 : 100, 20);
      world.settle();
      EXPECT_FALSE(world.file->stats().on);
      EXPECT_FALSE(world.file->stats().why_off.empty());
      EXPECT_EQ(world.said.size(), 1u);
      EXPECT_EQ(world.read_range(0, 50), 50u);
      world.settle();
      EXPECT_EQ(world.said.size(), 1u);
      EXPECT_GT(world.file->stats().errors, 0u);
      world.world.disk().faults = {};
      world.close();
      world.start();
      EXPECT_TRUE(world.file->stats().on);
    });
  }
}

TEST(CacheFile, AFileThatVanishedOrWasCutShortIsNoticed) {
  SEEDED_TEST(seed);
  for (bool cut : {false, true}) {
    CacheWorld world(seed);
    world.run([&] {
      world.start();
      world.read_range(0, 50);
      world.settle();
      Node& node = **world.world.disk().find("/state/cache");
      if (cut) node.cached.clear();
      else world.world.disk().set_name(*world.world.disk().place("/state/cache"), nullptr);
      EXPECT_EQ(world.read_range(0, 50), cut ? 50u : 0u);
      world.world.executor().sleep_for(seconds(31));
      world.read_range(0, 50);
      world.settle();
      EXPECT_FALSE(world.file->stats().on);
      EXPECT_EQ(world.said.size(), 1u);
      world.close();
      world.start();
      EXPECT_TRUE(world.file->stats().on);
      world.read_range(0, 50);
      world.settle();
      EXPECT_EQ(world.read_range(0, 50), 0u);
    });
  }
}

TEST(CacheFile, TheQueueIsBounded) {
  SEEDED_TEST(seed);
  CacheWorld world(seed);
  world.options.queue_bytes_max = 40'000;
  world.run([&] {
    world.start();
    for (std::uint64_t n = 0; n < 100; ++n) world.file->offer(world.item(n).digest, world.item(n).bytes);
    EXPECT_GT(world.file->stats().rejected, 50u);
    world.settle();
    const auto stats = world.file->stats();
    EXPECT_GT(stats.admitted, 5u);
    EXPECT_EQ(stats.admitted + stats.rejected, 100u);
  });
}

}  // namespace
}  // namespace s3crate::sim
