// SPDX-License-Identifier: GPL-3.0-or-later
// What the store is sent for what users write, with data that does not shrink, and in how many
// PUTs: everything is counted, segments and their indexes, commits, checkpoints. A disk of 1 GiB
// with a sixty-fourth of the changes in a checkpoint stands for one of 64 GiB, segments of 512 KiB
// for those of 8 MiB; bench/scale takes those of full size.
#include "tests/sim/scenario.h"
#include "tests/support/synthetic_map.h"

namespace s3crate::sim {
namespace {

constexpr std::uint64_t kDisk = 1 << 30, kBlock = 4096;

device::DiskOptions scaled_options() {
  device::DiskOptions options = small_options();
  options.take_over = true;
  options.dirty_max = 8 << 20;
  options.batch_bytes = 1 << 20;
  options.batch_delay = 1s;
  options.upload_delay = 30s;
  options.segment_bytes = 512 << 10;
  options.journal_slot_bytes = 2 << 20;
  options.journal_bytes = (1 << 20) + (64ull << 20);
  options.block_cache_bytes = 1 << 20;
  options.map_cache_bytes = 4 << 20;
  options.checkpoint_runs = 100'000 / 64;
  options.delta_runs_max = 20'000;
  options.page_bytes = volume::kPagePlainMax;
  return options;
}

struct Ratio {
  std::uint64_t user = 0, sent = 0, puts = 0;
  [[nodiscard]] double bytes() const {
    return static_cast<double>(sent) / static_cast<double>(user);
  }
  // For as many segments as are in a GiB.
  [[nodiscard]] double puts_per_gib() const {
    return static_cast<double>(puts) * 128 * (512 << 10) / static_cast<double>(user);
  }
};

// One round is as much as makes a checkpoint due, `write` so many blocks of it; the first half of
// the rounds is not counted.
Result<Ratio> measure(StackWorld& w, int rounds, std::uint64_t writes,
                      const std::function<Result<std::uint64_t>(Mount&)>& write) {
  Mount mount(w, w.world.disk(), scaled_options());
  TRY(mount.open());
  Ratio ratio;
  store::VerbStats before;
  for (int round = 0; round < rounds; ++round) {
    if (2 * round == rounds) {
      ratio = {};
      before = mount.requests()[store::Verb::put];
    }
    const std::uint64_t checkpoints = mount.disk().stats().checkpoints;
    for (std::uint64_t i = 0; i < writes; ++i) ratio.user += TRY(write(mount));
    (void)TRY(mount.disk().sync());
    wait_until(w, [&] { return mount.disk().stats().checkpoints > checkpoints; });
  }
  const store::VerbStats now = mount.requests()[store::Verb::put];
  ratio.sent = now.bytes - before.bytes;
  ratio.puts = now.calls - before.calls;
  return ratio;
}

// As one pass of writing would leave it.
void prefill(StackWorld& w, std::size_t page_bytes) {
  auto process = w.world.start(w.world.add_disk());
  auto volume = w.open_volume(process->env(), process->store());
  ASSERT_OK(volume);
  test::LongHistory history(process->env(), **volume, 0);
  ASSERT_OK(history.open());
  test::MapShape shape;
  shape.to = BlockIndex(kDisk / kBlock);
  shape.extents = (shape.to - shape.from) / 16;
  shape.segment_bytes = 512 << 10;
  shape.page_bytes = page_bytes;
  ASSERT_OK(test::SyntheticMap(process->env(), history, shape).make());
}

TEST(WriteCost, OfRandomWritesOverAPrefilledDisk) {
  StackWorld w(1, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    ASSERT_NO_FATAL_FAILURE(prefill(w, volume::kPagePlainMax));
    const Bytes data = pattern(1 << 20, 1);
    const std::uint64_t first = test::LongHistory::kBlocks;
    const auto ratio = measure(w, 12, 1700, [&](Mount& mount) -> Result<std::uint64_t> {
      const std::uint64_t block = first + w.dice().below(kDisk / kBlock - first);
      TRY(mount.disk().write(block * kBlock, ByteView(data).subspan(block % 256 * kBlock, kBlock)));
      return kBlock;
    });
    ASSERT_OK(ratio);
    EXPECT_LE(ratio->bytes(), 1.25);
    EXPECT_LE(ratio->puts_per_gib(), 200);
    EXPECT_GE(ratio->bytes(), 1.01) << "more than that is sent beside the data";
    if (std::getenv("S3CRATE_STACK_LOG") != nullptr)
      fmt::print("random: {}, {} PUTs\n", ratio->bytes(), ratio->puts_per_gib());
  });
}

TEST(WriteCost, OfSequentialWrites) {
  StackWorld w(2, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    const Bytes data = pattern(1 << 20, 2);
    std::uint64_t at = 0;
    const auto ratio =
        measure(w, 1, 100'000 / 64 / 16 + 3, [&](Mount& mount) -> Result<std::uint64_t> {
          TRY(mount.disk().write(at, data));
          at += data.size();
          return data.size();
        });
    ASSERT_OK(ratio);
    EXPECT_LE(ratio->bytes(), 1.02);
    EXPECT_LE(ratio->puts_per_gib(), 140);
    EXPECT_GE(ratio->bytes(), 1);
    if (std::getenv("S3CRATE_STACK_LOG") != nullptr)
      fmt::print("sequential: {}, {} PUTs\n", ratio->bytes(), ratio->puts_per_gib());
  });
}

