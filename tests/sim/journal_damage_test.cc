// SPDX-License-Identifier: GPL-3.0-or-later
// Journal files that are torn, damaged, copied or another's: replay ends, refuses or says so.
#include "tests/sim/journal_world.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

using journal::kSectorBytes;
using journal::kSlotsOffset;

// Changes what is on the disk and in the page cache.
void overwrite(Node& file, std::uint64_t offset, ByteView bytes) {
  ASSERT_TRUE(file.unsynced.empty());
  ASSERT_LE(offset + bytes.size(), file.durable.size());
  file.durable.write(offset, bytes);
  file.cached = file.durable;
}

void flip(Node& file, std::uint64_t offset) {
  const Bytes byte{static_cast<std::uint8_t>(file.durable.at(offset) ^ 1)};
  overwrite(file, offset, byte);
}

// All that was written reaches the disk.
void settle(JournalWorld& world) {
  Node& file = world.file();
  file.durable = file.cached;
  file.unsynced.clear();
}

Result<Seq> replay_only(JournalWorld& world) {
  world.incarnation = std::make_shared<Incarnation>(world.executor, world.steps);
  WatchedFiles files(world.disk, world.incarnation);
  Result<Seq> last;
  world.executor.run([&] {
    auto opened = world.open(files);
    last = opened ? (*opened)->replay(
                        world.committed,
                        [&](std::uint32_t,
                            const segment::SealedSecret& sealed) -> Result<crypto::Secret> {
                          Bytes secret;
                          TRY(crypto::box_open(world.keys.secret, sealed, secret));
                          return crypto::Secret::copy_of(secret);
                        },
                        [](journal::Journal::Replayed) { return Result<>(); })
                  : fail(opened.error());
  });
  world.incarnation->end();
  return last;
}

// Batches 1 to 3, each synced before the next: record 3 claims 2, record 2 claims 1. Answers where
// they are.
std::vector<WatchedFiles::Write> three_synced_batches(JournalWorld& world) {
  std::vector<WatchedFiles::Write> places;
  EXPECT_TRUE(world.life([&] {
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(world.append(world.make_batch(4, 6000)));
      places.push_back(world.files->writes.back());
      EXPECT_TRUE(world.sync());
    }
  }));
  EXPECT_EQ(places[0].offset, kSlotsOffset);
  places[0].offset += kSectorBytes;  // with the slot's header
  places[0].length -= kSectorBytes;
  return places;
}

TEST(Journal, EqualLengthRecordAfterTornTail) {
  JournalWorld world(1);
  WatchedFiles::Write place;
  const JournalWorld::Batch second = world.make_batch(3, 5000);
  ASSERT_TRUE(world.life([&] {
    ASSERT_TRUE(world.append());
    ASSERT_TRUE(world.sync());
    ASSERT_TRUE(world.append(second));
    place = world.files->writes.back();
    ASSERT_TRUE(world.append());
  }));
  settle(world);
  const Bytes untorn = world.file().durable.part(place.offset, place.length);
  overwrite(world.file(), place.offset, Bytes(512));
  ++world.boot;
  ASSERT_TRUE(world.life([&] {
    ASSERT_EQ(world.appended, Seq(1));
    JournalWorld::Batch other = second;
    ++other.stamp;
    ASSERT_TRUE(world.append(other));
    EXPECT_EQ(world.files->writes.back().length, kSectorBytes + place.length);
    ASSERT_TRUE(world.sync());
  }));
  // What follows the torn record is intact, and now it is as well: none of them may come back.
  overwrite(world.file(), place.offset, untorn);
  ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(2)); }));
}

TEST(Journal, TornExtentsOfTheLastGroupEndTheJournal) {
  JournalWorld world(2);
  WatchedFiles::Write place;
  ASSERT_TRUE(world.life([&] {
    ASSERT_TRUE(world.append());
    ASSERT_TRUE(world.sync());
    JournalWorld::Batch batch = world.make_batch(0, 0);
    batch.extents.push_back(Bytes(9000, 7));
    batch.body.extents.push_back({1, 1, 0, 9000, crypto::digest(batch.extents[0])});
    ASSERT_TRUE(world.append(batch));
    place = world.files->writes.back();
    ASSERT_TRUE(world.append());
  }));
  settle(world);
  flip(world.file(), place.offset + 8192);
  ASSERT_TRUE(world.life([&] { EXPECT_EQ(world.appended, Seq(1)); }));
}

