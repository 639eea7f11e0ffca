// SPDX-License-Identifier: GPL-3.0-or-later
// A machine's image that is started twice: both copies have the state directory, with the same inodes,
// and the same journal. Which of them made the newest commits only the journals' own notes tell.
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
      EXPECT_CODE(closes ? Code::kBadArgument : Code::kFenced, a.open());
    }
    device::DiskOptions insists = options;
    insists.take_over = true;
    {
      Mount a(w, one, insists);
      const auto opened = a.open();
      EXPECT_CODE(Code::kBadArgument, opened);
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

}  // namespace
}  // namespace s3crate::sim