// A generation of many segments has the next one's put while its commit is awaited.
TEST(WriteCost, CommitsKeepNoPutWaiting) {
  StackWorld w(6, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    const device::DiskOptions options = scaled_options();
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    std::int64_t segments = 0, commits = 0;
    mount.hooks.before = [&](store::Verb verb, const std::string& name) -> Result<> {
      if (verb != store::Verb::put) return {};
      (is_segment(name) ? segments : commits)++;
      w.sleep(100ms);
      return {};
    };
    const Bytes data = pattern(1 << 20, 6);
    const MonotonicTime start = w.world.executor().monotonic_now();
    for (std::uint64_t at = 0; at < 48 << 20; at += data.size()) ASSERT_OK(mount.disk().write(at, data));
    ASSERT_OK(mount.disk().sync());
    const auto took = (w.world.executor().monotonic_now() - start) / 100ms;
    EXPECT_GE(segments, 80);
    EXPECT_LE(commits, 10);
    EXPECT_LE(took, segments / options.upload_threads * 5 / 4);
    ASSERT_OK(mount.close());
  });
}

// Of a store that is far away more segments are put at a time than at the start, and than that none.
TEST(WriteCost, MorePutsAreUnderWayWhereThatIsFaster) {
  StackWorld w(7, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    device::DiskOptions options = scaled_options();
    options.upload_threads = 0;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    int puts = 0, most = 0, most_at_start = 0;
    mount.hooks.before = [&](store::Verb verb, const std::string& name) -> Result<> {
      if (verb != store::Verb::put || !is_segment(name)) return {};
      most = std::max(most, ++puts);
      w.sleep(300ms);
      --puts;
      return {};
    };
    const Bytes data = pattern(1 << 20, 7);
    std::uint64_t at = 0;
    for (; at < 4 << 20; at += data.size()) ASSERT_OK(mount.disk().write(at, data));
    ASSERT_OK(mount.disk().sync());
    most_at_start = most;
    for (; at < 56 << 20; at += data.size()) ASSERT_OK(mount.disk().write(at, data));
    ASSERT_OK(mount.disk().sync());
    EXPECT_LE(most_at_start, 6);
    EXPECT_GE(most, 9);
    EXPECT_LE(most, 32);
    ASSERT_OK(mount.close());
  });
}

// Reads of pages of the map, each of which takes 30 ms from now on.
struct MapReads {
  int all = 0, now = 0, most = 0;
  void slow_down(StackWorld& w, Mount& mount) {
    mount.hooks.before = [this, &w](store::Verb verb, const std::string& name) -> Result<> {
      if (verb != store::Verb::get_range || !name.starts_with("map/")) return {};
      ++all;
      most = std::max(most, ++now);
      w.sleep(30ms);
      --now;
      return {};
    };
  }
};

// Some 160 leaves of 4 KiB are between them all.
constexpr std::uint64_t kScattered = 1700;
std::uint64_t scattered(std::uint64_t i) { return (test::LongHistory::kBlocks + i * 150) * kBlock; }

device::DiskOptions small_page_options() {
  device::DiskOptions options = scaled_options();
  options.page_bytes = 4096;
  return options;
}

// A checkpoint over a map that is not in the cache takes the time of few requests, and of the cache
// no more than there is.
TEST(CheckpointCost, PagesAreReadSideBySide) {
  StackWorld w(4, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    ASSERT_NO_FATAL_FAILURE(prefill(w, 4096));
    const device::DiskOptions options = small_page_options();
    MapReads reads;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    reads.slow_down(w, mount);
    const Bytes data = pattern(kBlock, 4);
    for (std::uint64_t i = 0; i < kScattered; ++i) ASSERT_OK(mount.disk().write(scattered(i), data));
    ASSERT_OK(mount.disk().sync());
    const MonotonicTime start = w.world.executor().monotonic_now();
    wait_until(w, [&] { return mount.disk().stats().checkpoints == 1; });
    EXPECT_GT(reads.all, 100);
    EXPECT_LT((w.world.executor().monotonic_now() - start) / 30ms, reads.all / 8);
    EXPECT_LE(reads.most, 32);
    EXPECT_LE(mount.disk().stats().map_cache_bytes, options.map_cache_bytes);
    for (std::uint64_t i = 0; i < kScattered; i += 100) EXPECT_EQ(*mount.read(scattered(i), kBlock), data);
    ASSERT_OK(mount.close());
  });
}