TEST(Journal, BreakBeforeDurableIsDamage) {
  for (int broken = 0; broken < 2; ++broken) {
    JournalWorld world(5);
    const auto places = three_synced_batches(world);
    flip(world.file(),
         places[static_cast<std::size_t>(broken)].offset + 100);  // in the sealed body
    const auto replayed = replay_only(world);
    EXPECT_TRUE(is(replayed, Code::kCorrupt)) << broken;
  }
}

TEST(Journal, UnreadableSlotHeaderIsDamage) {
  JournalWorld world(6);
  three_synced_batches(world);
  flip(world.file(), kSlotsOffset + 8);
  EXPECT_TRUE(is(replay_only(world), Code::kCorrupt));
}

TEST(Journal, BreakThatNothingCallsDurableEndsTheJournal) {
  JournalWorld world(7);
  const auto places = three_synced_batches(world);
  flip(world.file(), places[2].offset + 100);
  const auto replayed = replay_only(world);
  ASSERT_TRUE(replayed) << replayed.error().message();
  EXPECT_EQ(*replayed, Seq(2));
}

TEST(Journal, DamageToWhatAnEarlierReplayFoundIsDamage) {
  JournalWorld world(8);
  const auto places = three_synced_batches(world);
  ++world.boot;
  ASSERT_TRUE(world.life([] {}));
  flip(world.file(), places[2].offset + 100);
  EXPECT_TRUE(is(replay_only(world), Code::kCorrupt));
}

// A replay copies the last group to a place that held an older copy of it, of which the header is gone, and more records.
TEST(Journal, ACopyIsNotContinuedByWhatItsPlaceHeld) {
  JournalWorld world(11);
  std::vector<WatchedFiles::Write> places;
  ASSERT_TRUE(world.life([&] {
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(world.append(world.make_batch(1, 500)));
      places.push_back(world.files->writes.back());
    }
  }));
  settle(world);
  ASSERT_EQ(replay_only(world).value(), Seq(3));
  settle(world);
  ASSERT_TRUE(all_zero(world.file().durable.part(kSlotsOffset, kSectorBytes)));
  overwrite(world.file(), places[1].offset + world.tunables.slot_bytes, Bytes(places[1].length));
  ASSERT_EQ(replay_only(world).value(), Seq(1));
  settle(world);
  ASSERT_FALSE(all_zero(world.file().durable.part(kSlotsOffset, kSectorBytes)));  // copied back
  EXPECT_EQ(replay_only(world).value(), Seq(1));
}

TEST(Journal, DamageToWhatTheStoreHasIsNone) {
  JournalWorld world(9);
  const auto places = three_synced_batches(world);
  flip(world.file(), places[1].offset + 100);
  world.committed = Seq(3);
  const auto replayed = replay_only(world);
  ASSERT_TRUE(replayed) << replayed.error().message();
  EXPECT_EQ(*replayed, Seq(3));
}

TEST(Journal, CopiedFileIsNoticed) {
  JournalWorld world(17);
  three_synced_batches(world);
  const FileBytes bytes = world.file().cached;
  const auto place_copy = [&](SimDisk& disk, const std::string& path) {
    auto file = disk.make(*disk.place(path), false);
    file->cached = file->durable = bytes;
    return file;
  };
  const auto copied = [&](SimDisk& disk, const std::string& path, std::uint8_t boot, bool note) {
    world.incarnation = std::make_shared<Incarnation>(world.executor, world.steps);
    SimFileIo files(disk, world.incarnation);
    bool answer = false;
    world.executor.run([&] {
      journal::Options options = world.options();
      options.path = path;
      options.boot.fill(boot);
      auto opened =
          journal::Journal::open({world.executor, world.random, world.executor}, files, options);
      ASSERT_TRUE(opened) << opened.error().message();
      answer = (*opened)->was_copied();
      ASSERT_TRUE(!note || (*opened)->note_intent(1, {}, Generation(1), {}));
    });
    return answer;
  };
  place_copy(world.disk, "/copy");
  EXPECT_FALSE(copied(world.disk, "/state/journal", world.boot, false));
  EXPECT_TRUE(copied(world.disk, "/copy", world.boot, false));
  EXPECT_TRUE(copied(world.disk, "/copy", 99, true));
  EXPECT_FALSE(copied(world.disk, "/copy", 99, false)) << "it was told that this is the one";
  // The same inode on another device, by chance.
  SimDisk other(8, Dice(1), world.counts);
  place_copy(other, "/copy")->inode = world.file().inode;
  EXPECT_TRUE(copied(other, "/copy", world.boot, false));
  EXPECT_FALSE(copied(other, "/copy", 99, false)) << "devices are numbered anew at every boot";
}

