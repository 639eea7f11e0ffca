// SPDX-License-Identifier: GPL-3.0-or-later
// What the store is sent for what users write, with data that does not shrink: everything is
// counted, segments and their indexes, commits, checkpoints. A disk of 1 GiB with a sixty-fourth of
// the changes in a checkpoint stands for one of 64 GiB; bench/scale takes those of full size.
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
  options.journal_bytes = (1 << 20) + (16ull << 20);
  options.block_cache_bytes = 1 << 20;
  options.map_cache_bytes = 4 << 20;
  options.checkpoint_runs = 100'000 / 64;
  options.delta_runs_max = 20'000;
  options.page_bytes = volume::kPagePlainMax;
  return options;
}

struct Ratio {
  std::uint64_t user = 0, sent = 0;
  [[nodiscard]] double value() const {
    return static_cast<double>(sent) / static_cast<double>(user);
  }
};

// One round is as much as makes a checkpoint due, `write` so many blocks of it; the first half of
// the rounds is not counted.
Result<Ratio> measure(StackWorld& w, int rounds, std::uint64_t writes,
                      const std::function<Result<std::uint64_t>(Mount&)>& write) {
  Mount mount(w, w.world.disk(), scaled_options());
  TRY(mount.open());
  Ratio ratio;
  std::uint64_t before = 0;
  for (int round = 0; round < rounds; ++round) {
    if (2 * round == rounds) {
      ratio = {};
      before = mount.requests()[store::Verb::put].bytes;
    }
    const std::uint64_t checkpoints = mount.disk().stats().checkpoints;
    for (std::uint64_t i = 0; i < writes; ++i) ratio.user += TRY(write(mount));
    (void)TRY(mount.disk().sync());
    wait_until(w, [&] { return mount.disk().stats().checkpoints > checkpoints; });
  }
  ratio.sent = mount.requests()[store::Verb::put].bytes - before;
  return ratio;
}

TEST(WriteCost, OfRandomWritesOverAPrefilledDisk) {
  StackWorld w(1, {.disk_bytes = kDisk, .extent_bytes = 64 << 10});
  w.run([&] {
    {
      auto process = w.world.start(w.world.add_disk());
      auto volume = w.open_volume(process->env(), process->store());
      ASSERT_OK(volume);
      test::LongHistory history(process->env(), **volume, 0);
      ASSERT_OK(history.open());
      test::MapShape shape;
      shape.to = BlockIndex(kDisk / kBlock);
      shape.extents = (shape.to - shape.from) / 16;
      shape.segment_bytes = 512 << 10;
      ASSERT_OK(test::SyntheticMap(process->env(), history, shape).make());
    }
    const Bytes data = pattern(1 << 20, 1);
    const std::uint64_t first = test::LongHistory::kBlocks;
    const auto ratio = measure(w, 12, 1700, [&](Mount& mount) -> Result<std::uint64_t> {
      const std::uint64_t block = first + w.dice().below(kDisk / kBlock - first);
      TRY(mount.disk().write(block * kBlock, ByteView(data).subspan(block % 256 * kBlock, kBlock)));
      return kBlock;
    });
    ASSERT_OK(ratio);
    EXPECT_LE(ratio->value(), 1.25);
    EXPECT_GE(ratio->value(), 1.01) << "more than that is sent beside the data";
    if (std::getenv("S3CRATE_STACK_LOG") != nullptr) fmt::print("random: {}\n", ratio->value());
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
    EXPECT_LE(ratio->value(), 1.02);
    EXPECT_GE(ratio->value(), 1);
    if (std::getenv("S3CRATE_STACK_LOG") != nullptr) fmt::print("sequential: {}\n", ratio->value());
  });
}

}  // namespace
}  // namespace s3crate::sim
