// SPDX-License-Identifier: GPL-3.0-or-later
// Cache files that are of no use, and disks that fail them, fill up or lose them.
#include "tests/sim/cache_world.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

using std::chrono::seconds;

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
    Bytes foreign(node.cached.size());
    for (auto& byte : foreign) byte = static_cast<std::uint8_t>(world.world.dice().below(256));
    node.cached = FileBytes(foreign);
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

TEST(CacheFile, AQuotaThatTheDiskDoesNotTellOfEndsTheGrowthOnly) {
  SEEDED_TEST(seed);
  CacheWorld world(seed, 100);
  world.run([&] {
    world.world.disk().faults.quota = 20 * CacheWorld::kChunk;
    world.start();
    for (std::uint64_t round = 0; round < 3; ++round) {
      world.read_range(round * 1000, 1000);
      world.settle();
      EXPECT_LT(world.read_range(round * 1000 + 990, 10), 10u);  // it goes on with the chunks it has
      world.world.executor().sleep_for(seconds(61));
    }
    EXPECT_EQ(world.file->stats().rejected, 0u);
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
    EXPECT_FALSE(world.file->stats().why_off.empty());
    world.world.executor().sleep_for(seconds(61));
    EXPECT_TRUE(world.file->stats().why_off.empty());
    world.read_range(0, 50);
    world.settle();
    EXPECT_EQ(world.said.size(), 1u);
    EXPECT_TRUE(world.file->stats().on);
    world.world.disk().faults.capacity = 100 * CacheWorld::kChunk;
    world.world.executor().sleep_for(seconds(61));
    EXPECT_EQ(world.read_range(0, 50), 50u);
    world.settle();
    EXPECT_EQ(world.read_range(0, 50), 0u);
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
      const std::shared_ptr<Node> node = *world.world.disk().find("/state/cache");
      if (cut) node->cached.resize(0);
      else world.world.disk().set_name(*world.world.disk().place("/state/cache"), nullptr);
      EXPECT_EQ(world.read_range(0, 50), cut ? 50u : 0u);
      world.world.executor().sleep_for(seconds(31));
      world.read_range(0, 50);
      world.settle();
      EXPECT_FALSE(world.file->stats().on);
      EXPECT_EQ(world.said.size(), 1u);
      EXPECT_EQ(node->lock_file, nullptr) << "it is held open, so the disk does not get its room back";
      world.close();
      world.start();
      EXPECT_TRUE(world.file->stats().on);
      world.read_range(0, 50);
      world.settle();
      EXPECT_EQ(world.read_range(0, 50), 0u);
    });
  }
}

// No order of writes is needed, so after a power cut there may be tables of what never got to the disk.
TEST(CacheFile, ChunksOfWhichAllButTheTableIsLostAreNotKept) {
  SEEDED_TEST(seed);
  constexpr std::uint32_t kChunks = 20;
  CacheWorld world(seed, kChunks);
  world.run([&] {
    const std::uint64_t items = world.items_in(kChunks * (CacheWorld::kChunk - 8192) * 80 / 100);
    world.start();
    for (int times = 0; times < 3; ++times) world.read_range(0, items);
    world.close();
    FileBytes& bytes = (**world.world.disk().find("/state/cache")).cached;
    for (std::uint64_t at = 4096; at + CacheWorld::kChunk <= bytes.size(); at += CacheWorld::kChunk)
      bytes.write(at + 8192, Bytes(CacheWorld::kChunk - 8192));
    world.start();
    EXPECT_EQ(world.read_range(0, items), items);
    world.settle();
    EXPECT_LE(world.read_range(0, items), items / 4) << "of " << items;
    world.close();
    world.start();
    EXPECT_LE(world.read_range(0, items), items / 4) << "of " << items;
  });
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
