// SPDX-License-Identifier: GPL-3.0-or-later
// Histories that are not this one: the past, another volume that the same keys open, and a fork: a
// second continuation of the same generation, made by somebody with all keys. A machine that knows
// the newest generation is shown no other; one that knows nothing may be shown another history, but
// never a mixture of two.
#include <gmock/gmock.h>

#include "tests/support/tamper_trial.h"
#include "tests/support/temp_dir.h"

namespace s3crate::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Trust = TamperWorld::Trust;

class TamperHistoryTest : public TamperTrial {
 protected:
  static constexpr int kForkGenerations = 6;

  struct Fork {
    Shelf shelf;
    Bytes content;
    Generation base, newest;
  };
  // Longer than ours, with checkpoints above our newest generation.
  static const Fork& fork() {
    static const Fork fork = make_fork(0x5a, kForkGenerations);
    return fork;
  }
  static Fork make_fork(std::uint8_t value, int generations) {
    TempDir dir;
    store::MemoryStore store;
    put_all(tamper_world().before_last_mount(), store);
    Fork out;
    out.base = newest_of(tamper_world().before_last_mount());
    out.content = tamper_world().continue_in(store, dir / "state", value, generations);
    out.shelf = shelf_of(store);
    out.newest = newest_of(out.shelf);
    return out;
  }
  // Of the newest generation on this shelf.
  volume::CheckpointRef checkpoint_of(const Shelf& shelf) {
    ShelfStore store(shelf);
    const auto volume = volume::Volume::open(world_.env(), store, world_.disk_world().keys(), {});
    return (*volume)->load_head()->body.checkpoint;
  }
  static Generation newest_of(const Shelf& shelf) {
    return *segment::parse_commit_name(
        shelf.lower_bound(std::string(segment::kCommitsPrefix))->first);
  }
  void expect_refused(std::string_view what) {
    SCOPED_TRACE(what);
    const auto seen = world_.look(now_, Trust::seen);
    EXPECT_EQ(seen.wrong, "");
    EXPECT_FALSE(seen.blocks) << "it is mounted";
    ASSERT_TRUE(seen.report);
    EXPECT_FALSE(seen.report->clean());
  }
  // For reading; what that says goes to the log.
  Result<> mount(const Shelf& shelf, const std::string& state) {
    log_.clear();
    ShelfStore store(shelf);
    const auto volume =
        TRY(volume::Volume::open(world_.env(), store, world_.disk_world().keys(), {}));
    device::DiskOptions options = world_.reader_options(Trust::seen);
    options.state_dir = state;
    options.log = [this](const std::string& line) { log_.push_back(line); };
    TRY(device::Disk::open(world_.env(), io::posix_file_io(), *volume, options));
    return {};
  }
  std::vector<std::string> log_;

  // A commit of the fork is signed, so what it says of others is held against these.
  void expect_right_and_named(const std::string& name) {
    const auto seen = world_.look(now_, Trust::seen);
    EXPECT_EQ(seen.wrong, "");
    EXPECT_EQ(seen.blocks, world_.model(world_.newest(), now_));
    ASSERT_TRUE(seen.report);
    EXPECT_TRUE(std::ranges::any_of(
        seen.report->damages, [&](const volume::Damage& damage) { return damage.object == name; }));
  }
  // Without memory: the whole fork, or parts of it that cannot be read.
  void expect_content(const Bytes& content, bool all) {
    ShelfStore store(now_);
    auto volume = volume::Volume::open(world_.env(), store, world_.disk_world().keys(), {});
    ASSERT_TRUE(volume);
    auto disk = device::Disk::open(world_.env(), io::posix_file_io(), **volume,
                                   world_.reader_options(Trust::nothing));
    ASSERT_TRUE(disk || !all) << disk.error().message();
    if (!disk) return;
    Bytes block(TamperWorld::kBlock);
    for (std::uint64_t at = 0; at < content.size(); at += block.size()) {
      const auto read = (*disk)->read(at, block);
      EXPECT_TRUE(read || !all);
      if (read) {
        EXPECT_TRUE(equal(block, ByteView(content).subspan(at, block.size()))) << at;
      }
    }
  }
};

TEST_F(TamperHistoryTest, OlderStateIsRefusedByWhoKnowsTheNewest) {
  for (Generation g = world_.newest(); g > Generation(1); g = Generation(g.value - 1)) {
    change(segment::commit_name(g), std::nullopt);
    expect_refused(fmt::format("all from {} on are gone", g));
    // Who knows nothing is shown what was, or nothing.
    const auto unaware = world_.look(now_, Trust::nothing);
    EXPECT_EQ(unaware.wrong, "");
  }
}

TEST_F(TamperHistoryTest, ForkIsRefusedByWhoKnowsTheNewest) {
  ASSERT_GT(fork().newest, world_.newest());
  now_ = fork().shelf;
  expect_refused("all of the fork");
  expect_content(fork().content, true);
  // Cut off at each generation.
  for (Generation g = fork().newest; g > fork().base.next(); g = Generation(g.value - 1)) {
    change(segment::commit_name(g), std::nullopt);
    expect_refused(fmt::format("the fork up to {}", g.value - 1));
  }
}

