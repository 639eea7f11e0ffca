// SPDX-License-Identifier: GPL-3.0-or-later
// Writes over a disk that never changes.
#include "device/scratch_disk.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/support/memory_disk.h"

namespace s3crate::device {
namespace {

constexpr std::uint32_t kBlock = test::MemoryDisk::kBlock;

struct Pair {
  explicit Pair(std::uint64_t blocks, std::uint64_t room = 1 << 20) : below(blocks * kBlock), disk(below, room) {}
  test::MemoryDisk below;
  ScratchDisk disk;
};

Bytes filled(std::size_t size, std::uint8_t value) { return Bytes(size, value); }

Bytes read_all(Disk& disk) {
  Bytes bytes(disk.size());
  EXPECT_TRUE(disk.read(0, bytes));
  return bytes;
}

TEST(ScratchDisk, ReadsWhatWasWrittenAndLeavesWhatIsBelow) {
  Pair pair(64);
  std::mt19937 random(7);  // NOLINT: a seed of its own
  Bytes model(pair.below.size());
  for (auto& byte : model) byte = static_cast<std::uint8_t>(random());
  ASSERT_TRUE(pair.below.write(0, model));
  const Bytes before = model;
  for (int i = 0; i < 300; ++i) {
    const auto offset = random() % model.size();
    const auto length = std::min<std::size_t>(model.size() - offset, random() % (3 * kBlock));
    const auto data = filled(length, static_cast<std::uint8_t>(i));
    ASSERT_TRUE(pair.disk.write(offset, data));
    std::memcpy(model.data() + offset, data.data(), length);
    Bytes part(std::min<std::size_t>(model.size() - offset, 5 * kBlock));
    ASSERT_TRUE(pair.disk.read(offset, part));
    ASSERT_EQ(0, std::memcmp(part.data(), model.data() + offset, part.size())) << i;
  }
  EXPECT_EQ(read_all(pair.disk), model);
  EXPECT_EQ(read_all(pair.below), before);
}

TEST(ScratchDisk, TakesNoMoreThanItMayAndKeepsTakingWhatItHas) {
  Pair pair(8, 2 * kBlock);
  EXPECT_TRUE(pair.disk.write(0, filled(2 * kBlock, 1)));
  EXPECT_TRUE(is(pair.disk.write(5 * kBlock, filled(1, 2)), Code::kNoSpace));
  EXPECT_TRUE(pair.disk.write(kBlock - 1, filled(2, 3)));
  const auto all = read_all(pair.disk);
  EXPECT_EQ(all[kBlock - 2], 1);
  EXPECT_EQ(all[kBlock], 3);
  EXPECT_EQ(all[5 * kBlock], 0);
}

TEST(ScratchDisk, RefusesWhatIsOutsideAndWhatItCannotKeep) {
  Pair pair(8);
  EXPECT_TRUE(is(pair.disk.write(8 * kBlock - 1, filled(2, 1)), Code::kBadArgument));
  EXPECT_TRUE(is(pair.disk.write(~std::uint64_t{0}, filled(2, 1)), Code::kBadArgument));
  EXPECT_TRUE(is(pair.disk.discard(0, kBlock), Code::kUnsupported));
  EXPECT_EQ(read_all(pair.disk), Bytes(8 * kBlock));
}

TEST(ScratchDisk, ItsHolesAreThoseBelowLessWhatWasWritten) {
  Pair pair(8);
  ASSERT_TRUE(pair.below.write(4 * kBlock, filled(kBlock, 1)));
  ASSERT_TRUE(pair.disk.write(2 * kBlock + 5, filled(1, 1)));
  ASSERT_TRUE(pair.disk.write(5 * kBlock, filled(kBlock, 1)));
  EXPECT_EQ(*pair.disk.seek(0, false), 2 * kBlock);
  EXPECT_EQ(*pair.disk.seek(2 * kBlock + 7, false), 2 * kBlock + 7);
  EXPECT_EQ(*pair.disk.seek(2 * kBlock, true), 3 * kBlock);
  EXPECT_EQ(*pair.disk.seek(3 * kBlock, false), 4 * kBlock);
  EXPECT_EQ(*pair.disk.seek(4 * kBlock, true), 6 * kBlock);
  EXPECT_EQ(*pair.disk.seek(6 * kBlock, false), 8 * kBlock);
  ASSERT_TRUE(pair.disk.write(7 * kBlock, filled(kBlock, 1)));
  EXPECT_EQ(*pair.disk.seek(7 * kBlock, true), 8 * kBlock);
}

}  // namespace
}  // namespace s3crate::device
