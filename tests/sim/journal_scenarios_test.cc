// SPDX-License-Identifier: GPL-3.0-or-later
// Failing and full disks, crashes, readers: what was acknowledged stays, what is held reads right.
// JournalWorld checks at the beginning of every life that replay is right.
#include "tests/sim/journal_world.h"
#include "tests/support/sanitized.h"

namespace s3crate::sim {
namespace {

using journal::kSectorBytes;
using journal::kSlotsOffset;

TEST(Journal, FailedDatasyncRewritesElsewhere) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    JournalWorld world(seed);
    ASSERT_TRUE(world.life([&] {
      ASSERT_TRUE(world.append_many(3));
      ASSERT_TRUE(world.sync());
      ASSERT_TRUE(world.append_many(3));
      const std::uint64_t abandoned =
          (world.files->writes.back().offset - kSlotsOffset) / world.tunables.slot_bytes;
      const std::size_t before = world.files->writes.size();
      world.files->syncs_to_fail = 1;
      ASSERT_TRUE(world.sync());
      EXPECT_EQ(world.journal->stats().failed_syncs, 1u);
      EXPECT_EQ(world.files->writes.size(), before + 3);
      for (std::size_t i = before; i < world.files->writes.size(); ++i) {
        EXPECT_NE((world.files->writes[i].offset - kSlotsOffset) / world.tunables.slot_bytes,
                  abandoned);
      }
      world.check_held();
      ASSERT_TRUE(world.append_many(2));
      ASSERT_TRUE(world.sync());
    }));
    world.power_cut();
    ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(8)); }));
  }
}

TEST(Journal, SyncThatFailsTwiceSaysSoAndTheNextOneTriesAgain) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    JournalWorld world(seed);
    ASSERT_TRUE(world.life([&] {
      ASSERT_TRUE(world.append_many(3));
      ASSERT_TRUE(world.sync());
      ASSERT_TRUE(world.append_many(4));
      world.files->syncs_to_fail = 2 + static_cast<int>(seed % 3);
      EXPECT_TRUE(is(world.sync(), Code::kIo));
      EXPECT_EQ(world.journal->durable_through(), Seq(3));
      world.check_held();
      ASSERT_TRUE(world.append_many(2));
      while (world.files->syncs_to_fail > 0) EXPECT_TRUE(is(world.sync(), Code::kIo));
      ASSERT_TRUE(world.sync());
      EXPECT_EQ(world.journal->durable_through(), Seq(9));
      EXPECT_EQ(world.journal->unsynced_bytes(), 0u);
      world.check_held();
    }));
    world.power_cut();
    ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(9)); }));
  }
}

TEST(Journal, WhatTheStoreHasNeedsNoRewriting) {
  JournalWorld world(3);
  ASSERT_TRUE(world.life([&] {
    ASSERT_TRUE(world.append_many(3));
    world.files->syncs_to_fail = 1000;
    EXPECT_FALSE(world.sync());
    world.release(Seq(3));
    EXPECT_TRUE(world.sync());
    world.check_held();
    world.files->syncs_to_fail = 0;
    ASSERT_TRUE(world.append_many(2));
    ASSERT_TRUE(world.sync());
  }));
  world.power_cut();
  ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(5)); }));
}

// The page cache of a process whose fdatasync failed looks right to the next process, and fdatasync
// succeeds there.
TEST(Journal, CleanPagesOfAFailedDatasyncAreNotBelievedAfterAKill) {
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    JournalWorld world(seed);
    ASSERT_TRUE(world.life([&] {
      ASSERT_TRUE(world.append_many(2));
      ASSERT_TRUE(world.sync());
      ASSERT_TRUE(world.append_many(3));
      world.files->syncs_to_fail = 2;
      EXPECT_FALSE(world.sync());
    }));
    ASSERT_TRUE(world.life([&] {
      EXPECT_EQ(world.appended, Seq(5));
      world.check_held();
      ASSERT_TRUE(world.append_many(1));
      ASSERT_TRUE(world.sync());
    }));
    world.power_cut();
    ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(6)); }));
    lost += world.counts[Fault::kDiskCleanPageLost];
  }
  EXPECT_GT(lost, 0u);
}

