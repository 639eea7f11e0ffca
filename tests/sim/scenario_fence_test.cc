// SPDX-License-Identifier: GPL-3.0-or-later
// Named scenarios of several writers, copies, and commits whose outcome is not what it seems.
#include "segment/object_names.h"
#include "journal/format.h"
#include "tests/sim/scenario.h"
#include "tests/support/sanitized.h"

namespace s3crate::sim {
namespace {

device::DiskOptions taking_over(device::DiskOptions options = lazy_options()) {
  options.take_over = true;
  return options;
}

// A process dies with pattern(4096, 1) at 0 flushed to its journal, and not in the store.
void leave_a_flushed_write(StackWorld& w) {
  Mount mount(w, w.world.disk(), lazy_options());
  ASSERT_OK(mount.open());
  ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
  ASSERT_OK(mount.disk().flush());
  mount.kill();
}

TEST(Fencing, SecondOpenerIsRefusedWhileTheFirstRuns) {
  StackWorld w(1);
  SimDisk& other = w.world.add_disk();
  w.run([&] {
    Mount first(w, w.world.disk(), lazy_options());
    ASSERT_OK(first.open());
    ASSERT_OK(first.disk().write(0, pattern(4096, 1)));
    const std::uint64_t objects = w.bucket().names().size();
    {
      Mount elsewhere(w, other, lazy_options());
      EXPECT_CODE(Code::kFenced, elsewhere.open());
    }
    {
      Mount beside(w, w.world.disk(), taking_over());  // the same state directory
      EXPECT_CODE(Code::kFenced, beside.open());
    }
    EXPECT_EQ(w.bucket().names().size(), objects);
    {
      device::DiskOptions options = lazy_options();
      options.read_only = true;
      Mount reader(w, other, options);
      EXPECT_OK(reader.open());
    }
    ASSERT_OK(first.disk().sync());
    ASSERT_OK(first.close());
    Mount then(w, other, lazy_options());
    ASSERT_OK(then.open());
    EXPECT_EQ(*then.read(0, 4096), pattern(4096, 1));
  });
}

TEST(Fencing, TakeOverEndsTheWritesOfTheOldWriterButNotItsReads) {
  StackWorld w(2);
  SimDisk& other = w.world.add_disk();
  w.run([&] {
    Mount old(w, w.world.disk(), lazy_options());
    ASSERT_OK(old.open());
    ASSERT_OK(old.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(old.disk().sync());
    ASSERT_OK(old.disk().write(0, pattern(4096, 2)));
    ASSERT_OK(old.disk().flush());
    {
      Mount fresh(w, other, taking_over());
      ASSERT_OK(fresh.open());
      EXPECT_EQ(*fresh.read(0, 4096), pattern(4096, 1));
      ASSERT_OK(fresh.disk().write(4096, pattern(4096, 3)));
      ASSERT_OK(fresh.disk().sync());
      EXPECT_CODE(Code::kFenced, old.disk().sync());
      EXPECT_CODE(Code::kFenced, old.disk().write(8192, pattern(4096, 4)));
      EXPECT_CODE(Code::kFenced, old.disk().discard(8192, 4096));
      EXPECT_CODE(Code::kFenced, old.disk().flush());
      EXPECT_EQ(old.disk().stats().health, "fenced");
      EXPECT_EQ(*old.read(0, 4096), pattern(4096, 2));
      EXPECT_CODE(Code::kFenced, old.close());
      EXPECT_EQ(*fresh.read(0, 4096), pattern(4096, 1));
      ASSERT_OK(fresh.close());
    }
    // What it flushed and could not send is still in its journal, which no mount drops.
    Mount again(w, w.world.disk(), lazy_options());
    EXPECT_CODE(Code::kFenced, again.open());
    EXPECT_TRUE(w.was_written_once());
  });
}

TEST(Fencing, OfTwoMountsAtOnceOneWins) {
  int wins[2] = {};
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    StackWorld w(seed);
    SimDisk& other = w.world.add_disk();
    w.run([&] {
      Mount a(w, w.world.disk(), lazy_options());
      Mount b(w, other, lazy_options());
      Result<> opened[2];
      {
        auto first = w.world.executor().spawn("a", [&] { opened[0] = a.open(); });
        auto second = w.world.executor().spawn("b", [&] { opened[1] = b.open(); });
      }
      ASSERT_TRUE(opened[0].has_value() != opened[1].has_value());
      const int winner = opened[0] ? 0 : 1;
      ++wins[winner];
      EXPECT_CODE(Code::kFenced, opened[1 - winner]);
      Mount& mount = winner == 0 ? a : b;
      ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(mount.close());
    });
  }
  EXPECT_GT(wins[0], 0);
  EXPECT_GT(wins[1], 0);
}

// Neither takes the other's fresh journal for the old one, and away: what the winner flushes is there after its end.
TEST(Fencing, OfTwoMountsAtOnceBesideAnOldJournalOneKeepsItsOwn) {
  for (std::uint64_t seed = 1; seed <= (test::kSanitized ? 50 : 200); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    StackWorld w(seed);
    SimDisk& other = w.world.add_disk();
    w.run([&] {
      for (SimDisk* disk : {&w.world.disk(), &other}) {
        Mount mount(w, *disk, lazy_options());
        ASSERT_OK(mount.open());
        ASSERT_OK(mount.close());
      }
      {
        Mount a(w, w.world.disk(), lazy_options());
        Mount b(w, w.world.disk(), lazy_options());
        Result<> opened[2];
        {
          auto first = w.world.executor().spawn("a", [&] { opened[0] = a.open(); });
          auto second = w.world.executor().spawn("b", [&] { opened[1] = b.open(); });
        }
        ASSERT_TRUE(opened[0].has_value() != opened[1].has_value());
        EXPECT_CODE(Code::kFenced, opened[opened[0] ? 1 : 0]);
        Mount& winner = opened[0] ? a : b;
        ASSERT_OK(winner.disk().write(0, pattern(4096, 1)));
        ASSERT_OK(winner.disk().flush());
        winner.kill();
      }
      Mount again(w, w.world.disk(), lazy_options());
      ASSERT_OK(again.open());
      EXPECT_EQ(*again.read(0, 4096), pattern(4096, 1));
    });
  }
}

TEST(Fencing, ReadOnlyMountBesideABusyWriterIsNoRollback) {
  StackWorld w(34);
  w.run([&] {
    Mount writer(w, w.world.disk(), lazy_options());
    ASSERT_OK(writer.open());
    ASSERT_OK(writer.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(writer.disk().sync());
    device::DiskOptions options = lazy_options();
    options.read_only = true;
    Mount reader(w, w.world.disk(), options);
    bool once = true;
    reader.hooks.after = [&](store::Verb verb, const std::string& name) -> Result<> {
      if (verb == store::Verb::list && is_commit(name) && std::exchange(once, false)) {
        EXPECT_OK(writer.disk().write(0, pattern(4096, 2)));
        EXPECT_OK(writer.disk().sync());
      }
      return {};
    };
    EXPECT_OK(reader.open());
    EXPECT_FALSE(once);
  });
}

TEST(Fencing, CommitWhoseReplyWasLostIsRecognisedAsOurOwn) {
  StackWorld w(3);
  w.run([&] {
    Mount mount(w, w.world.disk(), lazy_options());
    ASSERT_OK(mount.open());
    const Generation before = mount.disk().stats().generation;
    int lost = 0;
    mount.hooks.after = [&](store::Verb verb, const std::string& name) -> Result<> {
      if (verb == store::Verb::put && is_commit(name) && lost++ < 3) return fail(Code::kTransient, "the reply was lost");
      return {};
    };
    ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(mount.disk().stats().generation, before.next());
    EXPECT_GE(lost, 3);
    ASSERT_OK(mount.disk().write(0, pattern(4096, 2)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(mount.disk().stats().generation, before.next().next());
    ASSERT_OK(mount.close());
  });
}

// The last commit of a process that died is still under way while the next one opens.
TEST(Fencing, OwnCommitThatLandsAfterACrashIsTakenIn) {
  std::uint64_t between = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    StackWorld w(seed);
    w.run([&] {
      w.bucket().faults.latency_max = 2ms;
      const Bytes first = pattern(10'000, 1);
      Generation head;
      {
        Mount mount(w, w.world.disk(), lazy_options());
        ASSERT_OK(mount.open());
        head = mount.disk().stats().generation;
        ASSERT_OK(mount.disk().write(0, first));
        ASSERT_OK(mount.disk().flush());
        mount.hooks.before = [&](store::Verb verb, const std::string& name) -> Result<> {
          if (verb == store::Verb::put && is_commit(name)) {
            w.bucket().faults.late_per_million = 1'000'000;
            w.bucket().faults.late_max = 30ms;
          }
          return {};
        };
        mount.hooks.after = [&](store::Verb verb, const std::string& name) -> Result<> {
          if (verb == store::Verb::put && is_commit(name)) mount.kill();
          return {};
        };
        EXPECT_FALSE(mount.disk().sync());
      }
      w.bucket().faults.late_per_million = 0;
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      w.bucket().settle_all();
      auto volume = w.open_volume(mount.env(), mount.store());
      ASSERT_OK(volume);
      ASSERT_OK((*volume)->load_head());
      auto next = (*volume)->load_commit(head.next());
      ASSERT_OK(next);
      between += next->body.kind == volume::CommitKind::data;
      EXPECT_EQ(*mount.read(0, 10'000), first);
      ASSERT_OK(mount.disk().write(5000, pattern(10'000, 2)));
      ASSERT_OK(mount.close());
      device::DiskOptions options = lazy_options();
      options.state_dir = "/new";
      Mount again(w, w.world.disk(), options);
      ASSERT_OK(again.open());
      EXPECT_TRUE(equal(*again.read(0, 5000), ByteView(first).first(5000)));
      EXPECT_EQ(*again.read(5000, 10'000), pattern(10'000, 2));
    });
  }
  EXPECT_GT(between, 5u) << "it never landed in time";
  EXPECT_LT(between, 60u) << "it never came late";
}

// Puts a tag commit of another party under the next number.
Result<Generation> put_guest(StackWorld& w, Mount& mount) {
  auto volume = TRY(w.open_volume(mount.env(), mount.store()));
  volume::Commit head = TRY(volume->load_head());
  auto keys = volume->keys();
  volume::Commit guest;
  guest.header = {.vid = w.vid, .generation = head.header.generation.next(), .parent = head.hash,
                  .keys_generation = volume::keys_after(head), .ring = keys->ring(), .writer = keys->writer()};
  guest.body = head.body;
  guest.body.kind = volume::CommitKind::tag;
  guest.body.delta_base = volume::newest_change(head);
  guest.body.runs.clear();
  guest.body.objects.clear();
  guest.body.roots.clear();
  guest.body.pending.reset();
  guest.body.tags = {{"nightly", head.header.generation}};
  Bytes bytes = TRY(volume::seal_commit(guest, keys->commit_sealing_key(), *keys->signer(), mount.env().random));
  TRY(mount.store().put(segment::commit_name(guest.header.generation), bytes));
  return guest.header.generation;
}

TEST(Fencing, GuestBetweenTwoDataCommitsIsReparented) {
  StackWorld w(4);
  w.run([&] {
    Generation guest;
    {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(mount.disk().sync());
      auto put = put_guest(w, mount);
      ASSERT_OK(put);
      guest = *put;
      ASSERT_OK(mount.disk().write(4096, pattern(4096, 2)));
      auto synced = mount.disk().sync();
      ASSERT_OK(synced);
      EXPECT_EQ(*synced, guest.next());
      ASSERT_OK(put_guest(w, mount));
      mount.kill();
    }
    Mount mount(w, w.world.disk(), lazy_options());
    ASSERT_OK(mount.open());
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 1));
    EXPECT_EQ(*mount.read(4096, 4096), pattern(4096, 2));
    auto old = w.read_generation(mount.env(), mount.store(), guest);
    ASSERT_OK(old);
    EXPECT_TRUE(all_zero(ByteView(*old).subspan(4096, 4096)));
    ASSERT_OK(mount.close());
  });
}

TEST(Fencing, WriterThatSleptGoesOn) {
  StackWorld w(5);
  w.run([&] {
    Mount mount(w, w.world.disk(), lazy_options());
    ASSERT_OK(mount.open());
    ASSERT_OK(put_guest(w, mount));
    w.world.executor().suspend(48h);
    const std::uint64_t lists = mount.requests()[store::Verb::list].calls;
    ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(mount.requests()[store::Verb::list].calls, lists + 1);
    ASSERT_OK(mount.disk().write(0, pattern(4096, 2)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(mount.requests()[store::Verb::list].calls, lists + 1) << "it looks again though it was not away";
    ASSERT_OK(mount.close());
  });
}

// The names after the fenced writer's last commit may be free again once what followed was pruned.
TEST(Fencing, WriterThatSleptAcknowledgesNothingAfterATakeOver) {
  StackWorld w(6);
  SimDisk& other = w.world.add_disk();
  w.run([&] {
    device::DiskOptions options = lazy_options();
    options.durability = device::Durability::store;
    Mount old(w, w.world.disk(), options);
    ASSERT_OK(old.open());
    ASSERT_OK(old.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(old.disk().flush());
    const Generation last = old.disk().stats().generation;
    {
      Mount fresh(w, other, taking_over());
      ASSERT_OK(fresh.open());
      for (std::uint64_t i = 0; i < 5; ++i) {
        ASSERT_OK(fresh.disk().write(i * 4096, pattern(4096, 10 + i)));
        ASSERT_OK(fresh.disk().sync());
      }
      ASSERT_OK(fresh.close());
    }
    w.world.executor().suspend(48h);
    ASSERT_OK(old.disk().write(0, pattern(4096, 2)));
    EXPECT_CODE(Code::kFenced, old.disk().flush());
    EXPECT_EQ(old.disk().stats().generation, last);
  });
}

TEST(Fencing, CopyOfTheStoreIsNotWrittenToBesideAWaitingJournal) {
  StackWorld w(7);
  w.run([&] {
    leave_a_flushed_write(w);
    const std::string path = fmt::format("/state/{}/journal", to_hex(w.vid));
    auto journal = w.world.disk().find(path);
    ASSERT_OK(journal);
    const FileBytes before = (*journal)->cached;
    const std::uint64_t objects = w.bucket().names().size();
    device::DiskOptions copy = lazy_options();
    copy.home = {"simulated", "/copy"};
    copy.url = "sim:///copy";
    {
      Mount mount(w, w.world.disk(), copy);
      EXPECT_CODE(Code::kBadArgument, mount.open());
    }
    {
      device::DiskOptions options = taking_over(copy);
      Mount mount(w, w.world.disk(), options);
      EXPECT_CODE(Code::kBadArgument, mount.open());
    }
    {
      device::DiskOptions options = copy;
      options.read_only = true;
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      EXPECT_TRUE(all_zero(*mount.read(0, 4096)));
    }
    EXPECT_TRUE((*journal)->cached == before) << "the journal was touched";
    EXPECT_EQ(w.bucket().names().size(), objects);
    copy.moved = true;
    Mount mount(w, w.world.disk(), copy);
    ASSERT_OK(mount.open());
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 1));
    ASSERT_OK(mount.close());
  });
}

// Its writes may be all that is left of what was acknowledged, readable or not.
TEST(Fencing, ForeignJournalWithAnUnreadableSlotIsNotTakenForEmpty) {
  StackWorld w(9);
  w.run([&] {
    leave_a_flushed_write(w);
    {
      Mount other(w, w.world.add_disk(), taking_over());
      ASSERT_OK(other.open());
      ASSERT_OK(other.close());
    }
    const std::string path = fmt::format("/state/{}/journal", to_hex(w.vid));
    auto journal = w.world.disk().find(path);
    ASSERT_OK(journal);
    (*journal)->cached.flip(journal::kSlotsOffset + 20, 1);  // the header of the first slot
    const FileBytes before = (*journal)->cached;
    Mount mount(w, w.world.disk(), lazy_options());
    EXPECT_CODE(Code::kFenced, mount.open());
    EXPECT_TRUE((*journal)->cached == before) << "the journal was touched";
  });
}

TEST(Fencing, ReaderNoticesARollback) {
  StackWorld w(10);
  w.run([&] {
    std::vector<std::string> newer;
    {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(mount.disk().sync());
      newer = w.bucket().names();
      ASSERT_OK(mount.disk().write(0, pattern(4096, 2)));
      ASSERT_OK(mount.close());
    }
    for (const std::string& name : w.bucket().names())
      if (is_commit(name) && std::ranges::find(newer, name) == newer.end()) w.bucket().lose(name);
    device::DiskOptions options = lazy_options();
    options.read_only = true;
    {
      Mount mount(w, w.world.disk(), options);
      EXPECT_CODE(Code::kCorrupt, mount.open());
    }
    options.accept_rollback = true;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 1));
  });
}

}  // namespace
}  // namespace s3crate::sim
