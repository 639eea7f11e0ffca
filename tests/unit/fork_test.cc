// SPDX-License-Identifier: GPL-3.0-or-later
// Forks against plain arrays of bytes, one for each generation of each volume: whatever is written to a volume, to its fork, and to
// the fork of that, each generation of each reads as it was. What becomes of a fork whose origin is damaged or gone, and of an
// origin when a fork of it stops halfway.
#include "volume/fork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "segment/object_names.h"
#include "tests/support/crate.h"
#include "tests/support/seed.h"
#include "volume/check.h"
#include "volume/guest.h"
#include "volume/rebuild.h"

namespace s3crate {
namespace {

using test::Crate;
using testing::HasSubstr;
using testing::IsEmpty;
using volume::Commit;
using volume::CommitBody;
using volume::CommitKind;
using volume::Forked;

constexpr std::uint64_t kBlock = Crate::kBlock;
constexpr std::uint64_t kBlocks = 160;

std::vector<store::ObjectInfo> objects_in(Crate& crate, const std::string& prefix = "") {
  return crate.memory.list(prefix, "", 1000).value().objects;
}

class ForkTest : public testing::Test {
 protected:
  static void live_on(Crate& crate, std::mt19937_64& random, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      crate.write_some(random);
      crate.note();
      if (random() % 8 == 0) {
        ASSERT_OK(crate.world.close());
        ASSERT_OK(crate.world.open());
      }
    }
  }
  static void expect_sound(Crate& crate) {
    const auto report = crate.check();
    ASSERT_OK(report);
    for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
    EXPECT_EQ(report->orphans, 0u);
  }
  // Blocks that a mounted disk cannot read are those that check tells; all others are right.
  static std::size_t expect_exact(Crate& crate) {
    const auto report = crate.check();
    EXPECT_TRUE(report) << report.error().message();
    if (!report) return 0;
    std::vector<bool> told(kBlocks);
    for (const auto& range : report->damaged_ranges())
      for (std::uint64_t at = range.offset; at < range.offset + range.length; at += kBlock) told[at / kBlock] = true;
    std::size_t lost = 0;
    for (std::uint64_t block = 0; block < kBlocks; ++block) {
      Bytes read(kBlock);
      const auto done = crate.world.disk->read(block * kBlock, read);
      EXPECT_EQ(!done, told[block]) << "block " << block << ": " << (done ? "it can be read" : done.error().message());
      EXPECT_TRUE(!done || std::ranges::equal(read, std::span(crate.now).subspan(block * kBlock, kBlock))) << "block " << block;
      lost += !done;
    }
    return lost;
  }
};

TEST_F(ForkTest, EveryGenerationOfAVolumeItsForkAndTheForkOfThatReadsAsItWas) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 3; ++round) {
    Crate first(kBlocks), second(Crate::Empty::yes), third(Crate::Empty::yes);
    ASSERT_OK(first.world.open());
    first.note();
    live_on(first, random, 12);
    second.begin_as_fork_of(first, first.any_state(random));
    live_on(first, random, 4);  // it was not fenced by the pin
    live_on(second, random, 10);
    third.begin_as_fork_of(second, second.any_state(random));
    live_on(third, random, 8);
    live_on(second, random, 4);
    live_on(first, random, 4);
    for (Crate* crate : {&first, &second, &third}) {
      crate->expect_all_states();
      ASSERT_OK(crate->world.close());
      expect_sound(*crate);
    }
  }
}

TEST_F(ForkTest, NothingIsCopiedAndTheOriginKnowsWhoNeedsIt) {
  Crate origin(kBlocks), target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  origin.write_blocks(0, kBlocks, 1);
  origin.note();
  const Generation point = origin.states.rbegin()->first;
  origin.write_blocks(5, 1, 99);
  origin.note();
  target.begin_as_fork_of(origin, point);
  EXPECT_EQ(objects_in(target, "segments/").size(), 0u);
  const auto volume = origin.open_volume();
  const auto head = volume->load_head();
  ASSERT_OK(head);
  ASSERT_EQ(head->body.kind, CommitKind::pin);
  ASSERT_EQ(head->body.pins.size(), 1u);
  EXPECT_EQ(head->body.pins[0], (volume::Pin{target.world.vid, point, "memory://fork"}));
  const auto fork = target.open_volume();
  const auto second = fork->load_commit(Generation(2));
  ASSERT_OK(second);
  EXPECT_EQ(volume::fork_point(second->body), (volume::CommitRef{point, volume->load_commit(point)->hash}));
  EXPECT_EQ(fork->object().origins, (std::vector<volume::Origin>{{origin.world.vid, "memory://origin"}}));
  ASSERT_OK(origin.world.disk->write(0, Bytes(kBlock, 7)));
  ASSERT_OK(origin.world.disk->sync());
}

