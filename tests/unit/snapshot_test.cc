// SPDX-License-Identifier: GPL-3.0-or-later
// A snapshot of a disk that is written to without a pause: it holds what was acknowledged before, and nothing that was written after
// its cut.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/assert_ok.h"
#include "tests/support/read_generation.h"

namespace s3crate {
namespace {

using test::DiskWorld;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;

// The number in a block.
std::uint64_t number_at(ByteView disk, std::uint64_t block) {
  std::uint64_t out = 0;
  std::memcpy(&out, disk.data() + block * kBlock, sizeof out);
  return out;
}
Bytes numbered(std::uint64_t number) {
  Bytes out(kBlock);
  std::memcpy(out.data(), &number, sizeof number);
  return out;
}

class SnapshotTest : public testing::TestWithParam<device::Durability> {
 protected:
  static constexpr std::uint64_t kBlocks = 16;
  DiskWorld world_{kBlocks * kBlock};
};

TEST_P(SnapshotTest, HoldsWhatWasAcknowledgedBeforeAndNothingWrittenAfterItsCut) {
  world_.options.durability = GetParam();
  world_.options.upload_delay = std::chrono::seconds(30);
  ASSERT_OK(world_.open());
  // The n-th write puts n into block n % kBlocks.
  std::atomic<std::uint64_t> begun = 0, acknowledged = 0;
  std::atomic<bool> stop = false;
  std::thread load([&] {
    while (!stop) {
      const std::uint64_t n = ++begun;
      const auto written = world_.disk->write(n % kBlocks * kBlock, numbered(n));
      EXPECT_TRUE(written);
      if (!written) return;
      acknowledged = n;
    }
  });
  std::map<Generation, std::pair<std::uint64_t, std::uint64_t>> bounds;
  std::uint64_t at_cut = 0;
  for (int i = 0; i < 12; ++i) {
    while (acknowledged < at_cut + kBlocks) std::this_thread::yield();
    const std::uint64_t before = acknowledged;
    const auto generation = world_.disk->snapshot([&] { at_cut = begun; });
    EXPECT_TRUE(generation) << generation.error().message();
    if (!generation) break;
    EXPECT_TRUE(bounds.emplace(*generation, std::pair(before, at_cut)).second) << "each is a generation of its own";
  }
  stop = true;
  load.join();
  ASSERT_OK(world_.close());

  auto volume = test::open_volume(world_.memory(), world_);
  ASSERT_EQ(bounds.size(), 12u);
  for (const auto& [generation, bound] : bounds) {
    SCOPED_TRACE(generation.value);
    const auto disk = test::read_generation(*volume, generation);
    ASSERT_OK(disk);
    // It is a prefix of the writes: the newest number says of which, and every block agrees.
    std::uint64_t newest = 0;
    for (std::uint64_t b = 0; b < kBlocks; ++b) newest = std::max(newest, number_at(*disk, b));
    EXPECT_GE(newest, bound.first);
    EXPECT_LE(newest, bound.second);
    for (std::uint64_t b = 0; b < kBlocks; ++b) {
      const std::uint64_t n = number_at(*disk, b);
      EXPECT_EQ(n % kBlocks, b);
      EXPECT_GT(n + kBlocks, newest);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Durabilities, SnapshotTest, testing::Values(device::Durability::local, device::Durability::store),
                         [](const auto& info) { return info.param == device::Durability::local ? "Local" : "Store"; });

TEST(SnapshotOfAnIdleDiskTest, IsTheGenerationThatIsThere) {
  DiskWorld world(1 << 20);
  ASSERT_OK(world.open());
  ASSERT_OK(world.disk->write(0, numbered(1)));
  int cuts = 0;
  const auto first = world.disk->snapshot([&] { ++cuts; });
  ASSERT_OK(first);
  const auto second = world.disk->snapshot([&] { ++cuts; });
  ASSERT_OK(second);
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(cuts, 2);
  ASSERT_OK(world.close());
  world.options.read_only = true;
  ASSERT_OK(world.open());
  EXPECT_TRUE(is(world.disk->snapshot([&] { ++cuts; }), Code::kUnsupported));
  EXPECT_EQ(cuts, 2);
}

}  // namespace
}  // namespace s3crate
