// SPDX-License-Identifier: GPL-3.0-or-later
// The history of a volume made by a disk, whole and damaged; and stores that show another history
// than before.
#include "volume/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/damage_world.h"
#include "tests/support/seed.h"
#include "volume/chain.h"

namespace s3crate::volume {
namespace {

using test::DamageWorld;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class HistoryTest : public testing::Test {
 protected:
  std::vector<HistoryEntry> all(std::optional<Point> start = std::nullopt) {
    auto volume = world_.open_volume();
    EXPECT_TRUE(volume);
    auto history = History::open(**volume, start);
    EXPECT_TRUE(history);
    auto entries = history->next(100'000);
    EXPECT_TRUE(entries);
    return *entries;
  }

  const std::uint64_t seed_ = test::test_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed_)};
  DamageWorld world_{seed_};
};

TEST_F(HistoryTest, TellsEveryGenerationNewestFirst) {
  const auto entries = all();
  const Generation newest = world_.seen().generation;
  ASSERT_EQ(entries.size(), newest.value);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i].generation.value, newest.value - i);
    EXPECT_EQ(entries[i].problem, "");
    bytes += entries[i].bytes_added;
  }
  EXPECT_EQ(entries.front().kind, CommitKind::close);
  EXPECT_EQ(entries.back().kind, CommitKind::keys);
  EXPECT_EQ(entries[entries.size() - 2].kind, CommitKind::open);
  EXPECT_EQ(entries.front().disk_bytes, DamageWorld::kDiskBytes);
  std::uint64_t stored = 0;
  for (const char* prefix : {"segments/", "map/"}) {
    for (const std::string& name : world_.names(prefix)) {
      stored += world_.stored(name).size();
    }
  }
  EXPECT_EQ(bytes, stored);
}

TEST_F(HistoryTest, PagesAndStartPointsGiveTheSame) {
  const auto entries = all();
  auto volume = world_.open_volume();
  ASSERT_TRUE(volume);
  auto history = History::open(**volume);
  ASSERT_TRUE(history);
  std::vector<Generation> paged;
  for (;;) {
    auto page = history->next(3);
    ASSERT_TRUE(page);
    for (const HistoryEntry& entry : *page) paged.push_back(entry.generation);
    if (page->size() < 3) break;
  }
  ASSERT_EQ(paged.size(), entries.size());
  EXPECT_EQ(paged.back(), Generation(1));
  EXPECT_EQ(all(Generation(4)).front().generation, Generation(4));
  EXPECT_EQ(all(Generation(4)).size(), 4u);
  auto beyond = History::open(**volume, world_.seen().generation.next());
  EXPECT_TRUE(is(beyond, Code::kNotFound));
}

