// SPDX-License-Identifier: GPL-3.0-or-later
// What a check says of commits that are signed as they should be, by a writer who breaks the rules
// of the chain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/damage_world.h"
#include "tests/support/seed.h"
#include "volume/check.h"

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

class CheckRulesTest : public testing::Test {
 protected:
  CheckRulesTest() {
    auto volume = world_.open_volume();
    DamageWorld::must(volume);
    volume_ = std::move(*volume);
    auto head = volume_->load_head();
    DamageWorld::must(head);
    head_ = std::move(*head);
  }
  // A commit on top of the newest one, as the next mount would begin it.
  Commit next() const {
    Commit commit;
    commit.header = head_.header;
    commit.header.generation = head_.header.generation.next();
    commit.header.parent = head_.hash;
    commit.header.writer = volume_->keys()->writer();
    commit.header.keys_generation = keys_after(head_);
    commit.body = head_.body;
    commit.body.kind = CommitKind::data;
    commit.body.pending.reset();
    commit.body.delta_base = newest_change(head_);
    commit.body.objects.clear();
    commit.body.runs.clear();
    return commit;
  }
  void put(Commit commit) {
    const KeyRing& keys = *volume_->keys();
    const bool admin = commit.header.writer == kAdminWriter;
    auto bytes = seal_commit(commit, keys.commit_sealing_key(),
                             admin ? *keys.admin() : *keys.signer(), system_env().random);
    DamageWorld::must(bytes);
    DamageWorld::must(world_.faults.put(segment::commit_name(commit.header.generation), *bytes));
    head_ = std::move(commit);
  }
  void expect_told(std::string_view what, Generation generation) {
    auto report = world_.full_check();
    ASSERT_TRUE(report) << report.error().message();
    ASSERT_THAT(report->damages, testing::Not(IsEmpty()));
    EXPECT_TRUE(std::ranges::any_of(report->damages, [&](const Damage& damage) {
      return damage.what.find(what) != damage.what.npos && damage.generation == generation;
    })) << text(*report);
  }

  const std::uint64_t seed_ = test::test_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed_)};
  DamageWorld world_{seed_};
  std::unique_ptr<Volume> volume_;
  Commit head_;
};

TEST_F(CheckRulesTest, CommitThatKeepsTheRulesIsSound) {
  put(next());
  put(next());
  auto report = world_.full_check();
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->clean()) << text(*report);
}

TEST_F(CheckRulesTest, EpochsNeverDecrease) {
  Commit commit = next();
  commit.body.epoch--;
  put(commit);
  expect_told("its epoch is over", commit.header.generation);
}

TEST_F(CheckRulesTest, OpenBeginsAnEpoch) {
  Commit commit = next();
  commit.body.kind = CommitKind::open;
  put(commit);
  expect_told("its epoch is over", commit.header.generation);
}

TEST_F(CheckRulesTest, CommittedBatchesAreNeverTakenBack) {
  Commit commit = next();
  commit.body.committed = Seq(commit.body.committed.value - 1);
  put(commit);
  expect_told("takes back what was committed", commit.header.generation);
}

TEST_F(CheckRulesTest, CheckpointIsTheParents) {
  Commit commit = next();
  ASSERT_GT(commit.body.checkpoint.commit, Generation(0));
  commit.body.checkpoint = {};
  commit.body.delta_base = {};
  put(commit);
  expect_told("another checkpoint than its parent", commit.header.generation);
}

TEST_F(CheckRulesTest, ParentIsTheOneBelow) {
  Commit commit = next();
  commit.header.parent[5] ^= 1;
  put(commit);
  expect_told("not the one that its successor names",
              Generation(commit.header.generation.value - 1));
}

TEST_F(CheckRulesTest, DeltaBaseIsWhatIsThere) {
  Commit commit = next();
  commit.body.delta_base.hash[5] ^= 1;
  put(commit);
  put(next());
  auto report = world_.full_check();
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->disk_lost);
  EXPECT_EQ(report->damaged_bytes, DamageWorld::kDiskBytes);
  EXPECT_FALSE(world_.read_blocks().opened);
}

// A revoked writer's commit stands on keys that are no longer in force.
TEST_F(CheckRulesTest, KeysInForceAreThoseOfTheParent) {
  auto first = volume_->load_commit(Generation(1));
  ASSERT_TRUE(first);
  Commit keys = next();
  keys.body = head_.body;
  keys.body.kind = CommitKind::keys;
  keys.body.pending.reset();
  keys.header.writer = kAdminWriter;
  keys.keys = first->keys;
  keys.keys->previous_keys = Generation(1);
  put(keys);
  Commit stale = next();
  stale.header.keys_generation = Generation(1);
  put(stale);
  expect_told("its keys are not those", stale.header.generation);
  expect_told(segment::keys_copy_name(keys.header.generation), keys.header.generation);
}

TEST_F(CheckRulesTest, ObjectsThatAreNamedMustBeThere) {
  Commit commit = next();
  ObjectInfo info;
  info.key = {0, segment::ObjectId::of(commit.body.epoch, 12345)};
  info.born = commit.header.generation;
  info.length = 4000;
  info.index_offset = 3000;
  info.index_length = 912;
  commit.body.objects = {info};
  commit.body.runs = {
      {.block = BlockIndex(3),
       .count = 2,
       .hole = false,
       .first = 0,
       .extent = {.object = info.key, .number = 0, .offset = 72, .length = 500, .digest = {}}},
      {.block = BlockIndex(9),
       .count = 1,
       .hole = false,
       .first = 0,
       .extent = {.object = {0, segment::ObjectId::of(commit.body.epoch, 54321)},
                  .number = 0,
                  .offset = 72,
                  .length = 500,
                  .digest = {}}}};
  put(commit);
  auto report = world_.full_check();
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->damaged_ranges(),
              ElementsAre(ByteRange{3 * 4096, 2 * 4096}, ByteRange{9 * 4096, 4096}))
      << text(*report);
  EXPECT_EQ(report->damages.size(), 2u);
}

// The map is signed by a writer, an index too: a check notices when they differ.
TEST_F(CheckRulesTest, MapAndIndexMustAgree) {
  auto view = volume_->load_view(head_);
  ASSERT_TRUE(view);
  std::optional<segment::Run> some;
  for (const segment::Run& run : view->changes.runs())
    if (!run.hole) some = run;
  ASSERT_TRUE(some);
  Commit commit = next();
  segment::Run wrong = *some;
  wrong.extent.digest[0] ^= 1;
  commit.body.runs = {wrong};
  put(commit);
  auto report = world_.full_check();
  ASSERT_TRUE(report);
  ASSERT_EQ(report->damages.size(), 1u) << text(*report);
  EXPECT_THAT(report->damages[0].what, HasSubstr("the map and its index disagree"));
  EXPECT_EQ(report->damaged_ranges(), world_.read_blocks().failed);
  EXPECT_EQ(report->damaged_bytes, wrong.count * 4096);
}

}  // namespace
}  // namespace s3crate::volume