TEST_F(ForkTest, AnOriginThatIsGoneCostsWhatItHoldsAndNothingElse) {
  Crate origin(kBlocks), target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  std::mt19937_64 random(3);
  live_on(origin, random, 10);
  target.begin_as_fork_of(origin, origin.states.rbegin()->first);
  target.write_blocks(10, 40, 77);
  target.note();
  ASSERT_OK(target.world.close());
  target.lose_origin(Error(Code::kNotFound, "origin 0123: there is no volume"));
  ASSERT_OK(target.world.open());
  const std::size_t lost = expect_exact(target);
  EXPECT_GT(lost, 0u);
  EXPECT_LT(lost, kBlocks);
  Bytes read(kBlock);
  for (std::uint64_t block = 0; block < kBlocks; ++block) {
    const auto done = target.world.disk->read(block * kBlock, read);
    if (!done) {
      EXPECT_THAT(done.error().message(), HasSubstr("there is no volume"));
    }
  }
  target.write_blocks(60, 60, 55);  // more than a checkpoint's worth
  target.note();
  for (std::uint64_t block = 60; block < 120; block += 2) target.write_blocks(block, 1, 11);
  target.note();
  EXPECT_LT(expect_exact(target), lost);
  ASSERT_OK(target.world.close());
  // And when it is back, so is all that it holds.
  target.attach_origins();
  ASSERT_OK(target.world.open());
  target.expect_all_states();
  ASSERT_OK(target.world.close());
  expect_sound(target);
}

TEST_F(ForkTest, ADamagedObjectOfAnOriginCostsTheForkTheBlocksInItThatItShares) {
  Crate origin(kBlocks), target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  for (std::uint64_t from = 0; from < kBlocks; from += 20) {
    origin.write_blocks(from, 20, static_cast<std::uint8_t>(from));
    origin.note();
  }
  ASSERT_OK(origin.world.close());
  target.begin_as_fork_of(origin, origin.states.rbegin()->first);
  target.write_blocks(25, 30, 3);
  target.note();
  for (const auto& object : objects_in(origin)) {
    const bool segment = object.name.starts_with(segment::kSegmentsPrefix), map = object.name.starts_with(segment::kMapPrefix);
    if (!segment && !map) continue;
    SCOPED_TRACE(object.name);
    const Bytes sound = *origin.memory.get(object.name, 1 << 20);
    Bytes changed = sound;
    changed[changed.size() / 3] ^= 1;
    ASSERT_OK(origin.memory.remove(object.name));
    for (const bool gone : {true, false}) {
      if (!gone) ASSERT_OK(origin.memory.put(object.name, changed));
      ASSERT_OK(target.world.close());  // what is in memory is as good
      ASSERT_OK(target.world.open());
      (void)expect_exact(target);
    }
    ASSERT_OK(origin.memory.remove(object.name));
    ASSERT_OK(origin.memory.put(object.name, sound));
  }
  ASSERT_OK(target.world.close());
  ASSERT_OK(target.world.open());
  EXPECT_EQ(expect_exact(target), 0u);
}

TEST_F(ForkTest, AForkThatStopsAtAnyPutHarmsNobodyAndCanBeMadeAgain) {
  Crate origin(kBlocks);
  ASSERT_OK(origin.world.open());
  std::mt19937_64 random(5);
  live_on(origin, random, 6);
  const Generation point = origin.any_state(random);
  bool made = false;
  for (std::size_t puts = 0; !made; ++puts) {
    SCOPED_TRACE(fmt::format("{} puts", puts));
    ASSERT_LT(puts, 50u);
    Crate target(Crate::Empty::yes);
    target.line.die_after(static_cast<std::int64_t>(puts));
    const auto done = origin.fork_to(target, point);
    made = done.has_value();
    EXPECT_EQ(made, target.memory.head(std::string(segment::kVolumeName)).has_value());
    live_on(origin, random, 1);
    origin.expect_all_states();
    if (made) break;
    // What is left there is nobody's.
    target.line.live();
    if (puts > 0) {
      const auto again = origin.fork_to(target, point);
      ASSERT_FALSE(again);
      EXPECT_EQ(again.error().code(), Code::kExists) << again.error().message();
    }
    for (const auto& object : objects_in(target)) ASSERT_OK(target.memory.remove(object.name));
    target.begin_as_fork_of(origin, point);
    target.expect_all_states();
  }
  ASSERT_OK(origin.world.close());
  const auto report = origin.check();
  ASSERT_OK(report);
  EXPECT_THAT(report->damages, IsEmpty());
}