TEST_F(HistoryTest, EndsBeforeWhatIsOlderThanAsked) {
  const auto entries = all();
  const WallTime since = entries.at(entries.size() / 2).time;
  auto volume = world_.open_volume();
  ASSERT_TRUE(volume);
  auto history = History::open(**volume);
  ASSERT_TRUE(history);
  auto young = history->next(100'000, since);
  ASSERT_TRUE(young);
  ASSERT_GE(young->size(), entries.size() / 2 + 1);
  for (const HistoryEntry& entry : *young) EXPECT_GE(entry.time, since);
  ASSERT_LT(young->size(), entries.size());
  EXPECT_LT(entries[young->size()].time, since);
  EXPECT_THAT(*history->next(10), IsEmpty());
}

TEST_F(HistoryTest, DamagedGenerationIsToldAndPassedOver) {
  const std::size_t count = all().size();
  const Generation bad(world_.seen().generation.value - 2);
  const std::string name = segment::commit_name(bad);
  const auto expect_told = [&](std::string_view what) {
    const auto entries = all();
    ASSERT_EQ(entries.size(), count);
    for (const HistoryEntry& entry : entries)
      EXPECT_EQ(!entry.problem.empty(), entry.generation == bad);
    EXPECT_THAT(entries[2].problem, HasSubstr(what));
  };
  world_.faults.lose(name);
  expect_told("missing");
  world_.faults.replace(name, world_.stored(segment::commit_name(Generation(6))));
  expect_told(fmt::format("of generation 6, not {}", bad));
  // What the catalogue tells needs no commit: whether it is there is for check to say.
  world_.faults.restore(name);
  world_.faults.lose(segment::commit_name(Generation(5)));
  for (const HistoryEntry& entry : all()) EXPECT_EQ(entry.problem, "");
}

TEST_F(HistoryTest, DamagedCatalogueIsToldRowByRow) {
  const auto before = all();
  auto volume = world_.open_volume();
  ASSERT_TRUE(volume);
  const Commit head = *(*volume)->load_head();
  const Commit checkpoint = *(*volume)->load_commit(head.body.checkpoint.commit);
  for (const TreeRoot& root : checkpoint.body.roots) {
    if (root.tree != TreeId::catalogue) continue;
    for (const std::string& name : world_.names("map/"))
      if (name.find(fmt::format("{:016x}", root.page.object.id.value)) != name.npos) world_.faults.lose(name);
  }
  const auto after = all();
  ASSERT_EQ(after.size(), before.size());
  std::size_t told = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].generation, before[i].generation);
    EXPECT_TRUE(after[i].problem.empty() || after[i].generation <= head.body.checkpoint.as_of);
    told += after[i].problem.empty() ? 0 : 1;
  }
  EXPECT_EQ(told, head.body.checkpoint.as_of.value);
}

TEST_F(HistoryTest, StoreThatIsAwayIsAnError) {
  auto volume = world_.open_volume();
  ASSERT_TRUE(volume);
  auto history = History::open(**volume);
  ASSERT_TRUE(history);
  world_.faults.set_away(true);
  EXPECT_TRUE(is(history->next(5), Code::kTransient));
}

TEST_F(HistoryTest, YoungestWordAboutATagCounts) {
  auto volume = world_.open_volume();
  ASSERT_TRUE(volume);
  auto head = (*volume)->load_head();
  ASSERT_TRUE(head);
  Chain chain(system_env(), **volume, *head, [](const Error&) {});
  const auto commit = [&](CommitKind kind, std::vector<Tag> tags) {
    CommitBody body;
    body.kind = kind;
    body.disk_bytes = head->body.disk_bytes;
    body.tags = std::move(tags);
    DamageWorld::must(chain.append(std::move(body)));
  };
  ASSERT_TRUE(
      chain.open_term({.epoch = 0, .instance = {}, .home = {}, .host = "tagger", .journal = {}},
                      [](const Commit&) -> Result<> { return {}; }));
  commit(CommitKind::tag,
         {{"first", Generation(3)}, {"gone", Generation(3)}, {"moved", Generation(3)}});
  commit(CommitKind::untag, {{"gone", Generation(3)}});
  commit(CommitKind::tag, {{"moved", Generation(4)}});
  commit(CommitKind::tag, {{"another", Generation(3)}});
  const auto entries = all();
  EXPECT_THAT(entries[entries.size() - 3].tags, ElementsAre("another", "first"));
  EXPECT_THAT(entries[entries.size() - 4].tags, ElementsAre("moved"));
  EXPECT_THAT(entries[entries.size() - 5].tags, IsEmpty());
  EXPECT_THAT(all(Generation(3)).front().tags, ElementsAre("another", "first"));
}

// --- another history than before
// ---------------------------------------------------------------------------------------------

