// SPDX-License-Identifier: GPL-3.0-or-later
// How a check goes about it. What it finds, of each byte of each object, is in tamper_test.cc.
#include "volume/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/damage_world.h"
#include "tests/support/seed.h"

namespace s3crate::volume {

namespace {

using test::DamageWorld;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string text(const CheckReport& report) {
  std::string out;
  for (const Damage& damage : report.damages)
    out += fmt::format("{} (generation {})\n", damage.what, damage.generation);
  return out;
}

std::vector<std::string> objects(const CheckReport& report) {
  std::vector<std::string> out;
  for (const Damage& damage : report.damages) out.push_back(damage.object);
  return out;
}

class VolumeCheckTest : public testing::Test {
 protected:
  const std::uint64_t seed_ = test::test_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed_)};
  DamageWorld world_{seed_};
};

TEST_F(VolumeCheckTest, SoundVolumeIsClean) {
  auto report = world_.full_check();
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(report->clean()) << text(*report);
  EXPECT_THAT(report->damaged_ranges(), IsEmpty());
  EXPECT_FALSE(report->disk_lost);
  EXPECT_EQ(report->head, world_.seen().generation);
  EXPECT_EQ(report->disk_bytes, DamageWorld::kDiskBytes);
  EXPECT_EQ(report->commits, world_.names("commits/").size());
  EXPECT_EQ(report->segments + report->map_objects + report->orphans,
            world_.names("segments/").size() + world_.names("map/").size());
  EXPECT_GT(report->map_objects, 1u);
  EXPECT_GT(report->pages, 5u);
  EXPECT_GT(report->extents, 20u);
  EXPECT_GT(report->runs, 20u);
  EXPECT_EQ(report->orphans, 0u);
  EXPECT_TRUE(report->orphans_known);
  const auto reads = world_.read_blocks();
  EXPECT_TRUE(reads.opened);
  EXPECT_FALSE(reads.wrong);
  EXPECT_THAT(reads.failed, IsEmpty());
}

// What nobody needs to read the newest generation is damage all the same.
TEST_F(VolumeCheckTest, MissingCommitOfThePastCostsNoBlock) {
  const auto names = world_.names("commits/");
  const std::string& old = names.at(names.size() - 3);
  world_.faults.lose(old);
  auto report = world_.full_check();
  ASSERT_TRUE(report);
  EXPECT_THAT(objects(*report), ElementsAre(old));
  EXPECT_THAT(report->damaged_ranges(), IsEmpty());
  EXPECT_EQ(report->damages.at(0).generation, Generation(3));
}

TEST_F(VolumeCheckTest, LostNewestCommitIsFoundByWhatThisMachineHasSeen) {
  world_.faults.lose(world_.names("commits/").front());
  auto unaware = world_.check({.read_data = true});
  ASSERT_TRUE(unaware);
  EXPECT_TRUE(unaware->clean()) << text(
      *unaware);  // a close: without memory nothing tells it from the past
  auto report = world_.full_check();
  ASSERT_TRUE(report);
  ASSERT_THAT(objects(*report), ElementsAre(segment::commit_name(world_.seen().generation)));
  EXPECT_THAT(report->damages[0].what, HasSubstr("older state"));
}

// The same, whatever the size of the batches and however much of it is remembered.
TEST_F(VolumeCheckTest, SmallBatchesFindTheSame) {
  const auto segments = world_.names("segments/");
  Bytes bytes = world_.stored(segments.back());
  bytes.at(100) ^= 1;
  world_.faults.replace(segments.back(), bytes);
  world_.faults.lose(segments.front());
  auto whole = world_.full_check();
  auto small = world_.check({.read_data = true, .batch_runs = 3});
  ASSERT_TRUE(whole && small);
  EXPECT_EQ(objects(*whole), objects(*small));
  EXPECT_EQ(whole->damaged_ranges(), small->damaged_ranges());
  EXPECT_EQ(whole->runs, small->runs);
}

