// SPDX-License-Identifier: GPL-3.0-or-later
// SEEK_DATA, SEEK_HOLE and st_blocks of huge sparse disks: what they answer, and how many pages of the map that takes.
#include <gtest/gtest.h>

#include <random>

#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/map_trees.h"

namespace s3crate {
namespace {

using test::DiskWorld;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;
constexpr std::uint64_t kTi = std::uint64_t{1} << 40, kPi = std::uint64_t{1} << 50;

std::uint64_t page_loads(device::Disk& disk) {
  const auto stats = disk.stats();
  return stats.map_cache_hits + stats.map_cache_misses;
}

// Data and holes in turn, as cp and qemu-img look for them: the offsets where data begins and ends.
std::vector<std::uint64_t> walk(device::Disk& disk) {
  std::vector<std::uint64_t> out;
  for (std::uint64_t at = 0; at < disk.size();) {
    auto data = disk.seek(at, false);
    EXPECT_TRUE(data);
    if (!data || *data >= disk.size()) break;
    auto hole = disk.seek(*data, true);
    EXPECT_TRUE(hole);
    if (!hole) break;
    out.push_back(*data);
    out.push_back(at = *hole);
  }
  return out;
}

// Extents of one block, `distance` bytes apart, all in the tree.
std::vector<std::uint64_t> write_extents(DiskWorld& world, std::uint64_t n, std::uint64_t distance) {
  std::vector<std::uint64_t> out;
  const Bytes data(kBlock, 7);
  for (std::uint64_t i = 0; i < n; ++i) {
    EXPECT_TRUE(world.disk->write(i * distance + distance / 2, data));
    out.push_back(i * distance + distance / 2);
    out.push_back(out.back() + kBlock);
  }
  EXPECT_TRUE(world.disk->sync());
  return out;
}

TEST(SeekTest, EmptyDiskOfAPebibyteIsOneStep) {
  DiskWorld world(kPi);
  ASSERT_OK(world.open());
  EXPECT_EQ(*world.disk->seek(0, false), kPi);
  EXPECT_EQ(*world.disk->seek(12345, true), 12345u);
  EXPECT_EQ(*world.disk->allocated_bytes(), 0u);
  ASSERT_OK(world.disk->write(kPi - kBlock, Bytes(kBlock, 1)));
  EXPECT_EQ(*world.disk->seek(0, false), kPi - kBlock) << "in memory";
  ASSERT_OK(world.disk->sync());
  EXPECT_EQ(*world.disk->seek(0, false), kPi - kBlock) << "in the map";
  EXPECT_EQ(*world.disk->seek(kPi - kBlock, true), kPi);
  EXPECT_EQ(*world.disk->allocated_bytes(), kBlock);
  EXPECT_EQ(page_loads(*world.disk), 0u) << "no page was needed";
  ASSERT_OK(world.close());
}

TEST(SeekTest, WalkOverManyExtentsLoadsPagesInProportionToThem) {
  for (const auto& [size, n] : {std::pair(16 * kTi, std::uint64_t{300}), std::pair(16 * kTi, std::uint64_t{1200}), std::pair(kPi, std::uint64_t{1200})}) {
    DiskWorld world(size);
    ASSERT_OK(world.open());
    const auto extents = write_extents(world, n, size / n / (2 * kBlock) * (2 * kBlock));
    ASSERT_OK(world.close());
    world.options.map_cache_bytes = 256 << 10;
    ASSERT_OK(world.open());
    EXPECT_EQ(walk(*world.disk), extents);
    const auto stats = world.disk->stats();
    // Each of 2n steps goes down once, and looks at the leaf before or behind as well; each page is read once.
    EXPECT_LE(page_loads(*world.disk), 2 * n * 7) << n;
    EXPECT_LE(stats.map_cache_misses, n) << "of " << n << " extents";
    // What lies on the way is skipped by key.
    const std::uint64_t before = page_loads(*world.disk);
    EXPECT_EQ(*world.disk->seek(extents[extents.size() - 3], false), extents[extents.size() - 2]);
    EXPECT_LE(page_loads(*world.disk) - before, 8u);
    ASSERT_OK(world.close());
  }
}

// Changes in memory are looked at some at a time, and the tree only between them.
TEST(SeekTest, ManyChangesInMemoryHideTheTree) {
  DiskWorld world(kTi);
  world.options.checkpoint_runs = world.options.delta_runs_max = 100'000;
  world.options.checkpoint_commits = 100'000;
  ASSERT_OK(world.open());
  const std::uint64_t n = 700, distance = kTi / n / (2 * kBlock) * (2 * kBlock);
  auto extents = write_extents(world, n, distance);
  EXPECT_EQ(walk(*world.disk), extents);
  // Every second one becomes a hole.
  std::vector<std::uint64_t> left;
  for (std::size_t i = 0; i < extents.size(); i += 2) {
    if (i % 4 == 0) {
      ASSERT_OK(world.disk->discard(extents[i], kBlock));
    } else {
      left.insert(left.end(), {extents[i], extents[i + 1]});
    }
  }
  EXPECT_EQ(walk(*world.disk), left);
  EXPECT_EQ(*world.disk->allocated_bytes(), left.size() / 2 * kBlock);
  ASSERT_OK(world.disk->sync());
  EXPECT_EQ(walk(*world.disk), left);
  EXPECT_EQ(*world.disk->allocated_bytes(), left.size() / 2 * kBlock);
  ASSERT_OK(world.close());
}

TEST(AllocatedTest, SmallMapsAreCountedAndLargeOnesEstimatedFromAFewPages) {
  std::mt19937_64 random(5);
  DiskWorld world(kTi);
  ASSERT_OK(world.open());
  std::uint64_t blocks = 0;
  const auto write_some = [&](std::uint64_t begin, std::uint64_t n) {
    for (std::uint64_t i = begin; i < begin + n; ++i) {
      const std::uint64_t count = 1 + random() % 8;
      blocks += count;
      ASSERT_OK(world.disk->write(i * 100 * kBlock, Bytes(count * kBlock, 9)));
    }
    ASSERT_OK(world.disk->sync());
  };
  write_some(0, 150);
  EXPECT_EQ(*world.disk->allocated_bytes(), blocks * kBlock);
  write_some(150, 3000);
  ASSERT_OK(world.close());
  world.options.read_only = true;  // so that nothing is done beside
  ASSERT_OK(world.open());
  const auto estimate = static_cast<double>(*world.disk->allocated_bytes());
  EXPECT_NEAR(estimate, static_cast<double>(blocks * kBlock), 0.1 * static_cast<double>(blocks * kBlock));
  // What is between two changes in memory is looked up by itself; how many there are is the last checkpoint's affair.
  EXPECT_LE(page_loads(*world.disk), 64u * 12 + world.disk->stats().delta_runs * 4);
  const std::uint64_t loads = page_loads(*world.disk);
  EXPECT_EQ(static_cast<double>(*world.disk->allocated_bytes()), estimate);
  EXPECT_EQ(page_loads(*world.disk), loads) << "nothing changed";
  world.vanish();
  world.options.read_only = false;
  ASSERT_OK(world.open());
  // What is discarded in memory counts at once, though the tree still has it.
  ASSERT_OK(world.disk->discard(0, kTi));
  EXPECT_EQ(*world.disk->allocated_bytes(), 0u);
  ASSERT_OK(world.close());
}

TEST(AllocatedTest, EverySampleStandsForItsShareOfTheLeaves) {
  test::TreeWorld world(1);
  const auto root = test::sparse_map(world, 2000);
  ASSERT_TRUE(root && root->level >= 2);
  double leaves = 0;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    auto sample = volume::map_sample(world.loader(), *root, i, 64);
    ASSERT_OK(sample);
    EXPECT_LT(sample->from, sample->to);
    EXPECT_GE(sample->from.value, before);
    before = sample->from.value;
    leaves += sample->leaves;
  }
  std::uint64_t real = 0;
  for (const auto& ref : test::pages_of(world, root)) real += (*world.loader().load(ref))->level == 0 ? 1 : 0;
  EXPECT_NEAR(leaves, static_cast<double>(real), 0.2 * static_cast<double>(real));
  EXPECT_EQ(*volume::map_samples(world.loader(), *root, 64), 64u);
  const auto small = test::sparse_map(world, 30);
  ASSERT_EQ(small->level, 1);
  const std::size_t n = *volume::map_samples(world.loader(), *small, 64);
  double blocks = 0;
  for (std::size_t i = 0; i < n; ++i) {
    auto sample = volume::map_sample(world.loader(), *small, i, n);
    ASSERT_OK(sample);
    EXPECT_EQ(sample->leaves, 1);
    for (const auto& run : test::runs_in(world, small, sample->from.value, std::min(sample->to.value, std::uint64_t{100})))
      blocks += run.hole ? 0 : static_cast<double>(run.count);
  }
  EXPECT_EQ(blocks, 30);
}

}  // namespace
}  // namespace s3crate
