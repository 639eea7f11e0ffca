// SPDX-License-Identifier: GPL-3.0-or-later
// Repair: whatever is lost of the map and of what stands beside it, the newest disk reads as it was, and goes on.
#include "device/repair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/damage_world.h"
#include "tests/support/history_world.h"
#include "store/arguments.h"
#include "tests/support/seed.h"
#include "volume/history.h"

namespace s3crate {
namespace {

using device::RepairOptions;
using device::RepairReport;
using test::DamageWorld;
using test::DiskWorld;
using test::HistoryWorld;
using volume::CommitKind;

// A store far away that is behind with one object: it is not there, so many times.
class LateStore final : public store::ObjectStore {
 public:
  LateStore(store::ObjectStore& inner, std::string late, int times) : inner_(inner), late_(std::move(late)), times_(times) {}
  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override { return inner_.put(name, parts); }
  Result<> remove(const std::string& name) override { return inner_.remove(name); }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    if (name == late_ && times_-- > 0) return store::not_found(name);
    return inner_.get(name, max_size);
  }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override { return inner_.get_range(name, offset, out); }
  Result<store::ObjectInfo> head(const std::string& name) override { return inner_.head(name); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after, std::size_t max_keys) override {
    return inner_.list(prefix, after, max_keys);
  }
  store::StoreCaps caps() const override {
    auto caps = inner_.caps();
    caps.local = false;
    return caps;
  }
  std::string describe() const override { return inner_.describe(); }

 private:
  store::ObjectStore& inner_;
  const std::string late_;
  std::atomic<int> times_;
};

class RepairTest : public testing::Test {
 protected:
  RepairTest() : world(seed, 3) {}

  Result<RepairReport> repair(const RepairOptions& how = {}) {
    auto volume = TRY(world.open_volume());
    return device::repair(system_env(), io::posix_file_io(), *volume, world.world().options, how);
  }
  void lose(const std::string& name) {
    world.faults.lose(name);
    lost.insert(name);
  }
  void lose_all(const std::string& prefix) {
    for (const std::string& name : world.names(prefix)) lose(name);
  }
  [[nodiscard]] std::vector<Generation> checkpoints() {
    std::vector<Generation> out;
    const auto volume = *world.open_volume();
    for (Generation at(1); at <= world.head().generation; at = at.next())
      if (volume->load_commit(at)->body.kind == CommitKind::checkpoint) out.push_back(at);
    return out;
  }
  // All of the newest disk reads as it was; what is wrong is what was lost, and nothing else.
  void expect_all_back() {
    const auto reads = world.read_blocks();
    EXPECT_TRUE(reads.opened);
    EXPECT_FALSE(reads.wrong);
    EXPECT_EQ(reads.failed, (std::vector<volume::ByteRange>{}));
    const auto report = world.check({.read_data = true});
    ASSERT_OK(report);
    EXPECT_FALSE(report->disk_lost);
    EXPECT_EQ(report->damaged_bytes, 0u);
    for (const auto& damage : report->damages) EXPECT_TRUE(lost.contains(damage.object)) << damage.what;
  }
  // The disk can be written to, and checkpoints go on upon the new one.
  void expect_it_goes_on() {
    DiskWorld& disk = world.world();
    disk.options.checkpoint_runs = 24;
    ASSERT_OK(disk.open());
    for (int i = 0; i < 1000 && disk.disk->stats().checkpoints < 2; ++i) world.write_some();
    EXPECT_GE(disk.disk->stats().checkpoints, 2u);
    ASSERT_OK(disk.close());
    expect_all_back();
  }

  const std::uint64_t seed = test::test_seed();
  const testing::ScopedTrace trace{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed)};
  DamageWorld world;
  std::set<std::string> lost;
};

TEST_F(RepairTest, EverythingIsBackAfterTheLossOfAllMapObjects) {
  lose_all("map/");
  ASSERT_NE(world.read_blocks().failed, (std::vector<volume::ByteRange>{}));
  const auto report = repair();
  ASSERT_OK(report);
  EXPECT_FALSE(report->rebuilt.sound);
  EXPECT_EQ(report->rebuilt.from.commit, Generation(0));
  ASSERT_TRUE(report->rebuilt.past);
  EXPECT_EQ(report->rebuilt.past->first, checkpoints().front());
  EXPECT_EQ(report->rebuilt.past->last, Generation(report->generation.value - 1));
  expect_all_back();
  const auto again = repair();
  ASSERT_OK(again);
  EXPECT_TRUE(again->rebuilt.sound);
  expect_it_goes_on();
}