class RolledBackTest : public testing::Test {
 protected:
  // A mount on `store` with a state directory.
  Result<std::unique_ptr<device::Disk>> mount(store::ObjectStore& store, const std::string& state,
                                              bool accept = false) {
    volume_ = TRY(Volume::open(system_env(), store, world_.world().keys(), {}));
    device::DiskOptions options = world_.world().options;
    options.state_dir = state;
    options.accept_rollback = accept;
    options.take_over = true;
    return device::Disk::open(system_env(), io::posix_file_io(), *volume_, options);
  }
  void write(store::ObjectStore& store, const std::string& state, std::uint8_t value,
             Generation until) {
    auto disk = mount(store, state);
    DamageWorld::must(disk);
    for (std::uint64_t i = 0; (*disk)->stats().generation < until; ++i) {
      DamageWorld::must(
          (*disk)->write(i % 64 * 4096, Bytes(4096, static_cast<std::uint8_t>(value + i))));
      DamageWorld::must((*disk)->sync());
    }
    DamageWorld::must((*disk)->close(std::chrono::minutes(1)));
  }
  void expect_refused(store::ObjectStore& store, std::string_view what) {
    auto disk = mount(store, kept_);
    ASSERT_TRUE(is(disk, Code::kCorrupt)) << (disk ? "mounted" : disk.error().message());
    EXPECT_THAT(disk.error().message(), HasSubstr(what));
    EXPECT_THAT(disk.error().message(), HasSubstr("--accept-rollback"));
  }

  DamageWorld world_{7, 1};
  test::TempDir dir_;
  const std::string kept_ = dir_ / "kept";
  std::unique_ptr<Volume> volume_;
};

TEST_F(RolledBackTest, OlderStateOfTheStoreIsRefusedUntilAccepted) {
  store::MemoryStore older, newer;
  world_.copy_to(older);
  world_.copy_to(newer);
  write(newer, kept_, 1, world_.seen().generation + 5);
  expect_refused(older, "older state");
  expect_refused(older, "older state");  // also the second time
  EXPECT_TRUE(mount(newer, kept_));
  volume_.reset();
  auto accepted = mount(older, kept_, true);
  EXPECT_TRUE(accepted) << accepted.error().message();
}

TEST_F(RolledBackTest, AnotherCommitUnderTheSameNumberIsRefused) {
  store::MemoryStore here, there;
  world_.copy_to(here);
  world_.copy_to(there);
  write(here, kept_, 1, world_.seen().generation + 4);
  // As long, and longer.
  write(there, dir_ / "other", 100, world_.seen().generation + 4);
  expect_refused(there, "another history");
  write(there, dir_ / "other", 200, world_.seen().generation + 12);
  expect_refused(there, "another history");
}

// Who reads is told so; who writes would make it the history that was seen.
TEST_F(RolledBackTest, HistoryThatDamageHidesIsNotWrittenToUntilAccepted) {
  store::MemoryStore here, there;
  world_.copy_to(here);
  world_.copy_to(there);
  write(here, kept_, 1, world_.seen().generation + 4);
  write(there, dir_ / "other", 100, world_.seen().generation + 12);
  Generation known(1);  // what was seen: under its number there stands nothing
  while (here.head(segment::commit_name(known.next()))) known = known.next();
  ASSERT_TRUE(there.remove(segment::commit_name(known)));
  int untold = 0;
  for (Generation g = known.next(); there.head(segment::commit_name(g)); g = g.next()) {
    SCOPED_TRACE(g.value);
    const std::string name = segment::commit_name(g);
    const auto commit = there.get(name, 64 << 20);
    ASSERT_TRUE(commit && there.remove(name));
    const auto disk = mount(there, kept_);
    ASSERT_FALSE(disk);
    if (disk.error().message().find("cannot be told") != std::string::npos) {
      ++untold;
      EXPECT_THAT(disk.error().message(), HasSubstr("--accept-rollback"));
      EXPECT_TRUE(is(disk, Code::kCorrupt));
    }
    ASSERT_TRUE(there.put(name, *commit));
  }
  EXPECT_GT(untold, 0);
}

}  // namespace
}  // namespace s3crate::volume