TEST(Journal, FailedWriteAppendsNothingAndTheNextGoesElsewhere) {
  JournalWorld world(4);
  ASSERT_TRUE(world.life([&] {
    ASSERT_TRUE(world.append_many(2));
    world.files->writes_to_fail = 2;
    EXPECT_TRUE(is(world.append(), Code::kIo));
    EXPECT_TRUE(is(world.append(), Code::kIo));
    EXPECT_EQ(world.journal->stats().used_bytes, world.tunables.slot_bytes);
    ASSERT_TRUE(world.append_many(2));
    EXPECT_EQ(world.journal->stats().used_bytes, 2 * world.tunables.slot_bytes);
    ASSERT_TRUE(world.sync());
  }));
  world.power_cut();
  ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(4)); }));
}

// The failed append reached the disk, the one that was made instead of it did not, but the next one
// did.
TEST(Journal, CopiesOfOneAttemptAreNotContinuedByAnother) {
  JournalWorld world(21);
  std::uint64_t instead = 0;
  const auto large = [&] {
    JournalWorld::Batch batch = world.make_batch(0, 0);
    batch.extents.push_back(Bytes(20'000, 3));
    batch.body.extents.push_back({1, 1, 0, 20'000, crypto::digest(batch.extents[0])});
    return batch;
  };
  ASSERT_TRUE(world.life([&] {
    ASSERT_TRUE(world.append(world.make_batch(0, 0)));
    ASSERT_TRUE(world.sync());
    world.files->failing_writes_write = true;
    world.files->writes_to_fail = 1;
    EXPECT_TRUE(is(world.append(large()), Code::kIo));
    ASSERT_TRUE(world.append(large()));
    instead = world.files->writes.back().offset;
    ASSERT_TRUE(world.append(large()));
    EXPECT_NE(world.files->writes.back().offset, instead + 24'576);
  }));
  Node& file = world.file();
  file.durable = file.cached;
  file.unsynced.clear();
  file.durable.write(instead, Bytes(2 * kSectorBytes));
  file.cached = file.durable;
  ++world.boot;
  ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(2)); }));
}

// Recovery copies the last group, its fdatasync fails, and so on: the one good copy is never
// written over.
TEST(Journal, FailedRecoveriesLeaveTheDurableCopyAlone) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    JournalWorld world(seed);
    ASSERT_TRUE(world.life([&] {
      ASSERT_TRUE(world.append_many(3));
      ASSERT_TRUE(world.sync());
    }));
    world.disk.faults.sync_error_per_million = 1'000'000;
    for (int i = 0; i < 4; ++i) {
      EXPECT_FALSE(world.life([] {}));
      for (const WatchedFiles::Write& write : world.files->writes) {
        EXPECT_GE(write.offset, kSlotsOffset + world.tunables.slot_bytes) << "life " << i;
      }
    }
    world.disk.faults.sync_error_per_million = 0;
    world.power_cut();
    ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(3)); }));
  }
}

TEST(Journal, SlotWithReaderIsNotReused) {
  JournalWorld world(10);
  ASSERT_TRUE(world.life([&] {
    ASSERT_TRUE(world.append(world.make_batch(4, 6000)));
    const JournalWorld::Held kept = world.held[0];
    for (std::uint32_t i = 0; i < 20 * world.tunables.slots; ++i) {
      ASSERT_TRUE(world.append());
      ASSERT_TRUE(world.sync());
      world.release(world.appended);
      world.held.clear();
    }
    EXPECT_GT(world.journal->stats().append_bytes, world.journal->stats().capacity_bytes);
    world.check_held(kept);
  }));
}