// No tree refers to them any more; counted as alive, a prune would keep them for ever.
TEST_F(RepairTest, MapObjectsThatWereLostAreDead) {
  lose_all("map/");
  const auto report = repair();
  ASSERT_OK(report);
  const auto volume = *world.open_volume();
  auto head = volume->load_head();
  ASSERT_OK(head);
  const auto view = volume->load_view(*head);
  ASSERT_OK(view);
  std::size_t looked = 0;
  for (Generation at(1); at <= report->head; at = at.next()) {
    const auto commit = volume->load_commit(at);
    ASSERT_OK(commit);
    for (const auto& info : commit->body.objects) {
      if (info.kind != segment::ObjectKind::map || info.born != at) continue;
      Bytes key = volume::object_table_key(info.key);
      const auto row = volume::tree_find(volume->pages(), view->companions.liveness, key);
      ASSERT_OK(row);
      ASSERT_TRUE(row->has_value());
      const auto liveness = volume::decode_liveness({key, **row});
      ASSERT_OK(liveness);
      EXPECT_GT(liveness->second.died, report->head);
      looked++;
    }
  }
  EXPECT_GE(looked, 3u);
}

TEST_F(RepairTest, NewestSoundCheckpointIsBegunWith) {
  const auto all = checkpoints();
  const auto volume = *world.open_volume();
  const auto newest = volume->load_commit(all.back());
  ASSERT_OK(newest);
  for (const auto& info : newest->body.objects)
    if (info.kind == segment::ObjectKind::map) lose(segment::object_name(info.kind, info.key.id, info.nonce));
  const auto report = repair();
  ASSERT_OK(report);
  EXPECT_EQ(report->rebuilt.from.commit, all[all.size() - 2]);
  ASSERT_TRUE(report->rebuilt.past);
  EXPECT_EQ(report->rebuilt.past->first, all.back());
  expect_all_back();
  expect_it_goes_on();
}

TEST_F(RepairTest, CommitsOfCheckpointsMayBeLost) {
  for (Generation at : checkpoints()) lose(segment::commit_name(at));
  ASSERT_FALSE(world.read_blocks().opened);
  const auto report = repair();
  ASSERT_OK(report);
  EXPECT_EQ(report->rebuilt.lost.size(), lost.size());
  expect_all_back();
  expect_it_goes_on();
}

// Any of the trees: one whose map is whole is repaired as well.
TEST_F(RepairTest, SomeObjectsOfTheMapAreLostOrDamaged) {
  std::mt19937_64 random(seed);
  bool any = false;
  for (const std::string& name : world.names("map/")) {
    if (random() % 3 == 0) continue;
    any = true;
    if (random() % 2 == 0) {
      lose(name);
      continue;
    }
    Bytes bytes = world.stored(name);
    for (std::size_t at = random() % 100; at < bytes.size(); at += 200) bytes[at] ^= 0x10;
    world.faults.replace(name, bytes);
    lost.insert(name);
  }
  const auto report = repair();
  ASSERT_OK(report);
  EXPECT_TRUE(report->rebuilt.sound || any);
  expect_all_back();
  expect_it_goes_on();
}

TEST_F(RepairTest, WhatIsSoundIsLeftAsItIs) {
  const auto before = world.head();
  const auto report = repair();
  ASSERT_OK(report);
  EXPECT_TRUE(report->rebuilt.sound);
  EXPECT_EQ(report->generation, Generation(0));
  EXPECT_EQ(world.head(), before);
}

TEST_F(RepairTest, VolumeThatIsOpenElsewhereIsRefused) {
  lose_all("map/");
  ASSERT_OK(world.world().open());
  world.world().vanish();
  const auto before = world.head();
  auto volume = world.open_volume();
  ASSERT_OK(volume);
  auto elsewhere = world.world().options;
  elsewhere.state_dir += "-elsewhere";
  const auto refused = device::repair(system_env(), io::posix_file_io(), **volume, elsewhere, {});
  EXPECT_TRUE(is(refused, Code::kFenced));
  EXPECT_EQ(world.head(), before);
  elsewhere.take_over = true;
  ASSERT_OK(device::repair(system_env(), io::posix_file_io(), **volume, elsewhere, {}));
  world.world().options.state_dir = elsewhere.state_dir;
  expect_all_back();
}

