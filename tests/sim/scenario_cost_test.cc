// SPDX-License-Identifier: GPL-3.0-or-later
// Named scenarios with the counters as oracle: what an idle disk, a mount, a read and a discard may cost.
#include "tests/sim/scenario.h"

namespace s3crate::sim {
namespace {

TEST(Cost, IdleDiskMakesNoCommit) {
  StackWorld w(1);
  w.run([&] {
    Mount mount(w, w.world.disk(), small_options());
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(100, pattern(9000, 1)));
    w.sleep(1min);
    const std::uint64_t objects = w.bucket().names().size();
    const std::uint64_t requests = mount.requests().calls();
    EXPECT_EQ(mount.disk().stats().unsent_bytes, 0u);
    w.sleep(24h);
    for (int i = 0; i < 3; ++i) {
      ASSERT_OK(mount.disk().flush());
      ASSERT_OK(mount.disk().sync());
    }
    EXPECT_EQ(w.bucket().names().size(), objects);
    EXPECT_EQ(mount.requests().calls(), requests);
    ASSERT_OK(mount.close());
  });
}

TEST(Cost, DiscardingAnEmptyDiskOf16TiBSendsNothing) {
  constexpr std::uint64_t kSize = 16ull << 40;
  StackWorld w(2, {.disk_bytes = kSize});
  w.run([&] {
    Mount mount(w, w.world.disk(), small_options());
    ASSERT_OK(mount.open());
    const std::uint64_t objects = w.bucket().names().size();
    const Generation before = mount.disk().stats().generation;
    for (std::uint64_t at = 0; at < kSize; at += 2ull << 30) ASSERT_OK(mount.disk().discard(at, 2ull << 30));
    ASSERT_OK(mount.disk().flush());
    ASSERT_OK(mount.disk().discard(0, kSize));
    ASSERT_OK(mount.disk().write(kSize / 2, Bytes(8192)));
    auto synced = mount.disk().sync();
    ASSERT_OK(synced);
    w.sleep(1h);
    EXPECT_EQ(*synced, before);
    EXPECT_EQ(mount.disk().stats().generation, before);
    EXPECT_EQ(w.bucket().names().size(), objects);
    EXPECT_LE(mount.disk().stats().delta_runs, 4u);
    ASSERT_OK(mount.close());
  });
}

// Flushes that change nothing leave records in the journal that no commit frees.
TEST(Cost, JournalDoesNotFillUpWithBatchesThatChangeNothing) {
  StackWorld w(3);
  w.run([&] {
    device::DiskOptions options = small_options();
    options.journal_bytes = (1 << 20) + 3 * options.journal_slot_bytes;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    for (int i = 0; i < 500; ++i) {
      ASSERT_OK(mount.disk().discard(0, 65536));
      ASSERT_OK(mount.disk().flush());
    }
    ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(mount.disk().flush());
    mount.kill();
    Mount again(w, w.world.disk(), options);
    ASSERT_OK(again.open());
    EXPECT_EQ(*again.read(0, 4096), pattern(4096, 1));
    ASSERT_OK(again.close());
  });
}

// Commits with changes between the newest checkpoint and the head.
std::uint64_t commits_to_read(StackWorld& w, Mount& mount) {
  auto volume = w.open_volume(mount.env(), mount.store());
  auto head = (*volume)->load_head();
  auto view = (*volume)->load_view(*head);
  return view->change_commits;
}

TEST(Cost, MountTakesTwelveRequestsAndTheCommitsSinceTheDeltaBase) {
  StackWorld w(4);
  w.run([&] {
    device::DiskOptions options = small_options();
    options.checkpoint_runs = 64;
    std::uint64_t commits = 0, most = 0;
    for (int life = 0; life < 12; ++life) {
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      EXPECT_LE(mount.requests().calls(), 12 + commits) << "life " << life;
      for (std::uint64_t i = 0; i < 15; ++i) {
        ASSERT_OK(mount.disk().write((i * 12 + static_cast<std::uint64_t>(life)) % 128 * 4096, pattern(4096, i + 1)));
        ASSERT_OK(mount.disk().sync());
      }
      commits = commits_to_read(w, mount);
      most = std::max(most, commits);
      if (life % 2 == 0) mount.kill();
      else ASSERT_OK(mount.close());
    }
    EXPECT_GT(w.objects("commits/"), 150u);
    EXPECT_LT(most, 100u);
  });
}

TEST(Cost, ColdSequentialReadOfOneExtentRunIsOneGet) {
  StackWorld w(5, {.disk_bytes = 8 << 20, .extent_bytes = 64 << 10});
  w.run([&] {
    device::DiskOptions options = small_options();
    options.batch_bytes = 4 << 20;
    options.dirty_max = 16 << 20;
    options.segment_bytes = 8 << 20;
    options.journal_slot_bytes = 8 << 20;
    options.journal_bytes = (1 << 20) + (24ull << 20);
    options.block_cache_bytes = 16 << 20;
    options.checkpoint_runs = 100'000;
    options.delta_runs_max = 400'000;
    const Bytes data = pattern(1 << 20, 1);
    {
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      for (std::size_t at = 0; at < data.size(); at += 128 << 10)
        ASSERT_OK(mount.disk().write((1 << 20) + at, ByteView(data).subspan(at, 128 << 10)));
      ASSERT_OK(mount.close());
    }
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    const store::StoreStats before = mount.requests();
    EXPECT_EQ(*mount.read(1 << 20, 1 << 20), data);
    EXPECT_EQ(mount.requests().calls(), before.calls() + 1);
    EXPECT_EQ(mount.requests()[store::Verb::get_range].calls, before[store::Verb::get_range].calls + 1);
    EXPECT_EQ(*mount.read(1 << 20, 1 << 20), data);
    EXPECT_EQ(mount.requests().calls(), before.calls() + 1) << "a warm read asked the store";
    ASSERT_OK(mount.close());
  });
}

}  // namespace
}  // namespace s3crate::sim
