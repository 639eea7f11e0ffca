// SPDX-License-Identifier: GPL-3.0-or-later
// What is lost or damaged, in the store or in the journal, and what stays lost.
#include "tests/sim/scenario.h"
#include "volume/check.h"

namespace s3crate::sim {
namespace {

TEST(Scenario, BlocksOfALostSegmentFailAndNothingElse) {
  StackWorld w(7);
  w.run([&] {
    device::DiskOptions options = lazy_options();
    options.block_cache_bytes = 0;
    options.cache_file_bytes = 0;  // which would have them
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(0, pattern(8192, 1)));
    ASSERT_OK(mount.disk().sync());
    const std::vector<std::string> before = w.bucket().names();
    ASSERT_OK(mount.disk().write(40'960, pattern(8192, 2)));
    ASSERT_OK(mount.disk().sync());
    for (const std::string& name : before)
      if (is_segment(name)) w.bucket().lose(name);
    EXPECT_FALSE(mount.read(0, 4096));
    EXPECT_EQ(*mount.read(40'960, 8192), pattern(8192, 2));
    // A partial write over what is lost cannot be completed; it holds nothing else up.
    ASSERT_OK(mount.disk().write(100, pattern(100, 3)));
    ASSERT_OK(mount.disk().write(40'970, pattern(100, 4)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_FALSE(mount.read(0, 4096));
    EXPECT_EQ(*mount.read(40'970, 100), pattern(100, 4));
    ASSERT_OK(mount.disk().write(0, pattern(8192, 5)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(*mount.read(0, 8192), pattern(8192, 5));
    ASSERT_OK(mount.close());
  });
}

// Stack seed 1008: the partial write was dropped for a bit that flipped on the way.
TEST(Scenario, DamageOnTheWayDropsNoPartialWrite) {
  StackWorld w(8);
  w.run([&] {
    Bytes model = pattern(4096, 1);
    device::DiskOptions options = lazy_options();
    options.block_cache_bytes = options.cache_file_bytes = 0;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(0, model));
    ASSERT_OK(mount.disk().sync());
    int damaged = 0;
    mount.hooks.before = [&](store::Verb verb, const std::string&) -> Result<> {
      const bool flip = verb == store::Verb::get_range && damaged < 3;
      damaged += flip;
      w.bucket().faults.bit_flip_per_million = flip ? 1'000'000 : 0;
      return {};
    };
    ASSERT_OK(mount.disk().write(1000, pattern(100, 2)));
    std::ranges::copy(pattern(100, 2), model.begin() + 1000);
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(damaged, 3);
    EXPECT_EQ(*mount.read(0, 4096), model);
    ASSERT_OK(mount.close());
  });
}

// It is the newest when the process ends.
TEST(Scenario, GenerationWhoseOnlyBlockIsLostMounts) {
  StackWorld w(9);
  w.run([&] {
    SimDisk& machine = w.world.disk();
    device::DiskOptions options = lazy_options();
    options.block_cache_bytes = 0;
    options.cache_file_bytes = 0;
    {
      Mount mount(w, machine, options);
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(mount.disk().sync());
      for (const std::string& name : w.bucket().names())
        if (is_segment(name)) w.bucket().lose(name);
      ASSERT_OK(mount.disk().write(1000, pattern(100, 2)));
      ASSERT_OK(mount.disk().sync());
      mount.kill();
    }
    Mount mount(w, machine, options);
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(8192, pattern(4096, 3)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(*mount.read(8192, 4096), pattern(4096, 3));
    EXPECT_CODE(Code::kLost, mount.read(0, 4096));
    ASSERT_OK(mount.close());
  });
}

// Stack seed 6368: the write to a part of the block was acknowledged, and forgotten with it; then the
// object was there again, and the block showed what it held before.
TEST(Scenario, BlockThatWasLostStaysLostWhenItsOldContentTurnsUp) {
  StackWorld w(10);
  w.run([&] {
    device::DiskOptions options = lazy_options();
    options.block_cache_bytes = 0;
    options.cache_file_bytes = 0;
    std::string name;
    SimBucket::Data data;
    {
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(0, pattern(8192, 1)));
      ASSERT_OK(mount.disk().sync());
      for (const std::string& object : w.bucket().names())
        if (is_segment(object)) name = object;
      data = w.bucket().peek(name);
      w.bucket().lose(name);
      ASSERT_OK(mount.disk().write(1000, pattern(100, 2)));
      ASSERT_OK(mount.disk().sync());
      w.bucket().replace(name, *data);
      EXPECT_CODE(Code::kLost, mount.read(0, 4096));
      EXPECT_TRUE(equal(*mount.read(4096, 4096), ByteView(pattern(8192, 1)).subspan(4096)));
      ASSERT_OK(mount.close());
    }
    // Another machine knows it as well, after a checkpoint too.
    options.state_dir = "/state of another";
    options.checkpoint_commits = 1;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    EXPECT_CODE(Code::kLost, mount.read(0, 4096));
    ASSERT_OK(mount.disk().write(16'384, pattern(4096, 3)));
    ASSERT_OK(mount.disk().sync());
    wait_until(w, [&] { return mount.disk().stats().checkpoints > 0; });
    EXPECT_CODE(Code::kLost, mount.read(0, 4096));
    ASSERT_OK(mount.disk().write(0, pattern(4096, 4)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 4));
    ASSERT_OK(mount.close());
  });
}

// Whether it can be had was found out once: a store is asked for a minute before a block is given up.
TEST(Scenario, BlockThatIsLostHoldsUpNoUploadAndCostsNothingOnceItIsWhole) {
  StackWorld w(12);
  w.run([&] {
    device::DiskOptions options = lazy_options();
    options.block_cache_bytes = 0;
    options.cache_file_bytes = 0;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(0, pattern(8192, 1)));
    ASSERT_OK(mount.disk().sync());
    std::string lost;
    SimBucket::Data data;
    for (const std::string& name : w.bucket().names())
      if (is_segment(name)) lost = name;
    data = w.bucket().peek(lost);
    w.bucket().lose(lost);
    const auto sync_takes = [&] {
      const auto begin = w.world.executor().monotonic_now();
      EXPECT_OK(mount.disk().sync());
      return w.world.executor().monotonic_now() - begin;
    };
    ASSERT_OK(mount.disk().write(1000, pattern(100, 2)));
    EXPECT_GT(sync_takes(), 30s);
    for (std::uint64_t i = 0; i < 3; ++i) {
      ASSERT_OK(mount.disk().write(2000 + i, pattern(100, i)));
      EXPECT_LT(sync_takes(), 1s);
    }
    w.bucket().replace(lost, *data);
    auto volume = w.open_volume(mount.env(), mount.store());
    ASSERT_OK(volume);
    volume::CheckOptions check;
    check.read_data = true;
    auto report = volume::check(mount.env(), **volume, check);
    ASSERT_OK(report);
    ASSERT_EQ(report->damages.size(), 1u);
    EXPECT_NE(report->damages[0].what.find("are lost"), std::string::npos) << report->damages[0].what;
    EXPECT_EQ(report->damaged_ranges(), (std::vector<volume::ByteRange>{{0, 4096}}));
    ASSERT_OK(mount.disk().write(0, pattern(4096, 3)));
    ASSERT_OK(mount.disk().sync());
    report = volume::check(mount.env(), **volume, check);
    ASSERT_OK(report);
    EXPECT_TRUE(report->clean());
    ASSERT_OK(mount.close());
  });
}

// Stack seed 20261367: a power cut took the last but one batch of the journal. A mount in store mode
// ended there, and gave its number to another batch; the next mount began behind that one, and played
// back the last batch, which never was.
TEST(Scenario, WhatReplayDidNotReachIsNotPlayedBackAfterAMountInStoreMode) {
  StackWorld w(11);
  w.run([&] {
    device::DiskOptions options = lazy_options();
    options.batch_delay = 1ms;
    options.journal_bytes *= 4;  // so that nothing is synced unasked
    const std::string path = fmt::format("{}/{}/journal", options.state_dir, to_hex(w.vid));
    {
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(mount.disk().flush());
      const auto journal = w.world.disk().find(path);
      ASSERT_OK(journal);
      FileBytes& file = (*journal)->cached;
      // Each becomes a batch, in the page cache alone; the first fills its slot.
      auto write = [&](std::uint64_t block, std::size_t size) {
        const FileBytes before = file;
        ASSERT_OK(mount.disk().write(block * 4096, pattern(size, block)));
        wait_until(w, [&] { return file != before; });
      };
      const Bytes before = file.all();
      write(2, 16 << 10);
      const Bytes between = file.all();
      write(6, 4096);
      mount.kill();
      Bytes after = file.all();
      for (std::size_t i = 0; i < between.size(); ++i)
        if (i >= before.size() || between[i] != before[i]) after[i] = 0;
      file = FileBytes(after);
    }
    {
      device::DiskOptions in_store = options;
      in_store.durability = device::Durability::store;
      Mount mount(w, w.world.disk(), in_store);
      ASSERT_OK(mount.open());
      EXPECT_EQ(*mount.read(2 * 4096, 20 << 10), Bytes(20 << 10));
      ASSERT_OK(mount.disk().write(7 * 4096, pattern(4096, 7)));
      ASSERT_OK(mount.disk().flush());
      mount.kill();
    }
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 1));
    EXPECT_EQ(*mount.read(2 * 4096, 20 << 10), Bytes(20 << 10));
    EXPECT_EQ(*mount.read(7 * 4096, 4096), pattern(4096, 7));
    ASSERT_OK(mount.close());
  });
}

void expect_content(Mount& mount, std::uint64_t at, ByteView content) {
  const auto read = mount.read(at, content.size());
  ASSERT_OK(read);
  EXPECT_TRUE(equal(*read, content)) << "at " << at;
}

// What was flushed is in the journal alone, and cannot be read from there, or whatever `faults` say, for so long.
void upload_from_a_disk_with(DiskFaults faults, Duration duration, const std::function<void(StackWorld&, Mount&)>& then) {
  StackWorld w(13);
  w.run([&] {
    device::DiskOptions options = lazy_options();
    options.block_cache_bytes = 0;
    options.cache_file_bytes = 0;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(0, pattern(8192, 1)));
    ASSERT_OK(mount.disk().sync());
    ASSERT_OK(mount.disk().write(0, pattern(4096, 2)));
    ASSERT_OK(mount.disk().write(16'384, pattern(4096, 3)));
    ASSERT_OK(mount.disk().flush());
    const auto usual = std::exchange(w.world.disk().faults, faults);
    Result<Generation> synced;
    auto task = w.world.executor().spawn("sync", [&] { synced = mount.disk().sync(); });
    w.sleep(duration);
    EXPECT_FALSE(mount.read(0, 4096));
    w.world.disk().faults = usual;
    task.reset();
    EXPECT_OK(synced);
    then(w, mount);
    ASSERT_OK(mount.close());
  });
}

// It may be a cable. Given up after a minute, all that was flushed to that disk would have been lost, though the disk had it.
TEST(Scenario, LocalDiskThatIsAwayForAnHourCostsTimeOnly) {
  for (const bool reads_only : {false, true}) {
    SCOPED_TRACE(reads_only);
    DiskFaults away;
    away.read_error_per_million = 1'000'000;
    away.read_only = reads_only;
    if (!reads_only) away.write_error_per_million = away.sync_error_per_million = 1'000'000;
    upload_from_a_disk_with(away, 1h, [](StackWorld&, Mount& mount) {
      expect_content(mount, 0, pattern(4096, 2));
      expect_content(mount, 4096, ByteView(pattern(8192, 1)).subspan(4096));
      expect_content(mount, 16'384, pattern(4096, 3));
    });
  }
}

// A disk that works but for that is one with bad sectors: they cost what was in them. It never reads as what was there before.
TEST(Scenario, WhatAWorkingDiskCannotReadOfTheJournalIsLostAndNothingElse) {
  DiskFaults bad;
  bad.read_error_per_million = 1'000'000;
  upload_from_a_disk_with(bad, 59s, [](StackWorld&, Mount& mount) {
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 2)) << "within a minute nothing is given up";
  });
  upload_from_a_disk_with(bad, 5min, [](StackWorld& w, Mount& mount) {
    EXPECT_CODE(Code::kCorrupt, mount.read(0, 4096));
    EXPECT_TRUE(equal(*mount.read(4096, 4096), ByteView(pattern(8192, 1)).subspan(4096)));
    EXPECT_CODE(Code::kCorrupt, mount.read(16'384, 4096));
    ASSERT_OK(mount.disk().write(0, pattern(4096, 4)));
    ASSERT_OK(mount.disk().sync());
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 4));
    auto volume = w.open_volume(mount.env(), mount.store());
    ASSERT_OK(volume);
    volume::CheckOptions check;
    check.read_data = true;
    auto report = volume::check(mount.env(), **volume, check);
    ASSERT_OK(report);
    EXPECT_EQ(report->damaged_ranges(), (std::vector<volume::ByteRange>{{16'384, 4096}}));
  });
}

}  // namespace
}  // namespace s3crate::sim