TEST_F(RepairTest, MoreThanMemoryHoldsIsRefusedBeforeAnythingIsWritten) {
  lose_all("map/");
  const auto before = world.head();
  RepairOptions how;
  how.rebuild.runs_max = 3;
  auto refused = repair(how);
  ASSERT_TRUE(is(refused, Code::kUnsupported));
  EXPECT_NE(refused.error().message().find("more than 3 pieces"), std::string::npos) << refused.error().message();
  how = {};
  how.rebuild.objects_max = 3;
  EXPECT_TRUE(is(repair(how), Code::kUnsupported));
  EXPECT_EQ(world.head(), before);
}

TEST_F(RepairTest, RepairThatIsStoppedIsDoneAnew) {
  lose_all("map/");
  std::atomic<bool> stop = false;
  RepairOptions how;
  how.rebuild.stop = &stop;
  int ticks = 0;
  how.rebuild.progress = [&](const volume::CheckProgress&) { stop = ++ticks == 5; };
  EXPECT_TRUE(is(repair(how), Code::kCancelled));
  ASSERT_OK(repair());
  expect_all_back();
}

// The volume is open by then; what was damaged is so still.
TEST_F(RepairTest, RepairWhoseCheckpointFailsIsDoneAnew) {
  lose_all("map/");
  world.faults.set_hook([](store::Verb verb, const std::string& name) -> Result<> {
    if (verb == store::Verb::put && name.starts_with("map/")) return fail(Code::kDenied, "not that");
    return {};
  });
  ASSERT_TRUE(is(repair(), Code::kDenied));
  world.faults.set_hook({});
  ASSERT_OK(repair());
  expect_all_back();
  expect_it_goes_on();
}

// Taken for lost, it would be missing in the history for good.
TEST_F(RepairTest, CommitThatTheStoreIsBehindWithIsWaitedFor) {
  lose_all("map/");
  LateStore store(world.faults, segment::commit_name(Generation(3)), 4);
  const auto volume = volume::Volume::open(system_env(), store, world.world().keys(), {});
  ASSERT_OK(volume);
  const auto report = device::repair(system_env(), io::posix_file_io(), **volume, world.world().options, {});
  ASSERT_OK(report);
  EXPECT_TRUE(report->rebuilt.lost.empty());
  expect_all_back();
}

TEST_F(RepairTest, JournalThatWaitsIsPlayedBack) {
  DiskWorld& disk = world.world();
  disk.options.upload_delay = std::chrono::hours(1);
  ASSERT_OK(disk.open());
  const Bytes data(8192, 0x5a);
  ASSERT_OK(disk.disk->write(4096, data));
  ASSERT_OK(disk.disk->flush());
  disk.vanish();
  std::memcpy(world.model.data() + 4096, data.data(), data.size());
  lose_all("map/");
  ASSERT_OK(repair());
  expect_all_back();
}

// What was rolled back is no part of the map, though it is part of the history.
class RepairRollbackTest : public RepairTest {
 protected:
  RepairRollbackTest() {
    DiskWorld& disk = world.world();
    const Bytes then = world.model;
    point = world.head().generation;
    disk.options.checkpoint_runs = 24;
    DamageWorld::must(disk.open());
    for (int i = 0; i < 1000 && disk.disk->stats().checkpoints < 1; ++i) world.write_some();
    DamageWorld::must(disk.close());
    disk.options.checkpoint_runs = 100'000;
    DamageWorld::must(disk.open());
    const auto reader = *world.open_volume();
    DamageWorld::must(reader->load_head());
    auto commit = reader->load_commit(point);
    DamageWorld::must(commit);
    auto past = reader->load_view(*commit);
    DamageWorld::must(past);
    DamageWorld::must(disk.disk->roll_back(*past));
    DamageWorld::must(disk.close());
    world.model = then;
    DamageWorld::must(disk.open());
    world.write_some();
    DamageWorld::must(disk.close());
    CHECK(world.read_blocks().failed.empty());
  }
  Generation point;
};