TEST_F(ForkTest, WithoutAPinThereIsNoFork) {
  Crate origin(kBlocks), target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  origin.note();
  origin.write_blocks(1, 2, 3);
  origin.note();
  const auto done = origin.fork_to(target, origin.states.rbegin()->first, [](const CommitBody&) { return fail(Code::kDenied, "no"); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kDenied);
  EXPECT_THAT(done.error().message(), HasSubstr("could not be pinned"));
  EXPECT_EQ(objects_in(target).size(), 0u);
}

TEST_F(ForkTest, AForkThatFailsTakesItsPinAway) {
  Crate origin(kBlocks), target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  origin.write_blocks(1, 2, 3);
  origin.note();
  target.line.die_after(3);
  ASSERT_FALSE(origin.fork_to(target, origin.states.rbegin()->first));
  const auto volume = origin.open_volume();
  const auto head = volume->load_head();
  ASSERT_OK(head);
  EXPECT_EQ(head->body.kind, CommitKind::unpin);
  const auto pin = volume->load_commit(Generation(head->header.generation.value - 1));
  ASSERT_OK(pin);
  EXPECT_EQ(pin->body.kind, CommitKind::pin);
  EXPECT_EQ(pin->body.pins, head->body.pins);
}

TEST_F(ForkTest, AVolumeIsNotForkedOver) {
  Crate origin(kBlocks), target(kBlocks);
  ASSERT_OK(origin.world.open());
  origin.note();
  const auto before = objects_in(target).size();
  const auto done = origin.fork_to(target, Generation(1));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kExists);
  EXPECT_EQ(objects_in(target).size(), before);
}

// Its commits alone are not what it is: taken for that, all that it shares would read as zeros.
TEST_F(ForkTest, IsNotRebuiltWithoutTheCheckpointThatItBeganWith) {
  Crate origin(kBlocks), target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  origin.write_blocks(0, 90, 5);
  origin.note();
  target.begin_as_fork_of(origin, origin.states.rbegin()->first);
  target.write_blocks(3, 2, 9);
  target.note();
  ASSERT_OK(target.world.close());
  auto volume = target.open_volume();
  const auto sound = volume::rebuild(*volume, volume->load_head().value(), {});
  ASSERT_OK(sound);
  EXPECT_TRUE(sound->report.sound);
  for (const auto& object : objects_in(target, "map/")) ASSERT_OK(target.memory.remove(object.name));
  volume = target.open_volume();
  const auto rebuilt = volume::rebuild(*volume, volume->load_head().value(), {});
  ASSERT_FALSE(rebuilt);
  EXPECT_EQ(rebuilt.error().code(), Code::kCorrupt);
  EXPECT_THAT(rebuilt.error().message(), HasSubstr("this volume is a fork"));
}

TEST_F(ForkTest, KeysOfTheOriginAreNoKeysOfTheForkAndTheOtherWayRound) {
  Crate origin(kBlocks), target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  origin.write_blocks(0, 9, 5);
  origin.note();
  ASSERT_OK(origin.world.close());
  target.begin_as_fork_of(origin, origin.states.rbegin()->first);
  ASSERT_OK(target.world.close());
  const auto a = origin.open_volume(), b = target.open_volume();
  EXPECT_NE(a->identity().id(), b->identity().id());
  EXPECT_NE(a->keys()->data_key(), b->keys()->data_key());
  EXPECT_FALSE(a->open_commit_object(*target.memory.get(segment::commit_name(Generation(2)), 1 << 20), Generation(2)));
  EXPECT_FALSE(b->open_commit_object(*origin.memory.get(segment::commit_name(Generation(2)), 1 << 20), Generation(2)));
}

}  // namespace
}  // namespace s3crate