TEST(Journal, OtherVolumesJournalRefused) {
  // The caller compares vid and home; what is sealed for one volume does not open for another
  // either.
  JournalWorld world(18);
  three_synced_batches(world);
  journal::Superblock superblock;
  for (const std::uint64_t place : {0, 4096}) {
    auto one = journal::decode_superblock(world.file().durable.part(place, kSectorBytes));
    if (one && one->version > superblock.version) superblock = *one;
  }
  EXPECT_EQ(superblock.vid, world.vid);
  superblock.vid[0] ^= 1;
  overwrite(world.file(), superblock.version % 2 * kSectorBytes,
            journal::encode_superblock(superblock));
  world.vid = superblock.vid;
  const auto replayed = replay_only(world);
  ASSERT_TRUE(replayed);
  EXPECT_EQ(*replayed, Seq(0));
}

TEST(Journal, SlotsOfAnotherJournalAreIgnored) {
  JournalWorld one(19);
  JournalWorld two(20);
  three_synced_batches(one);
  two.keys = crypto::BoxKeyPair{one.keys.public_key, one.keys.secret.clone()};
  two.vid = one.vid;
  ASSERT_TRUE(two.life([] {}));
  two.file().cached = one.file().cached;
  two.file().cached.write(0, two.file().durable.part(0, 2 * kSectorBytes));
  settle(two);
  ASSERT_TRUE(two.life([&] { EXPECT_EQ(two.appended, Seq(0)); }));
}

// What replay hands out of a file with any damage was appended, in order; or there is an error.
TEST(Journal, DamagedBytesNeverBecomeBatches) {
  SEEDED_TEST(base);
  int errors = 0;
  int prefixes = 0;
  for (std::uint64_t seed = base; seed < base + 200; ++seed) {
    SCOPED_TRACE(seed);
    JournalWorld world(seed);
    ASSERT_TRUE(world.life([&] {
      for (int i = 0; i < 12; ++i) {
        ASSERT_TRUE(world.append());
        ASSERT_TRUE(world.dice.coin() || world.sync());
      }
    }));
    settle(world);
    for (std::uint64_t n = world.dice.between(1, 6); n > 0; --n) {
      // Mostly headers: their lengths must not be believed.
      std::uint64_t at = world.dice.between(kSlotsOffset, world.file().durable.size() - 1);
      if (world.dice.percent(70)) at = at / kSectorBytes * kSectorBytes + world.dice.below(88);
      Bytes junk(world.dice.between(1, 4));
      world.random.fill(junk);
      overwrite(world.file(),
                std::min<std::uint64_t>(at, world.file().durable.size() - junk.size()), junk);
    }
    world.acknowledged = Seq();
    world.damaged = true;
    world.incarnation = std::make_shared<Incarnation>(world.executor, world.steps);
    world.files = std::make_unique<WatchedFiles>(world.disk, world.incarnation);
    world.executor.run([&] {
      auto opened = world.open(*world.files);
      ASSERT_TRUE(opened);
      auto recovered = world.recover(**opened);
      EXPECT_TRUE(recovered || is(recovered, Code::kCorrupt));
      ++(recovered ? prefixes : errors);
      world.held.clear();
    });
  }
  EXPECT_GT(errors, 0);
  EXPECT_GT(prefixes, 0);
}

}  // namespace
}  // namespace s3crate::sim