TEST_F(RepairRollbackTest, EverythingIsBackAfterTheLossOfAllMapObjects) {
  lose_all("map/");
  const auto report = repair();
  ASSERT_OK(report);
  EXPECT_EQ(report->rebuilt.from.commit, Generation(0));
  expect_all_back();
  expect_it_goes_on();
}

TEST_F(RepairRollbackTest, CheckpointOfWhatWasRolledBackToIsBegunWith) {
  const auto volume = *world.open_volume();
  auto head = volume->load_head();
  ASSERT_OK(head);
  auto then = volume->load_commit(point);
  ASSERT_OK(then);
  const auto rollback = volume->load_commit(head->body.checkpoint.commit);
  ASSERT_OK(rollback);
  ASSERT_EQ(rollback->body.kind, CommitKind::rollback);
  for (const auto& info : rollback->body.objects) lose(segment::object_name(info.kind, info.key.id, info.nonce));
  const auto report = repair();
  ASSERT_OK(report);
  EXPECT_EQ(report->rebuilt.from, then->body.checkpoint);
  expect_all_back();
  expect_it_goes_on();
}

// The commits above it tell of it, or what it rolled back would come back.
TEST_F(RepairRollbackTest, ItsOwnCommitMayBeLost) {
  const auto volume = *world.open_volume();
  auto head = volume->load_head();
  ASSERT_OK(head);
  const auto rollback = head->body.checkpoint.commit;
  ASSERT_EQ(volume->load_commit(rollback)->body.kind, CommitKind::rollback);
  if (seed % 2 == 0) lose_all("map/");
  lose(segment::commit_name(rollback));
  const auto report = repair();
  ASSERT_OK(report);
  expect_all_back();
  expect_it_goes_on();
}

// Whether it changed anything nobody knows then.
TEST_F(RepairRollbackTest, CommitThatWasRolledBackToIsNeeded) {
  lose_all("map/");
  lose(segment::commit_name(point));
  EXPECT_TRUE(is(repair(), Code::kCorrupt));
}

TEST_F(RepairTest, CommitThatNothingElseTellsOfIsNamed) {
  const auto volume = *world.open_volume();
  const auto base = volume->load_head()->body.delta_base;
  lose(segment::commit_name(base.generation));
  const auto before = world.head();
  const auto refused = repair();
  ASSERT_TRUE(is(refused, Code::kCorrupt));
  EXPECT_NE(refused.error().message().find(fmt::format("commit {} ", base.generation)), std::string::npos) << refused.error().message();
  EXPECT_EQ(world.head(), before);
}

// The catalogue and the tags, which no block tells of.
TEST(RepairHistoryTest, HistoryIsNotedAnew) {
  HistoryWorld world;
  test::TempDir dir;
  for (int i = 0; i < 40; ++i) {
    world.change();
    if (i % 7 == 0) world.tag(fmt::format("tag{}", i), world.newest());
    if (i % 14 == 0 && i > 0) world.untag("tag7");
    if (i % 14 == 0) world.tag("tag7", world.newest());
    if (i % 10 == 9) world.checkpoint();
  }
  for (const std::string& name : world.names("map/")) world.store.lose(name);
  device::DiskOptions options;
  options.state_dir = dir / "state";
  options.take_over = true;
  options.moved = true;
  auto volume = world.open_volume();
  const auto report = device::repair(world.env(), io::posix_file_io(), *volume, options, {});
  ASSERT_OK(report);
  EXPECT_FALSE(report->rebuilt.sound);
  auto reader = world.open_volume();
  auto history = volume::History::open(*reader);
  ASSERT_OK(history);
  const auto entries = history->next(1000);
  ASSERT_OK(entries);
  std::map<std::string, Generation> tags;
  std::size_t checked = 0;
  for (const auto& entry : *entries) {
    ASSERT_EQ(entry.problem, "");
    for (const auto& tag : entry.tags) tags[tag] = entry.generation;
    if (entry.generation > world.newest()) continue;
    EXPECT_EQ(entry.kind, world.at(entry.generation).kind);
    EXPECT_EQ(entry.time, world.at(entry.generation).time);
    checked++;
  }
  EXPECT_EQ(checked, world.made.size());
  EXPECT_EQ(tags, world.tags);
}

}  // namespace
}  // namespace s3crate