// Each page that it needs is 30 ms away, and it needs some hundred.
TEST(CheckpointCost, ClosingWaitsForNoCheckpoint) {
  StackWorld w(3, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    ASSERT_NO_FATAL_FAILURE(prefill(w, 4096));
    const device::DiskOptions options = small_page_options();
    const Bytes data = pattern(kBlock, 3);
    {
      MapReads reads;
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      reads.slow_down(w, mount);
      for (std::uint64_t i = 0; i < kScattered; ++i) ASSERT_OK(mount.disk().write(scattered(i), data));
      ASSERT_OK(mount.disk().sync());
      wait_until(w, [&] { return reads.all > 0; });
      EXPECT_EQ(mount.disk().stats().checkpoints, 0u);
      const MonotonicTime start = w.world.executor().monotonic_now();
      ASSERT_OK(mount.close());
      EXPECT_LE(w.world.executor().monotonic_now() - start, 1s);
    }
    Mount again(w, w.world.disk(), options);
    ASSERT_OK(again.open());
    for (std::uint64_t i = 0; i < kScattered; i += 100) EXPECT_EQ(*again.read(scattered(i), kBlock), data);
    wait_until(w, [&] { return again.disk().stats().checkpoints > 0; });
    ASSERT_OK(again.close());
  });
}

// Nor for the walk over the leaves that a discard of all has dropped unread.
TEST(CheckpointCost, ClosingWaitsForNoWalk) {
  StackWorld w(5, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    ASSERT_NO_FATAL_FAILURE(prefill(w, 4096));
    device::DiskOptions options = small_page_options();
    options.map_cache_bytes = 16 << 10;  // one after the other
    options.checkpoint_commits = 1;
    MapReads reads;
    Mount mount(w, w.world.disk(), options);
    ASSERT_OK(mount.open());
    reads.slow_down(w, mount);
    ASSERT_OK(mount.disk().discard(0, kDisk));
    ASSERT_OK(mount.disk().sync());
    wait_until(w, [&] { return reads.all > 20; });
    EXPECT_EQ(mount.disk().stats().checkpoints, 0u);
    const MonotonicTime start = w.world.executor().monotonic_now();
    ASSERT_OK(mount.close());
    EXPECT_LE(w.world.executor().monotonic_now() - start, 1s);
  });
}

// What nobody flushes is made durable in the background; encoding goes on meanwhile, up to a bound.
class BackgroundSync : public testing::Test {
 protected:
  BackgroundSync() {
    options_.dirty_max = 2 << 20;
    options_.batch_bytes = 256 << 10;
    options_.journal_bytes = (1 << 20) + (256ull << 20);
    options_.upload_delay = 1000h;
    options_.segment_bytes = 64 << 20;
  }
  // 256 KiB each, so long one after the other.
  void write(Mount& mount, std::uint64_t count, Duration pause) {
    for (std::uint64_t i = 0; i < count; ++i) {
      ASSERT_OK(mount.disk().write(i * data_.size(), data_));
      if (pause > Duration{}) w_.sleep(pause);
    }
  }

  StackWorld w_{7, {.disk_bytes = kDisk}};
  device::DiskOptions options_ = scaled_options();
  const Bytes data_ = pattern(256 << 10, 1);
};

TEST_F(BackgroundSync, WritersDoNotWaitForTheDiskUnderTheJournal) {
  w_.run([&] {
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    w_.world.disk().faults.sync_latency_max = 200ms;
    // 25 MiB/s: a sync takes as long as up to 5 MiB take, and 2 MiB may wait to be encoded.
    write(mount, 400, 10ms);
    const device::Stats stats = mount.disk().stats();
    EXPECT_EQ(stats.writer_waits, 0u);
    EXPECT_GE(stats.journal_syncs, 5u) << "what is in memory only must not grow";
    mount.kill();
  });
}

TEST_F(BackgroundSync, ThatIsTooSlowHoldsWritersBack) {
  w_.run([&] {
    Mount mount(w_, w_.world.disk(), options_);
    ASSERT_OK(mount.open());
    w_.world.disk().faults.sync_latency_max = 2s;
    const MonotonicTime start = w_.world.executor().monotonic_now();
    write(mount, 800, {});
    // At most 16 MiB and what was appended during a sync are made durable by it: seven of them, a second each.
    EXPECT_GE(w_.world.executor().monotonic_now() - start, 3s);
    EXPECT_TRUE(mount.disk().stats().durable_locally);
    mount.kill();
  });
}

}  // namespace
}  // namespace s3crate::sim
