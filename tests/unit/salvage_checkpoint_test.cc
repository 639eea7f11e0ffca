// SPDX-License-Identifier: GPL-3.0-or-later
// Salvage that begins with a checkpoint that an index tells: what was deleted because nothing needs it since then is not missed, nor what no
// index could have told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/crate.h"
#include "tests/support/seed.h"
#include "volume/check_objects.h"
#include "volume/salvage.h"

namespace s3crate {
namespace {

using test::Crate;
using test::DiskWorld;
using testing::HasSubstr;
using testing::IsEmpty;
using volume::CheckpointMark;
using volume::Salvaged;

constexpr std::uint64_t kBlock = Crate::kBlock;

class SalvageCheckpointTest : public testing::Test {
 protected:
  SalvageCheckpointTest() {
    crate_.world.options.page_bytes = 512;
    crate_.world.options.checkpoint_runs = 12;
  }
  void live_on(int rounds) {
    for (; rounds > 0; --rounds) {
      crate_.write_some(random_);
      crate_.note();
    }
  }
  // Until a checkpoint has been made, and an index tells of it.
  void be_told() {
    const auto before = crate_.world.disk->stats().checkpoints;
    for (int i = 0; i < 200 && crate_.world.disk->stats().checkpoints == before; ++i) {
      live_on(1);
      nap(system_clock(), system_env().executor, std::chrono::milliseconds(5));
    }
    ASSERT_GT(crate_.world.disk->stats().checkpoints, before);
    live_on(1);
  }
  std::vector<std::string> names(const std::string& prefix) {
    std::vector<std::string> out;
    for (std::string after;;) {
      const auto page = crate_.memory.list(prefix, after, 1000).value();
      for (const auto& info : page.objects) out.push_back(info.name);
      if (!page.more) return out;
      after = out.back();
    }
  }
  void lose(const std::string& prefix) {
    for (const auto& name : names(prefix)) ASSERT_OK(crate_.memory.remove(name));
  }
  std::vector<CheckpointMark> told() {
    const auto volume = crate_.open_volume();
    const auto found = volume::read_indexes(system_env().executor, *volume, {});
    std::map<Generation, CheckpointMark> marks;
    for (const auto& segment : found.value().sound)
      if (segment.mark) marks.emplace(segment.mark->commit, *segment.mark);
    std::vector<CheckpointMark> out;
    for (auto& [commit, mark] : marks) out.push_back(mark);
    return out;
  }
  // As a prune may: what no generation from `as_of` on needs. So many objects are gone.
  std::size_t prune(Generation as_of) {
    const auto volume = crate_.open_volume();
    const auto view = volume->load_view(volume->load_head().value()).value();
    std::vector<std::string> gone;
    const auto done = volume::tree_scan(volume->pages(), view.companions.liveness, {}, [&](const volume::PageEntry& entry) -> Result<bool> {
      const auto [key, row] = TRY(volume::decode_liveness(entry));
      if (row.died == Generation(0) || row.died > as_of) return true;
      const auto value = TRY(volume::tree_find(volume->pages(), view.companions.objects, entry.key));
      CHECK(value);
      const auto info = TRY(volume::decode_object_info({entry.key, *value}));
      gone.push_back(segment::object_name(info.kind, key.id, info.nonce));
      return true;
    });
    EXPECT_TRUE(done);
    std::size_t segments = 0;
    for (const auto& name : gone) {
      segments += name.starts_with(segment::kSegmentsPrefix);
      EXPECT_TRUE(crate_.memory.remove(name)) << name;
    }
    return segments;
  }
  Result<Salvaged> salvage() {
    volume_ = TRY(volume::Volume::open(system_env(), crate_.others, crate_.world.keys(), {}));
    return volume::salvage(system_env(), *volume_, {});
  }
  // Blocks of a fork with what was salvaged; nullopt: one that cannot be read.
  Result<std::vector<std::optional<Bytes>>> blocks_of_fork(const Salvaged& salvaged) {
    Crate fork(Crate::Empty::yes);
    fork.origins = {&crate_.memory};
    fork.attach_origins();
    volume::ForkOptions options;
    options.origin_url = "memory://lost";
    options.page_bytes = 1024;
    const auto slot = fork.world.slot();
    fork.world.vid = TRY(volume::fork_state(system_env(), *volume_, salvaged.state, fork.stores, options, {&slot, 1})).vid;
    TRY(fork.world.open());
    std::vector<std::optional<Bytes>> out;
    for (std::uint64_t at = 0; at < fork.world.disk->size(); at += kBlock) {
      Bytes block(kBlock);
      const auto done = fork.world.disk->read(at, block);
      out.push_back(done ? std::optional(std::move(block)) : std::nullopt);
    }
    return out;
  }
  void expect_restored(const Bytes& wanted) {
    const auto salvaged = salvage();
    ASSERT_OK(salvaged);
    EXPECT_EQ(salvaged->report.gap, "");
    EXPECT_EQ(salvaged->report.unvouched_bytes, 0u);
    EXPECT_EQ(salvaged->report.unreadable_bytes, 0u);
    const auto read = blocks_of_fork(*salvaged);
    ASSERT_OK(read);
    ASSERT_EQ(read->size() * kBlock, wanted.size());
    for (std::size_t i = 0; i < read->size(); ++i)
      EXPECT_TRUE((*read)[i] && std::ranges::equal(*(*read)[i], ByteView(wanted).subspan(i * kBlock, kBlock))) << "block " << i;
  }

