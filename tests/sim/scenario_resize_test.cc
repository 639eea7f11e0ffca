// SPDX-License-Identifier: GPL-3.0-or-later
// Named scenarios of a disk that gets another size: crashes at every step, with somebody who writes meanwhile.
#include "tests/sim/scenario.h"
#include "tests/support/sanitized.h"

namespace s3crate::sim {
namespace {

using device::DiscardTail;

constexpr std::uint64_t kLarge = 512 << 10, kSmall = 256 << 10;

// Writes one version after the other to the first blocks of a disk, and flushes each.
struct Writer {
  static constexpr std::uint64_t kBlocks = 4;
  std::uint64_t tried[kBlocks] = {}, acknowledged[kBlocks] = {};

  void run(device::Disk& disk, const bool& done) {
    for (std::uint64_t n = 1; n < 40 && !done; ++n) {
      const std::uint64_t block = n % kBlocks;
      tried[block] = n;
      if (!disk.write(block * kStackBlock, pattern(kStackBlock, 1000 + n)) || !disk.flush()) return;
      acknowledged[block] = n;
    }
  }
  // Each block is of the newest version that was acknowledged, or of the one that was tried after it.
  void expect_found(ByteView image) const {
    for (std::uint64_t block = 0; block < kBlocks; ++block) {
      const ByteView found = image.subspan(block * kStackBlock, kStackBlock);
      const auto is_version = [&](std::uint64_t n) { return equal(found, n == 0 ? pattern(kStackBlock, 77 + block) : pattern(kStackBlock, 1000 + n)); };
      EXPECT_TRUE(is_version(acknowledged[block]) || is_version(tried[block])) << "block " << block;
    }
  }
};

struct Crashed {
  bool finished = false;  // the resize, before the crash
  std::uint64_t size = 0;  // that was found after it
};

// A disk full of data, half of it in the store and half in the journal, is made smaller or larger; a crash at one step of that.
Crashed crash_while_resizing(std::uint64_t step, bool power, bool shrinks) {
  SCOPED_TRACE(fmt::format("step {}, {}, {}", step, power ? "power cut" : "kill", shrinks ? "smaller" : "larger"));
  Crashed out;
  const std::uint64_t before = shrinks ? kLarge : kSmall, after = shrinks ? kSmall : kLarge;
  StackWorld w(7, {.disk_bytes = before});
  w.run([&] {
    Bytes model;
    const Bytes unflushed = pattern(kStackBlock, 6);
    Writer writer;
    {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      for (std::uint64_t at = 0; at < before; at += kStackBlock) {
        const Bytes data = pattern(kStackBlock, 77 + at / kStackBlock);
        ASSERT_OK(mount.disk().write(at, data));
        append(model, data);
        if (at == before / 2) ASSERT_OK(mount.disk().sync());
      }
      ASSERT_OK(mount.disk().flush());
      // Not encoded yet when the size changes.
      ASSERT_OK(mount.disk().write(before - kStackBlock, unflushed));
      mount.crash_after(step, power);
      bool done = false;
      auto task = w.world.executor().spawn("writer", [&] { writer.run(mount.disk(), done); });
      const auto resized = mount.disk().resize(after, DiscardTail::yes);
      done = true;
      task.reset();
      out.finished = resized.has_value();
      if (out.finished && mount.alive() && !shrinks) {
        const Bytes data = pattern(kStackBlock, 5);
        if (mount.disk().write(after - kStackBlock, data) && mount.disk().flush()) {
          model.resize(after);
          std::ranges::copy(data, model.end() - kStackBlock);
        }
      }
    }
    w.world.steps().disarm();
    Mount mount(w, w.world.disk(), lazy_options());
    ASSERT_OK(mount.open());
    out.size = mount.disk().size();
    EXPECT_TRUE(out.size == after || (out.size == before && !out.finished)) << out.size;
    Bytes image = *mount.read_all();
    writer.expect_found(image);
    Bytes expected = model;
    const auto last = expected.begin() + static_cast<std::ptrdiff_t>(before - kStackBlock);
    if (image.size() >= before && equal(ByteView(image).subspan(before - kStackBlock, kStackBlock), unflushed))
      std::ranges::copy(unflushed, last);
    expected.resize(out.size);
    const std::size_t skip = Writer::kBlocks * kStackBlock;
    const std::size_t sure = out.finished || shrinks ? out.size : before;  // an unfinished write beyond it may be there or not
    EXPECT_TRUE(equal(ByteView(image).subspan(skip, sure - skip), ByteView(expected).subspan(skip, sure - skip)));
    ASSERT_OK(mount.disk().resize(kLarge, DiscardTail::no));
    if (out.size == kSmall) {
      EXPECT_TRUE(all_zero(*mount.read(kSmall, kLarge - kSmall))) << "what was cut off is back";
    }
    ASSERT_OK(mount.close());
  });
  EXPECT_TRUE(w.was_written_once());
  return out;
}

TEST(ScenarioResize, MayCrashAtEveryStep) {
  for (const bool shrinks : {true, false}) {
    for (const bool power : {false, true}) {
      std::uint64_t step = 0, steps = 0, old_size = 0, new_size = 0;
      // Every step, but of the many of the writer in between some only.
      for (bool finished = false; !finished && step < 3000 && !testing::Test::HasFailure(); step += step < 40 ? 1 : test::kSanitized ? 11 : 3, ++steps) {
        const Crashed crashed = crash_while_resizing(step, power, shrinks);
        finished = crashed.finished;
        (crashed.size == (shrinks ? kLarge : kSmall) ? old_size : new_size)++;
      }
      EXPECT_GT(steps, 10u);
      EXPECT_GT(old_size, 5u);
      EXPECT_GT(new_size, 0u);
    }
  }
}

// While the store is away, what is below the new end is written and flushed as ever; the new size comes when the store is back.
TEST(ScenarioResize, StoreThatIsAwayHoldsUpNobodyElse) {
  StackWorld w(9, {.disk_bytes = kLarge});
  w.run([&] {
    {
      Mount mount(w, w.world.disk(), lazy_options());
      ASSERT_OK(mount.open());
      ASSERT_OK(mount.disk().write(kSmall, pattern(kStackBlock, 1)));
      ASSERT_OK(mount.disk().flush());
      const MonotonicTime back = w.world.executor().monotonic_now() + 300s;
      w.bucket().outage_until(back);
      auto task = w.world.executor().spawn("resize", [&] { EXPECT_OK(mount.disk().resize(kSmall, DiscardTail::yes)); });
      wait_until(w, [&] { return mount.disk().size() == kSmall; });
      EXPECT_CODE(Code::kBadArgument, mount.disk().write(kSmall, pattern(kStackBlock, 2)));
      EXPECT_CODE(Code::kExists, mount.disk().resize(kLarge, DiscardTail::no));
      std::atomic<bool> stop = true;
      EXPECT_CODE(Code::kCancelled, mount.disk().resize(kSmall, DiscardTail::yes, &stop));  // the store has not got it yet
      ASSERT_OK(mount.disk().write(kSmall - kStackBlock, pattern(kStackBlock, 3)));
      ASSERT_OK(mount.disk().flush());
      EXPECT_LT(w.world.executor().monotonic_now(), back);
      task.reset();
      EXPECT_GE(w.world.executor().monotonic_now(), back);
      w.bucket().outage_until(w.world.executor().monotonic_now() + 60s);
      EXPECT_CODE(Code::kCancelled, mount.disk().resize(kLarge, DiscardTail::no, &stop));
      EXPECT_EQ(mount.disk().size(), kSmall);
      wait_until(w, [&] { return mount.disk().size() == kLarge; });  // it was on its way
      mount.kill();
    }
    Mount mount(w, w.world.disk(), lazy_options());
    ASSERT_OK(mount.open());
    EXPECT_EQ(mount.disk().size(), kLarge);
    EXPECT_TRUE(all_zero(*mount.read(kSmall, kLarge - kSmall)));
    EXPECT_EQ(*mount.read(kSmall - kStackBlock, kStackBlock), pattern(kStackBlock, 3));
  });
}

}  // namespace
}  // namespace s3crate::sim