TEST(Journal, FullJournalRefusesAndGoesOn) {
  JournalWorld world(11);
  ASSERT_TRUE(world.life([&] {
    Result<> appended;
    while ((appended = world.append())) world.held.clear();
    EXPECT_TRUE(is(appended, Code::kNoSpace));
    EXPECT_TRUE(is(world.append(), Code::kNoSpace));
    ASSERT_TRUE(world.sync());
    world.release(Seq(world.appended.value / 2));
    ASSERT_TRUE(world.append_many(5));
    ASSERT_TRUE(world.sync());
  }));
  world.power_cut();
  ASSERT_TRUE(world.life([&] { world.check_held(); }));
}

TEST(Journal, FullJournalStillHasRoomToWriteAgain) {
  JournalWorld world(12);
  ASSERT_TRUE(world.life([&] {
    while (world.append()) ASSERT_TRUE(world.sync());
    world.held.clear();
    world.files->syncs_to_fail = 1;
    ASSERT_TRUE(world.sync());
  }));
}

TEST(Journal, FullDiskRefusesForAWhileAndLosesNothing) {
  JournalWorld world(13);
  world.disk.faults.capacity = kSlotsOffset + 5 * world.tunables.slot_bytes / 2;
  ASSERT_TRUE(world.life([&] {
    Result<> appended;
    while ((appended = world.append())) {
    }
    EXPECT_TRUE(is(appended, Code::kTransient));
    ASSERT_TRUE(world.sync());
    EXPECT_TRUE(is(world.append(), Code::kTransient));
    world.disk.faults.capacity = kFileSizeMax;
    ASSERT_TRUE(world.append_many(3));
    ASSERT_TRUE(world.sync());
  }));
  world.power_cut();
  ASSERT_TRUE(world.life([&] { world.check_held(); }));
}

TEST(Journal, CrashAtEveryStepOfAScript) {
  for (const bool power : {false, true}) {
    bool finished = false;
    for (std::uint64_t step = 1; !finished; step += test::kSanitized ? 3 : 1) {
      SCOPED_TRACE(fmt::format("power {} step {}", power, step));
      JournalWorld world(14, {.slots = 6});
      world.crash_at(step, power);
      const auto script = [&] {
        for (int i = 0; i < 12; ++i) {
          if (i == 3 || i == 6) world.files->syncs_to_fail = i / 3;
          if (!world.append() || (i % 2 == 1 && !world.sync() && i != 7)) return;
          if (i == 8) world.release(Seq(4)), world.held.clear();
        }
      };
      // A second life, so that recovery is cut short as well.
      world.life(script);
      world.life(script);
      finished = world.steps.count() < step;
      world.steps.disarm();
      ASSERT_TRUE(world.life([&] { world.check_held(); }));
    }
  }
}

TEST(Journal, ManyCrashesInARowWithoutRelease) {
  for (const bool power : {false, true}) {
    JournalWorld world(15, {.slots = 40});
    for (std::uint64_t life = 1; life < journal::kIncarnationsMax; ++life) {
      ASSERT_TRUE(world.life([&] {
        EXPECT_EQ(world.held.size(), 2 * (life - 1));
        EXPECT_EQ(world.journal->superblock().incarnations.size(), life);
        ASSERT_TRUE(world.append());
        ASSERT_TRUE(world.append());
        ASSERT_TRUE(world.sync());
      }));
      if (power) world.power_cut();
    }
    EXPECT_EQ(world.committed, Seq(0));
    // One more is too many: the store has to get everything first, and then all of them are
    // forgotten.
    ASSERT_TRUE(world.life([&] { ASSERT_TRUE(world.append()); }));
    ASSERT_TRUE(
        world.life([&] { EXPECT_EQ(world.committed, Seq(2 * journal::kIncarnationsMax - 1)); }));
  }
}

