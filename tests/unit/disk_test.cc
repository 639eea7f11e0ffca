// SPDX-License-Identifier: GPL-3.0-or-later
// The whole stack from Disk down, with threads, against a plain array of bytes.
#include <gtest/gtest.h>

#include <random>

#include "device/overlay.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/seed.h"

namespace s3crate {
namespace {

using test::DiskWorld;

Bytes pattern(std::size_t size, std::uint8_t seed) {
  std::mt19937 random(seed);
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(random() % 251);
  return out;
}

Bytes read_all(device::Disk& disk) {
  Bytes out(disk.size());
  auto read = disk.read(0, out);
  EXPECT_TRUE(read) << read.error().message();
  return out;
}

// Writes that slide over each other leave one block of each: what they keep in memory is what counts.
TEST(BatchTest, MemoryIsCountedByBuffers) {
  constexpr std::uint64_t kBlock = 4096, kWrite = 64 * kBlock;
  device::Batch batch(kBlock);
  const auto write = [&](std::uint64_t block, std::uint64_t bytes) {
    batch.write(block * kBlock, bytes, std::make_shared<device::Buffer>(bytes, true));
  };
  for (std::uint64_t i = 0; i < 100; ++i) write(i, kWrite);
  EXPECT_EQ(batch.bytes(), 100 * kWrite);
  for (std::uint64_t i = 0; i < 50; ++i) write(i, kBlock);
  EXPECT_EQ(batch.bytes(), 50 * kWrite + 50 * kBlock);
  batch.discard(BlockIndex(0), BlockIndex(99));
  EXPECT_GE(batch.bytes(), kWrite);
  EXPECT_LT(batch.bytes(), kWrite + kBlock);
  batch.discard(BlockIndex(0), BlockIndex(1000));
  EXPECT_LT(batch.bytes(), kBlock);
  write(2000, kWrite);
  batch.write(2000 * kBlock + 10, 20, std::make_shared<device::Buffer>(kBlock, true));
  EXPECT_LT(batch.bytes(), kWrite + kBlock) << "a partial write into a block that is there keeps nothing";
}

TEST(Disk, FreshDiskReadsZeros) {
  DiskWorld world;
  ASSERT_OK(world.open());
  EXPECT_TRUE(all_zero(read_all(*world.disk)));
  ASSERT_OK(world.close());
}

TEST(Disk, WritesSurviveCloseAndOpenWithANewStateDirectory) {
  DiskWorld world;
  ASSERT_OK(world.open());
  Bytes data = pattern(200'000, 1);
  ASSERT_OK(world.disk->write(12345, data));
  ASSERT_OK(world.close());
  world.lose_state();
  ASSERT_OK(world.open());
  Bytes back(data.size());
  ASSERT_OK(world.disk->read(12345, back));
  EXPECT_EQ(back, data);
  ASSERT_OK(world.close());
}

TEST(Disk, FlushedWritesSurviveAVanishedProcess) {
  DiskWorld world;
  world.options.upload_delay = std::chrono::hours(1);
  ASSERT_OK(world.open());
  Bytes data = pattern(20'000, 2);  // less than a segment, so nothing is uploaded
  ASSERT_OK(world.disk->write(777, data));
  ASSERT_OK(world.disk->flush());
  world.vanish();
  ASSERT_OK(world.open());
  EXPECT_GT(world.disk->stats().batches_recovered, 0u);
  Bytes back(data.size());
  ASSERT_OK(world.disk->read(777, back));
  EXPECT_EQ(back, data);
  ASSERT_OK(world.close());
}

TEST(Disk, RandomOperationsMatchAnArrayOfBytes) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  DiskWorld world(1 << 20);
  ASSERT_OK(world.open());
  Bytes model(1 << 20);
  auto any = [&](std::uint64_t below) { return random() % below; };
  for (int i = 0; i < 3000; ++i) {
    std::uint64_t offset = any(model.size());
    std::uint64_t length = std::min<std::uint64_t>(model.size() - offset, any(4) == 0 ? any(200'000) : any(9000));
    if (any(2) == 0) offset &= ~4095ull, length = std::min<std::uint64_t>(model.size() - offset, (length | 4095) + 1);
    switch (any(20)) {
      case 0:
        ASSERT_OK(world.disk->flush());
        break;
      case 1:
        ASSERT_OK(world.disk->sync());
        break;
      case 2:
      case 3:
        ASSERT_OK(world.disk->discard(offset, length));
        std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(offset), length, 0);
        break;
      case 4:
        if (any(20) != 0) break;
        if (any(2) == 0) {
          ASSERT_OK(world.close());
        } else {
          ASSERT_OK(world.disk->flush());
          world.vanish();
        }
        ASSERT_OK(world.open());
        break;
      case 5:
      case 6:
      case 7:
      case 8:
      case 9: {
        Bytes back(length);
        ASSERT_OK(world.disk->read(offset, back));
        ASSERT_TRUE(equal(back, ByteView(model).subspan(offset, length))) << "at step " << i;
        break;
      }
      default: {
        Bytes data = any(8) == 0 ? Bytes(length) : pattern(length, static_cast<std::uint8_t>(random()));
        ASSERT_OK(world.disk->write(offset, data));
        std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
      }
    }
  }
  EXPECT_EQ(read_all(*world.disk), model);
  ASSERT_OK(world.close());
  world.lose_state();
  ASSERT_OK(world.open());
  EXPECT_EQ(read_all(*world.disk), model);
  EXPECT_GT(world.disk->stats().generation.value, 10u);
  ASSERT_OK(world.close());
}

}  // namespace
}  // namespace s3crate