TEST_F(TamperHistoryTest, ForkThatShowsCommitsOfOursIsRefused) {
  for (Generation g = fork().base.next(); g <= world_.newest(); g = g.next()) {
    now_ = fork().shelf;
    const std::string name = segment::commit_name(g);
    change(name, stored(name));
    expect_refused(fmt::format("the fork with our commit {}", g));
    expect_content(fork().content, false);
  }
  // All of ours, and the rest of the fork on top of it.
  now_ = fork().shelf;
  for (Generation g = fork().base.next(); g <= world_.newest(); g = g.next())
    change(segment::commit_name(g), stored(segment::commit_name(g)));
  expect_refused("the fork on top of ours");
}

// Whatever was the newest when it was seen here: what came on top of it is believed, a fork is not,
// also if it shows that very generation.
TEST_F(TamperHistoryTest, WhatWasSeenLongAgoIsHeldAgainstTheHistory) {
  const TempDir dir;
  for (Generation g(1); g < world_.newest(); g = g.next()) {
    SCOPED_TRACE(g.value);
    const std::string state = dir / fmt::format("state{}", g);
    const std::string name = segment::commit_name(g);
    remember(state, {g, crypto::blake2b(stored(name))});
    EXPECT_TRUE(mount(world_.shelf(), state));
    EXPECT_THAT(log_, IsEmpty());
    now_ = fork().shelf;
    change(name, stored(name));
    const auto refused = mount(now_, state);
    EXPECT_EQ(refused.has_value(), g <= fork().base);
    EXPECT_THAT(log_, IsEmpty());
    // Where damage hides it, that is said.
    change(segment::commit_name(g.next()), std::nullopt);
    if (mount(now_, state) && g > fork().base) {
      EXPECT_THAT(log_, ElementsAre(HasSubstr("cannot be told")));
    }
    restore();
  }
}

TEST_F(TamperHistoryTest, ObjectsOfAForkAreNoticed) {
  for (const std::string& name : names()) {
    for (const auto& [other, bytes] : fork().shelf) {
      // The number of an object is the same in both, what follows is random.
      if (name.substr(0, name.find('.')) != other.substr(0, other.find('.'))) continue;
      if (*bytes == stored(name)) continue;
      SCOPED_TRACE(fmt::format("{} holds {} of the fork", name, other));
      change(name, *bytes);
      if (segment::parse_commit_name(name)) {
        expect_right_and_named(name);
      } else {
        expect_right_or_told();
      }
      restore();
    }
  }
}

// Two forks with a checkpoint in the commit of the same number: it is signed in both, and so are all
// pages of its trees. Only what the newest commit says of its roots tells them apart.
TEST_F(TamperHistoryTest, CheckpointOfAForkIsNotTakenForOurs) {
  const Fork ours = make_fork(0x11, 1), other = make_fork(0x22, 1);
  const volume::CheckpointRef checkpoint = checkpoint_of(ours.shelf);
  ASSERT_GT(checkpoint.commit, ours.base);
  ASSERT_LT(checkpoint.commit, ours.newest);
  ASSERT_EQ(checkpoint_of(other.shelf).commit, checkpoint.commit);
  ASSERT_NE(checkpoint_of(other.shelf).roots_hash, checkpoint.roots_hash);
  now_ = ours.shelf;
  expect_content(ours.content, true);
  for (const auto& [name, bytes] : other.shelf) now_.try_emplace(name, bytes);
  const std::string name = segment::commit_name(checkpoint.commit);
  change(name, *other.shelf.at(name));
  ShelfStore store(now_);
  auto volume = volume::Volume::open(world_.env(), store, world_.disk_world().keys(), {});
  ASSERT_TRUE(volume);
  const auto disk = device::Disk::open(world_.env(), io::posix_file_io(), **volume,
                                       world_.reader_options(Trust::nothing));
  ASSERT_FALSE(disk) << "it is mounted";
  EXPECT_EQ(disk.error().code(), Code::kCorrupt);
  EXPECT_THAT(disk.error().message(), HasSubstr("is not the one that commit"));
}

TEST_F(TamperHistoryTest, ObjectsOfAnotherVolumeAreNoticed) {
  const TamperWorld other(1);
  ASSERT_NE(other.shelf().at("volume"), world_.shelf().at("volume"));
  for (const std::string& name : names()) {
    SCOPED_TRACE(name);
    // The one of the same name, else the first of its kind.
    const auto same = other.shelf().find(name);
    const auto found =
        same != other.shelf().end() ? same : other.shelf().lower_bound(kind_of(name));
    change(name, *found->second);
    expect_right_or_told();
    restore();
  }
  // More and more of it.
  for (const std::string_view kind : {"volume", "keys/", "commits/"}) {
    SCOPED_TRACE(kind);
    std::erase_if(now_, [&](const auto& object) { return object.first.starts_with(kind); });
    for (const auto& [name, bytes] : other.shelf())
      if (name.starts_with(kind)) now_[name] = bytes;
    const auto seen = world_.look(now_, Trust::nothing);
    if (kind != "commits/") {
      EXPECT_FALSE(seen.blocks);
    }
  }
}

}  // namespace
}  // namespace s3crate::test