TEST_F(VolumeCheckTest, TooManyDamagesAreCounted) {
  const auto segments = world_.names("segments/");
  ASSERT_GT(segments.size(), 4u);
  for (const std::string& name : segments) world_.faults.lose(name);
  const auto reads = world_.read_blocks();
  std::uint64_t bytes = 0;
  for (const ByteRange& range : reads.failed) bytes += range.length;
  auto report = world_.check({.damages_max = 3});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->damages.size(), 3u);
  EXPECT_GE(report->damages_total, segments.size());
  EXPECT_EQ(report->damaged_bytes, bytes);
  EXPECT_FALSE(report->complete);
  auto few_ranges = world_.check({.ranges_max = 2});
  ASSERT_TRUE(few_ranges);
  EXPECT_EQ(few_ranges->damaged_bytes, bytes);
  EXPECT_FALSE(few_ranges->complete);
}

TEST_F(VolumeCheckTest, OrphansAndStrangersAreCountedAndNoDamage) {
  const std::string orphan =
      segment::object_name(segment::ObjectKind::segment, segment::ObjectId::of(1, 999), {1});
  DamageWorld::must(world_.faults.put(orphan, Bytes(77)));
  DamageWorld::must(world_.faults.put(
      segment::object_name(segment::ObjectKind::map, segment::ObjectId::of(1, 1), {}), Bytes(5)));
  DamageWorld::must(world_.faults.put("segments/readme.txt", Bytes(1)));
  auto report = world_.full_check();
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->clean()) << text(*report);
  EXPECT_EQ(report->orphans, 2u);
  EXPECT_EQ(report->orphan_bytes, 82u);
  EXPECT_EQ(report->strangers, 1u);
}

TEST_F(VolumeCheckTest, StoreThatIsAwayIsAnErrorAndNoDamage) {
  // At each call in turn: never a report, never a damage.
  std::size_t calls = 0;
  std::size_t away_from = ~std::size_t{0};
  world_.faults.set_hook([&](store::Verb, const std::string&) -> Result<> {
    if (calls++ >= away_from) return fail(Code::kTransient, "away");
    return {};
  });
  ASSERT_TRUE(world_.full_check());
  const std::size_t all = calls;
  for (away_from = 0; away_from < all; away_from += 1 + all / 97) {
    calls = 0;
    auto report = world_.full_check();
    ASSERT_FALSE(report) << "away from call " << away_from;
    EXPECT_EQ(report.error().code(), Code::kTransient) << report.error().message();
  }
}

TEST_F(VolumeCheckTest, StopsWhenAskedTo) {
  std::atomic<bool> stop = false;
  std::size_t steps = 0;
  auto report = world_.check({.read_data = true,
                              .progress =
                                  [&](const CheckProgress& progress) {
                                    EXPECT_LE(progress.done, progress.total);
                                    if (++steps == 30) stop = true;
                                  },
                              .stop = &stop});
  EXPECT_TRUE(is(report, Code::kCancelled));
  EXPECT_EQ(steps, 30u);
}

TEST_F(VolumeCheckTest, SampleReadsAboutItsShare) {
  auto all = world_.full_check();
  auto none = world_.check({.read_data = true, .percent = 0});
  auto half = world_.check({.read_data = true, .percent = 50, .sample_seed = seed_});
  auto again = world_.check({.read_data = true, .percent = 50, .sample_seed = seed_});
  ASSERT_TRUE(all && none && half && again);
  EXPECT_EQ(none->extents, 0u);
  EXPECT_EQ(half->extents, again->extents);
  EXPECT_GT(half->extents, all->extents / 5);
  EXPECT_LT(half->extents, all->extents * 4 / 5);
}

TEST_F(VolumeCheckTest, ReadsDataInLargeRanges) {
  std::uint64_t gets = 0;
  world_.faults.set_hook([&](store::Verb verb, const std::string& name) -> Result<> {
    if (verb == store::Verb::get_range && name.starts_with("segments/")) gets++;
    return {};
  });
  auto structure = world_.check({});
  ASSERT_TRUE(structure);
  const std::uint64_t structure_gets = std::exchange(gets, 0);
  auto report = world_.full_check();
  ASSERT_TRUE(report);
  ASSERT_GT(report->extents, 2 * report->segments);
  EXPECT_LE(gets, structure_gets + report->segments);  // one more a segment
}