// What a filesystem has to note of blocks that are written for the first time costs more than the sync itself.
TEST(Journal, BlocksOfFreshPlacesAreWrittenForManySmallRecordsAtOnce) {
  constexpr std::uint64_t kPrepared = 1 << 20;
  JournalWorld world(1, {.slot_bytes = 4 << 20, .slots = 8});
  const auto begin = [&] { return world.files->writes.back().offset - kSlotsOffset; };
  const auto end = [&] { return begin() + world.files->writes.back().length + world.files->writes.back().zeros; };
  const auto is_bare = [&] { return world.files->writes.back().zeros == 0; };
  const auto append = [&](const JournalWorld::Batch& batch) { CHECK(world.append(batch) && world.sync()); };
  const auto small = [&] { append(world.make_batch(4, 6000)); };
  ASSERT_TRUE(world.life([&] {
    small();
    EXPECT_TRUE(is_bare()) << "who syncs once may be writing a stream";
    int prepared = 0;
    for (std::uint64_t written = end(); written < world.tunables.slot_bytes || end() < written;) {
      small();
      if (is_bare()) {
        ASSERT_LE(end(), written);
      } else {
        ++prepared;
        written = end();
        ASSERT_EQ(written % kPrepared, 0u);
      }
    }
    EXPECT_EQ(prepared, 4);
    while (begin() < world.tunables.slot_bytes) small();
    JournalWorld::Batch large = world.make_batch(0, 0);
    while (large.extents.size() < 10) large = world.make_batch(20, 64 << 10);
    append(large);
    EXPECT_GT(end() - begin(), 128u << 10);
    EXPECT_TRUE(is_bare());
    // A place that is used again is written already.
    for (bool again = false; !again || begin() < world.tunables.slot_bytes / 2;) {
      world.release(world.appended);
      world.held.clear();
      const std::uint64_t before = begin();
      small();
      again |= begin() < before;
      ASSERT_TRUE(!again || is_bare());
    }
  }));
}

// As one that writes everything to new blocks, and is full.
TEST(Journal, AFilesystemThatCannotTakeTheZerosGetsNoMore) {
  JournalWorld world(1, {.slot_bytes = 4 << 20, .slots = 8});
  ASSERT_TRUE(world.life([&] {
    ASSERT_TRUE(world.append() && world.sync());
    world.files->write_error = Code::kNoSpace;
    world.files->writes_to_fail = 1;
    ASSERT_TRUE(is(world.append(), Code::kTransient));
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(world.append() && world.sync());
      EXPECT_EQ(world.files->writes.back().zeros, 0u);
    }
  }));
}

TEST(Journal, SyncedSectorsAreNeverWrittenAgain) {
  JournalWorld world(16, {.slots = 60});
  std::set<std::uint64_t> synced;
  for (int life = 0; life < 10; ++life) {
    world.life([&] {
      for (int i = 0; i < 6; ++i) {
        ASSERT_TRUE(world.append());
        ASSERT_TRUE(i % 3 == 1 || world.sync());
      }
    });
    for (const WatchedFiles::Write& write : world.files->writes) {
      if (write.offset < kSlotsOffset) continue;
      const std::uint64_t zeros = write.offset + write.length;
      for (std::uint64_t at = zeros; at < zeros + write.zeros; at += kSectorBytes) EXPECT_FALSE(synced.contains(at)) << at;
      for (std::uint64_t at = write.offset; at < zeros; at += kSectorBytes) {
        if ((at - kSlotsOffset) % world.tunables.slot_bytes == 0) continue;  // a slot's header
        EXPECT_FALSE(synced.contains(at)) << at;
        if (write.syncs_before < world.files->syncs) synced.insert(at);
      }
    }
    world.power_cut();  // a kill makes replay move the last group, which frees its sectors
  }
  EXPECT_GT(synced.size(), 60u);
}

}  // namespace
}  // namespace s3crate::sim
