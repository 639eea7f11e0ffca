// SPDX-License-Identifier: GPL-3.0-or-later
// A machine's image that is started twice: both copies have the state directory, with the same inodes,
// and the same journal. Which of them made the newest commits only the journals' own notes tell.
#include "device/journal_save.h"
#include "tests/sim/scenario.h"

namespace s3crate::sim {
namespace {

// What was flushed on the first machine is either there or refused by name; never a part of it.
void start_image_twice(bool closes) {
  StackWorld w(5);
  w.run([&] {
    const device::DiskOptions options = lazy_options();
    SimDisk& one = w.world.disk();
    SimDisk& two = w.world.add_disk();
    {
      Mount a(w, one, options);
      ASSERT_OK(a.open());
      ASSERT_OK(a.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(a.disk().flush());
      two.restore(one.image());
      for (std::uint64_t i = 10; i < 14; ++i) {
        ASSERT_OK(a.disk().write(i * 4096, pattern(4096, i)));
        ASSERT_OK(a.disk().flush());
      }
      ++w.boot;
      {
        // As after a crash of the machine: nothing tells that the other one goes on.
        Mount b(w, two, options);
        ASSERT_OK(b.open());
        EXPECT_EQ(*b.read(0, 4096), pattern(4096, 1));
        for (std::uint64_t i = 20; i < 23; ++i) {
          ASSERT_OK(b.disk().write(i * 4096, pattern(4096, i)));
          ASSERT_OK(b.disk().sync());
        }
        if (closes) ASSERT_OK(b.close());
        else b.kill();
      }
      EXPECT_CODE(Code::kFenced, a.disk().sync());
    }
    ++w.boot;
    {
      Mount a(w, one, options);
      EXPECT_CODE(Code::kFenced, a.open());
    }
    device::DiskOptions insists = options;
    insists.take_over = true;
    {
      Mount a(w, one, insists);
      const auto opened = a.open();
      EXPECT_CODE(Code::kFenced, opened);
      if (!opened) {
        EXPECT_NE(opened.error().message().find("never reached the volume"), std::string::npos);
      }
    }
    // The other one is as it was.
    Mount b(w, two, options);
    ASSERT_OK(b.open());
    EXPECT_EQ(*b.read(0, 4096), pattern(4096, 1));
    EXPECT_EQ(*b.read(10 * 4096, 4 * 4096), Bytes(4 * 4096));
    for (std::uint64_t i = 20; i < 23; ++i) EXPECT_EQ(*b.read(i * 4096, 4096), pattern(4096, i));
    ASSERT_OK(b.close());
  });
}

TEST(ImageStartedTwice, WritesOfBothAreNeverMixed) { start_image_twice(false); }
TEST(ImageStartedTwice, WritesOfBothAreNeverMixedThoughOneHasClosed) { start_image_twice(true); }

// A mount that dies while its `open` is on the way, one that dies before it sends its own, and then the
// first one's lands: it is ours nevertheless.
TEST(ImageStartedTwice, OpenOfOursThatLandsLateIsOurs) {
  std::uint64_t landed = 0;
  for (std::uint64_t seed = 1; seed <= 120 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    StackWorld w(seed);
    w.run([&] {
      const device::DiskOptions options = lazy_options();
      {
        Mount mount(w, w.world.disk(), options);
        ASSERT_OK(mount.open());
        ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
        ASSERT_OK(mount.disk().flush());
        mount.kill();
      }
      const auto count = [&] { return std::ranges::count_if(w.bucket().names(), is_commit); };
      const auto before = count();
      w.bucket().faults.latency_max = 1s;
      {
        Mount mount(w, w.world.disk(), options);
        std::unique_ptr<Task> killer;
        mount.hooks.before = [&](store::Verb verb, const std::string& name) -> Result<> {
          if (verb == store::Verb::put && is_commit(name) && !killer)
            killer = w.world.executor().spawn("killer", [&] { mount.kill(); });
          return {};
        };
        EXPECT_FALSE(mount.open());
      }
      {
        Mount mount(w, w.world.disk(), options);
        mount.hooks.before = [&](store::Verb verb, const std::string& name) -> Result<> {
          if (verb == store::Verb::put && is_commit(name)) mount.kill();
          return {};
        };
        EXPECT_FALSE(mount.open());
      }
      w.bucket().faults = {};
      if (count() > before) return;  // it landed before the second mount
      w.bucket().settle_all();
      landed += count() > before;
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 1));
      ASSERT_OK(mount.close());
    });
  }
  EXPECT_GT(landed, 5u);
}

// A machine that goes on twice with its memory: two worlds of one seed are the same up to where their lines part. What is left is the
// bucket, which one of them has won, and the state directory of the other.
class MachineGoneOnTwice : public testing::Test {
 protected:
  using Line = std::function<void(StackWorld&, Mount&)>;