  const std::uint64_t seed_ = test::test_seed();
  const testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed_)};
  std::mt19937_64 random_{seed_};
  Crate crate_{96};
  std::unique_ptr<volume::Volume> volume_;
};

TEST_F(SalvageCheckpointTest, WhatAPruneHasDeletedIsNotMissed) {
  ASSERT_OK(crate_.world.open());
  std::size_t pruned = 0;
  for (int round = 0; round < 4; ++round) {
    be_told();
    if (HasFatalFailure()) return;
    if (round == 1) crate_.take(crate_.try_resize(random_));
    ASSERT_OK(crate_.world.close());
    pruned += prune(told().back().as_of);
    ASSERT_OK(crate_.world.open());
    if (round == 2) live_on(3);
  }
  EXPECT_GT(pruned, 0u);
  ASSERT_OK(crate_.world.close());
  lose("commits/");
  expect_restored(crate_.now);
  // What it stands on is really needed.
  lose("map/");
  const auto without = salvage();
  ASSERT_OK(without);
  EXPECT_NE(without->report.gap, "");
}

TEST_F(SalvageCheckpointTest, WithADamagedMapAnOlderCheckpointDoesOrNone) {
  ASSERT_OK(crate_.world.open());
  be_told();
  be_told();
  if (HasFatalFailure()) return;
  ASSERT_OK(crate_.world.close());
  const auto marks = told();
  ASSERT_GE(marks.size(), 2u);
  lose("commits/");
  const auto newest = salvage();
  ASSERT_OK(newest);
  EXPECT_EQ(newest->report.from_checkpoint, marks.back().as_of);
  const auto& page = marks.back().roots.at(0).page;
  ASSERT_OK(crate_.memory.remove(segment::object_name(segment::ObjectKind::map, page.object.id, page.nonce)));
  const auto older = salvage();
  ASSERT_OK(older);
  ASSERT_TRUE(older->report.from_checkpoint);
  EXPECT_LT(*older->report.from_checkpoint, marks.back().as_of);
  EXPECT_THAT(older->report.damages, testing::Contains(HasSubstr("is damaged or gone")));
  expect_restored(crate_.now);
  lose("map/");
  const auto none = salvage();
  ASSERT_OK(none);
  EXPECT_FALSE(none->report.from_checkpoint);
  expect_restored(crate_.now);
}

TEST_F(SalvageCheckpointTest, ItIsLeftAloneIfCommitsTellMore) {
  ASSERT_OK(crate_.world.open());
  be_told();
  if (HasFatalFailure()) return;
  ASSERT_OK(crate_.world.close());
  const auto all = salvage();
  ASSERT_OK(all);
  EXPECT_FALSE(all->report.from_checkpoint);
  ASSERT_TRUE(all->report.from);
  EXPECT_EQ(all->report.from->generation, all->report.newest);
}

// An import, a rollback, and all that comes between.
TEST_F(SalvageCheckpointTest, ItHoldsWhateverTheMapWasMadeOf) {
  ASSERT_OK(crate_.world.open());
  for (int round = 0; round < 5; ++round) {
    live_on(2);
    if (round == 3) {
      crate_.take(crate_.try_roll_back(crate_.any_state(random_)));
      ASSERT_OK(crate_.world.close());
    } else {
      ASSERT_OK(crate_.world.close());
      crate_.take(crate_.try_import(random_));
      if (crate_.world.disk) ASSERT_OK(crate_.world.close());
    }
    ASSERT_OK(crate_.world.open());
    live_on(1);  // tells of it
  }
  ASSERT_OK(crate_.world.close());
  ASSERT_FALSE(told().empty());
  lose("commits/");
  expect_restored(crate_.now);
}

