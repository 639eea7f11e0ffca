// SPDX-License-Identifier: GPL-3.0-or-later
// Which extents a segment holds, and what becomes of one that the journal does not give back.
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "device/assemble.h"
#include "tests/support/disk_world.h"

namespace s3crate::device {
namespace {

// A record of the journal whose sectors have rotted, or not.
class FakeRecord final : public journal::Record {
 public:
  FakeRecord(Bytes bytes, bool rotten) : bytes_(std::move(bytes)), rotten_(rotten) {}
  [[nodiscard]] Seq seq() const override { return Seq(1); }
  [[nodiscard]] Result<> read_extent(std::uint32_t offset, MutableByteView out) const override {
    if (rotten_) return fail(Code::kIo, "a bad sector");
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }

 private:
  Bytes bytes_;
  bool rotten_;
};

struct Made {
  PendingGeneration generation;
  PendingSegmentPtr segment = std::make_shared<PendingSegment>();
};

// One segment of two extents, for blocks 0 and 1; the second one's record is rotten.
Made two_extents() {
  Made made;
  made.segment->id = segment::ObjectId::of(1, 1);
  for (std::uint32_t i = 0; i < 2; ++i) {
    Bytes stored(100, static_cast<std::uint8_t>(i + 1));
    PendingExtent extent{.record = std::make_shared<FakeRecord>(stored, i == 1), .memory = nullptr, .offset = 0, .length = 100,
                         .number = i, .blocks = 1, .digest = crypto::digest(stored), .seq = Seq(i + 1), .crc = crc32c(stored)};
    volume::Run run{.block = BlockIndex(i), .count = 1, .hole = false, .first = 0,
                    .extent = {{0, made.segment->id}, i, 0, 100, extent.digest}};
    made.generation.runs.put(run);
    made.segment->extents.emplace(i, std::move(extent));
  }
  made.generation.segments.push_back(made.segment);
  made.generation.first = Seq(1);
  made.generation.last = Seq(2);
  made.generation.disk_bytes = 1 << 20;
  return made;
}

Result<PendingSegmentPtr> none() { return fail(Code::kNoSpace, "not wanted"); }

TEST(Assemble, LeavesOutOnlyWhatItsOwnGenerationOverwrote) {
  Made made = two_extents();
  made.generation.runs.put({.block = BlockIndex(1), .count = 1, .hole = true, .first = 0, .extent = {}});
  auto placed = place(made.generation, {1, 0}, none);
  ASSERT_TRUE(placed);
  ASSERT_EQ(placed->segments.size(), 1u);
  EXPECT_EQ(placed->left_out, 1u);
  ASSERT_EQ(placed->segments[0].extents.size(), 1u);
  EXPECT_EQ(placed->segments[0].extents[0].extent.number, 0u);
  ASSERT_EQ(placed->segments[0].index.holes.size(), 1u);
  EXPECT_EQ(placed->segments[0].index.holes[0].block, BlockIndex(1));
}

TEST(Assemble, ExtentThatTheJournalLostCostsNoOther) {
  test::DiskWorld world;
  ASSERT_TRUE(world.open());
  auto keys = world.volume().keys();
  Made made = two_extents();
  auto placed = place(made.generation, {1, 0}, none);
  ASSERT_TRUE(placed);
  segment::SegmentHeader header{.vid = keys->vid(), .id = made.segment->id, .ring = keys->ring(),
                                .keys_generation = keys->keys_generation(), .writer = keys->writer(), .flags = 0};
  // Memory that somebody else has used.
  BufferPool memory(8 << 20);
  std::ranges::fill(memory.lend(BufferPool::kPooledMin).view(), 0xaa);
  auto refused = assemble(placed->segments[0], header, *keys, system_random(), memory, nullptr);
  EXPECT_TRUE(is(refused, Code::kIo));

  std::vector<Error> damaged;
  auto made_anyway = assemble(placed->segments[0], header, *keys, system_random(), memory, &damaged);
  ASSERT_TRUE(made_anyway);
  ASSERT_EQ(damaged.size(), 1u);
  auto stored = [&](std::size_t i) {
    const PlacedExtent& extent = placed->segments[0].extents[i];
    return made_anyway->object.view().subspan(extent.offset, extent.extent.length);
  };
  EXPECT_EQ(crypto::digest(stored(0)), placed->segments[0].extents[0].extent.digest);
  EXPECT_NE(crypto::digest(stored(1)), placed->segments[0].extents[1].extent.digest) << "reads of it must fail";
}

}  // namespace
}  // namespace s3crate::device