TEST_F(VolumeCheckTest, WhatOtherProgramsLeaveBesideTheCommitsDoesNotHideThem) {
  store::MemoryStore copy;
  world_.copy_to(copy);
  const auto head = [&]() -> Result<Commit> {
    auto volume = TRY(Volume::open(system_env(), copy, world_.world().keys(), {}));
    return volume->load_head();
  };
  ASSERT_TRUE(copy.put("commits/.DS_Store", as_bytes("x")));
  ASSERT_TRUE(copy.put("commits/0.tmp", as_bytes("x")));
  auto found = head();
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->hash, world_.seen().hash);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(copy.put(fmt::format("commits/.{}", i), as_bytes("x")));
  found = head();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), Code::kCorrupt);
}

// Checkpoints go on around pages that are gone, and what is written meanwhile outlives the next mount.
TEST_F(VolumeCheckTest, LostMapPagesStopNeitherWritesNorCheckpoints) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  for (const std::string& name : world_.names("map/")) {
    SCOPED_TRACE(name);
    store::MemoryStore copy;
    world_.copy_to(copy);
    ASSERT_TRUE(copy.remove(name));
    Bytes expected = world_.model;
    std::vector<bool> written(DamageWorld::kBlocks);
    device::DiskOptions options = world_.world().options;
    options.checkpoint_runs = 24;
    options.delta_runs_max = 100'000;
    test::TempDir state;
    options.state_dir = state / "state";
    const auto verify = [&](device::Disk& disk) {
      Bytes block(4096);
      for (std::uint64_t i = 0; i < DamageWorld::kBlocks; ++i) {
        const auto read = disk.read(i * block.size(), block);
        ASSERT_TRUE(read || !written[i]) << "block " << i << ": " << read.error().message();
        if (read) {
          ASSERT_TRUE(equal(block, ByteView(expected).subspan(i * block.size(), block.size()))) << i;
        }
      }
    };
    for (int mounts = 0; mounts < 3; ++mounts) {
      auto volume = Volume::open(system_env(), copy, world_.world().keys(), {});
      ASSERT_TRUE(volume);
      auto disk = device::Disk::open(system_env(), io::posix_file_io(), **volume, options);
      ASSERT_TRUE(disk) << disk.error().message();
      verify(**disk);
      for (int i = 0; i < 200; ++i) {
        const std::uint64_t at = random() % DamageWorld::kBlocks;
        const Bytes fresh(4096, static_cast<std::uint8_t>(random() | 1));
        const auto done = (*disk)->write(at * 4096, fresh);
        ASSERT_TRUE(done) << done.error().message();
        std::ranges::copy(fresh, expected.begin() + static_cast<std::ptrdiff_t>(at * 4096));
        written[at] = true;
        if (i % 10 != 9) continue;
        const auto synced = (*disk)->sync();
        ASSERT_TRUE(synced) << synced.error().message();
      }
      verify(**disk);
      EXPECT_GE((*disk)->stats().checkpoints, 1u);
      ASSERT_TRUE((*disk)->close(std::chrono::minutes(1)));
    }
  }
}

TEST_F(VolumeCheckTest, WhatIsWrittenOverLostMapPagesHasABound) {
  for (const std::string& name : world_.names("map/")) world_.faults.lose(name);
  auto volume = world_.open_volume();
  ASSERT_TRUE(volume);
  device::DiskOptions options = world_.world().options;
  options.checkpoint_runs = 24;
  test::TempDir state;
  options.state_dir = state / "state";
  auto disk = device::Disk::open(system_env(), io::posix_file_io(), **volume, options);
  ASSERT_TRUE(disk) << disk.error().message();
  Result<> done;
  for (std::uint64_t i = 0; done && i < DamageWorld::kBlocks; i += 2)
    done = (*disk)->write(i * 4096, Bytes(4096, static_cast<std::uint8_t>(1 + i % 251)));
  for (int i = 0; done && i < 1000; ++i) done = (*disk)->write(0, Bytes(4096, 1)), (void)(*disk)->sync();
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), testing::HasSubstr("damaged pages of the map"));
}

}  // namespace
}  // namespace s3crate::volume