// Which checkpoint it is rolled back to only what comes before it tells.
TEST_F(SalvageCheckpointTest, ARollbackToWhatWasBeforeItIsFollowed) {
  ASSERT_OK(crate_.world.open());
  live_on(2);
  const Generation early = crate_.states.rbegin()->first;
  be_told();
  if (HasFatalFailure()) return;
  crate_.take(crate_.try_roll_back(early));
  ASSERT_OK(crate_.world.close());
  lose("commits/");
  expect_restored(crate_.now);
}

TEST_F(SalvageCheckpointTest, OneOfAHistoryThatWasGivenUpIsLeftAlone) {
  ASSERT_OK(crate_.world.open());
  live_on(3);
  ASSERT_OK(crate_.world.close());
  const Bytes then = crate_.now;
  const auto commits = names("commits/");
  ASSERT_OK(crate_.world.open());
  be_told();
  be_told();
  if (HasFatalFailure()) return;
  ASSERT_OK(crate_.world.close());
  // The store shows an older state, which is accepted, and written to.
  for (const auto& name : names("commits/"))
    if (!std::ranges::count(commits, name)) ASSERT_OK(crate_.memory.remove(name));
  crate_.world.lose_state();
  crate_.now = then;
  ASSERT_OK(crate_.world.open());
  live_on(2);
  ASSERT_OK(crate_.world.close());
  lose("commits/");
  // Both histories have an epoch of one number: then there is a gap, but what was given up is not taken for the disk.
  const auto salvaged = salvage();
  ASSERT_OK(salvaged);
  EXPECT_LE(salvaged->report.from_checkpoint.value_or(Generation(0)), Generation(commits.size()));
  EXPECT_NE(salvaged->report.gap, "");
}

TEST_F(SalvageCheckpointTest, WhatStoodInLostCommitsIsToldExactly) {
  crate_.world.options.durability = device::Durability::store;
  ASSERT_OK(crate_.world.open());
  for (std::uint64_t i = 0; i < 20; ++i) {  // small ones stand in their commits
    crate_.write_blocks(2 * i, 1, static_cast<std::uint8_t>(i));
    crate_.note();
  }
  ASSERT_OK(crate_.world.close());
  crate_.world.options.durability = device::Durability::local;
  crate_.world.options.checkpoint_runs = 1;
  ASSERT_OK(crate_.world.open());
  be_told();
  if (HasFatalFailure()) return;
  crate_.write_blocks(4, 3, 77);
  crate_.note();
  ASSERT_OK(crate_.world.close());
  const auto volume = crate_.open_volume();
  const auto view = volume->load_view(volume->load_head().value()).value();
  std::set<std::uint64_t> expected;
  volume::KnownObjects known(*volume, view);
  const auto expect_inline = [&](const volume::Run& run, BlockIndex from, BlockIndex to) {
    if (run.hole || known.find(run.extent.object).value().value().kind != segment::ObjectKind::inline_extents) return;
    for (std::uint64_t block = from.value; block < to.value; ++block) expected.insert(block);
  };
  // The changes may repeat what the map has already.
  for (const volume::Run& run : view.changes.runs()) expect_inline(run, run.block, run.end());
  ASSERT_OK(volume::map_lookup(volume->pages(), view.map, BlockIndex(0), BlockIndex(crate_.blocks()), [&](const volume::Run& run) {
    view.changes.tile(run.block, run.end(), [](const volume::Run&) {}, [&](BlockIndex from, BlockIndex to) { expect_inline(run, from, to); });
  }));
  ASSERT_FALSE(expected.empty());
  lose("commits/");
  const auto salvaged = salvage();
  ASSERT_OK(salvaged);
  std::set<std::uint64_t> told_blocks, unreadable;
  for (const auto& range : salvaged->report.unreadable)
    for (std::uint64_t at = range.offset; at < range.offset + range.length; at += kBlock) told_blocks.insert(at / kBlock);
  const auto read = blocks_of_fork(*salvaged);
  ASSERT_OK(read);
  for (std::size_t i = 0; i < read->size(); ++i) {
    if (!(*read)[i]) unreadable.insert(i);
    else EXPECT_TRUE(std::ranges::equal(*(*read)[i], ByteView(crate_.now).subspan(i * kBlock, kBlock))) << "block " << i;
  }
  EXPECT_EQ(told_blocks, expected);
  EXPECT_EQ(told_blocks, unreadable);
  EXPECT_EQ(salvaged->report.unreadable_bytes, expected.size() * kBlock);
}

}  // namespace
}  // namespace s3crate
