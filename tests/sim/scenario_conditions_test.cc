// SPDX-License-Identifier: GPL-3.0-or-later
// Stores that do not enforce conditions, or forget them after the volume was made: who would write
// is refused before he has done anything, unless the volume is for a single writer.
#include "segment/object_names.h"
#include "tests/sim/scenario.h"

namespace s3crate::sim {
namespace {

void expect_unfit(Mount& mount) {
  const Result<> opened = mount.open();
  ASSERT_TRUE(is(opened, Code::kDenied)) << (opened ? "it succeeded" : opened.error().message());
  EXPECT_NE(opened.error().message().find("does not refuse to overwrite an object"),
            std::string::npos);
  EXPECT_NE(opened.error().message().find("--single-writer"), std::string::npos);
}

TEST(Conditions, WithoutThemAMountLeavesNothingOpen) {
  StackWorld w(1);
  SimDisk& other = w.world.add_disk();
  w.run([&] {
    const std::vector<std::string> names = w.bucket().names();
    w.bucket().faults.put_if_absent = false;
    for (SimDisk* machine : {&w.world.disk(), &w.world.disk(), &other}) {
      Mount mount(w, *machine, lazy_options());
      expect_unfit(mount);
      EXPECT_EQ(w.bucket().names(), names);
    }
    w.bucket().faults.put_if_absent = true;
    Mount mount(w, other, lazy_options());
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.close());
  });
}

TEST(Conditions, WithoutThemATakeOverReplacesNoCommit) {
  StackWorld w(2);
  SimDisk& other = w.world.add_disk();
  w.run([&] {
    Mount writer(w, w.world.disk(), lazy_options());
    ASSERT_OK(writer.open());
    ASSERT_OK(writer.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(writer.disk().sync());
    w.bucket().faults.put_if_absent = false;  // somebody turned on versions
    device::DiskOptions options = lazy_options();
    options.take_over = true;
    {
      Mount second(w, other, options);
      // When it has seen the head, the writer commits once more.
      bool more = false;
      second.hooks.before = [&](store::Verb verb, const std::string&) -> Result<> {
        if (verb != store::Verb::put || std::exchange(more, true)) return {};
        TRY(writer.disk().write(4096, pattern(4096, 2)));
        TRY(writer.disk().sync());
        return {};
      };
      expect_unfit(second);
      EXPECT_TRUE(more);
    }
    w.bucket().faults.put_if_absent = true;
    ASSERT_OK(writer.close());
    Mount then(w, other, lazy_options());
    ASSERT_OK(then.open());
    EXPECT_EQ(*then.read(0, 4096), pattern(4096, 1));
    EXPECT_EQ(*then.read(4096, 4096), pattern(4096, 2));
  });
}

// A store may enforce them for what it has had for long, and not for what it has just got.
TEST(Conditions, AreProvenForAFreshNameToo) {
  StackWorld w(3);
  w.run([&] {
    Mount mount(w, w.world.disk(), lazy_options());
    mount.hooks.after = [&](store::Verb verb, const std::string& name) -> Result<> {
      if (verb == store::Verb::put && name == segment::kVolumeName)
        w.bucket().faults.put_if_absent = false;
      return {};
    };
    expect_unfit(mount);
  });
}

TEST(Conditions, SingleWriterNeedsNone) {
  StackWorld w(4, {.single_writer = true});
  SimDisk& other = w.world.add_disk();
  w.run([&] {
    w.bucket().faults.put_if_absent = false;
    {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
      ASSERT_OK(mount.disk().flush());
      Mount elsewhere(w, other, lazy_options());
      EXPECT_CODE(Code::kFenced, elsewhere.open());
      mount.kill();
    }
    {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 1));
      ASSERT_OK(mount.close());
    }
    Mount then(w, other, lazy_options());
    ASSERT_OK(then.open());
    EXPECT_EQ(*then.read(0, 4096), pattern(4096, 1));
    ASSERT_OK(then.close());
    EXPECT_TRUE(w.was_written_once());
  });
}

}  // namespace
}  // namespace s3crate::sim