  StackImage go_on(const Line& line) {
    StackWorld w(6);
    w.run([&] {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(mount.disk().sync());
      common_ = mount.disk().stats().generation;
      ASSERT_OK(mount.disk().write(4096, pattern(4096, 2)));
      ASSERT_OK(mount.disk().flush());
      line(w, mount);
      mount.kill();
    });
    return w.image();
  }
  static Line writes(std::uint64_t first, std::uint64_t count, bool stored) {
    return [=](StackWorld&, Mount& mount) {
      for (std::uint64_t i = first; i < first + count; ++i) {
        ASSERT_OK(mount.disk().write(i * 4096, pattern(4096, i)));
        ASSERT_OK(mount.disk().flush());
      }
      if (stored) ASSERT_OK(mount.disk().sync());
    };
  }
  void in_world(const StackImage& machine, const StackImage& store, const std::function<void(StackWorld&)>& main) {
    StackImage image = machine;
    image.bucket = store.bucket;
    image.time = std::max(machine.time, store.time);
    ++image.boot;
    StackWorld w(7, {}, image);
    w.run([&] { main(w); });
  }
  void expect_winner(const StackImage& winner, const StackImage& store, std::uint64_t first, std::uint64_t count) {
    in_world(winner, store, [&](StackWorld& w) {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 1));
      EXPECT_EQ(*mount.read(4096, 4096), pattern(4096, 2));
      for (std::uint64_t i = first; i < first + count; ++i) EXPECT_EQ(*mount.read(i * 4096, 4096), pattern(4096, i));
      EXPECT_EQ(*mount.read(100 * 4096, 16 * 4096), Bytes(16 * 4096));
      ASSERT_OK(mount.close());
    });
  }
  // What it flushed is refused by name, and can be saved from where the lines part.
  void expect_refused(const StackImage& loser, const StackImage& winner) {
    in_world(loser, winner, [&](StackWorld& w) {
      device::DiskOptions options = lazy_options();
      {
        Mount mount(w, w.world.disk(), options);
        EXPECT_CODE(Code::kFenced, mount.open());
      }
      options.take_over = true;
      Mount mount(w, w.world.disk(), options);
      const auto opened = mount.open();
      EXPECT_CODE(Code::kFenced, opened);
      if (!opened) {
        EXPECT_NE(opened.error().message().find("never reached the volume"), std::string::npos) << opened.error().message();
      }
      expect_point(w, mount);
    });
  }
  void expect_point(StackWorld& w, Mount& mount) {
    journal::Options journal_options;
    journal_options.path = fmt::format("{}/{}/journal", lazy_options().state_dir, to_hex(w.vid));
    const auto journal = journal::Journal::open(mount.env(), mount.process().file_io(), journal_options);
    ASSERT_OK(journal);
    const auto volume = w.open_volume(mount.env(), mount.store());
    ASSERT_OK(volume);
    const auto head = (*volume)->load_head();
    ASSERT_OK(head);
    const auto point = device::journal_point(**volume, *head, (*journal)->superblock());
    ASSERT_OK(point);
    ASSERT_TRUE(*point);
    EXPECT_EQ((*point)->header.generation, common_);
  }

  Generation common_;
};

TEST_F(MachineGoneOnTwice, WhatTheLoserFlushedIsNeverMixedIntoTheOther) {
  const StackImage winner = go_on(writes(10, 3, true));
  expect_winner(winner, winner, 10, 3);
  // With fewer batches than were stored, as many, and more; and with what it has in common alone.
  for (const std::uint64_t count : {0, 1, 2, 3, 4, 9}) {
    SCOPED_TRACE(count);
    expect_refused(go_on(writes(100, count, false)), winner);
  }
}

// The loser hears of it: its own commit stands on the same one.
TEST_F(MachineGoneOnTwice, LoserIsFencedAndKeepsItsJournal) {
  const StackImage winner = go_on(writes(10, 3, true));
  const StackImage loser = go_on([&](StackWorld& w, Mount& mount) {
    writes(100, 2, false)(w, mount);
    w.bucket().restore(winner.bucket);
    EXPECT_CODE(Code::kFenced, mount.disk().sync());
  });
  expect_refused(loser, winner);
  expect_winner(winner, winner, 10, 3);
}

// Killed with a commit under way, which is stored or not.
TEST_F(MachineGoneOnTwice, WinnerThatDiesOverACommitFindsItsOwn) {
  for (const bool arrives : {false, true}) {
    SCOPED_TRACE(arrives);
    const StackImage winner = go_on([&](StackWorld& w, Mount& mount) {
      writes(10, 3, true)(w, mount);
      ASSERT_OK(mount.disk().write(13 * 4096, pattern(4096, 13)));
      ASSERT_OK(mount.disk().flush());
      (arrives ? mount.hooks.after : mount.hooks.before) = [&](store::Verb verb, const std::string& name) -> Result<> {
        if (verb == store::Verb::put && is_commit(name)) mount.kill();
        return {};
      };
      (void)mount.disk().sync();
      EXPECT_FALSE(mount.alive());
    });
    expect_winner(winner, winner, 10, 4);
  }
}

// The local disk takes no notes: what is stored then says so, and is found to be ours as ever.
TEST_F(MachineGoneOnTwice, CommitsThatCouldNotBeNotedAreOurs) {
  const StackImage winner = go_on([&](StackWorld& w, Mount& mount) {
    writes(10, 2, true)(w, mount);
    w.world.disk().faults.read_only = true;
    ASSERT_OK(mount.disk().write(12 * 4096, pattern(4096, 12)));
    ASSERT_OK(mount.disk().sync());
    w.world.disk().faults.read_only = false;
  });
  expect_winner(winner, winner, 10, 3);
}

}  // namespace
}  // namespace s3crate::sim
