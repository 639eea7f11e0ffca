// SPDX-License-Identifier: GPL-3.0-or-later
// The journal against a plain model, by seed: appends, syncs from several tasks, releases, readers,
// failing disks, full disks, kills and power cuts, also during recovery.
#include "tests/sim/journal_world.h"
#include "tests/support/seed.h"

namespace s3crate::sim {
namespace {

struct Totals {
  FaultCounts faults;
  std::uint64_t replayed = 0, syncs = 0, failed_syncs = 0, full = 0, lives = 0, powered_off = 0;
};

// One life's worth of load; ends when the process dies or all is done.
void load(JournalWorld& world, Totals& totals) {
  bool done = false;
  auto syncer = [&] {
    while (!done && world.incarnation->alive()) {
      world.executor.sleep_for(std::chrono::microseconds(world.dice.below(50)));
      if (world.sync()) ++totals.syncs;
    }
  };
  auto a = world.executor.spawn("sync-a", syncer);
  auto b = world.executor.spawn("sync-b", syncer);
  auto reader = world.executor.spawn("reader", [&] {
    while (!done && world.incarnation->alive()) {
      world.executor.sleep_for(std::chrono::microseconds(world.dice.below(100)));
      if (!world.held.empty()) {
        const JournalWorld::Held one = world.held[world.dice.below(world.held.size())];
        world.check_held(one);
      }
    }
  });
  std::optional<JournalWorld::Batch> retry;
  for (std::uint64_t n = world.dice.between(5, 60); n > 0 && world.incarnation->alive(); --n) {
    if (!retry) retry = world.make_batch(4, world.dice.coin() ? 300 : 6000);
    auto appended = world.append(*retry);
    if (appended || world.dice.coin()) retry.reset();
    if (is(appended, Code::kNoSpace)) ++totals.full;
    if (!appended && world.incarnation->alive() && !is(appended, Code::kNoSpace)) {
      EXPECT_TRUE(world.excused(appended.error())) << appended.error().message();
    }
    if (world.dice.percent(30))
      world.executor.sleep_for(std::chrono::microseconds(world.dice.below(40)));
    if (world.dice.percent(10) || is(appended, Code::kNoSpace)) {
      world.release(Seq(world.dice.between(world.committed.value, world.appended.value)));
      std::erase_if(world.held, [&](const auto& one) {
        return one.seq <= world.committed && world.dice.percent(90);
      });
    }
  }
  done = true;
}

void run(std::uint64_t seed, Totals& totals) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Dice dice(seed);
  JournalOptions options;
  options.slot_bytes = dice.coin() ? 32 << 10 : 64 << 10;
  options.slots = static_cast<std::uint32_t>(dice.between(4, 20));
  JournalWorld world(seed, options);
  world.disk.faults.sync_latency_max = std::chrono::microseconds(30);
  if (dice.coin()) {
    world.disk.faults.sync_error_per_million = dice.coin() ? 50'000 : 300'000;
    world.disk.faults.write_error_per_million = dice.coin() ? 0 : 20'000;
    world.disk.faults.read_error_per_million = dice.coin() ? 0 : 3'000;
    world.disk.faults.full_per_million = dice.coin() ? 0 : 30'000;
  }
  for (int life = 0; life < 12; ++life) {
    const bool power = dice.coin();
    if (dice.percent(85)) world.crash_at(dice.below(dice.coin() ? 60 : 600), power);
    world.life([&] { load(world, totals); });
    ++totals.lives;
    if (dice.percent(20)) world.power_cut();
    if (testing::Test::HasFailure()) return;
  }
  // In the end, on a sound disk, everything is there.
  world.disk.faults = {};
  world.steps.disarm();
  EXPECT_TRUE(world.life([&] {
    world.check_held();
    EXPECT_TRUE(world.sync());
  }));
  totals.replayed += world.replayed_batches;
  totals.faults.add(world.counts);
}

TEST(JournalProperty, ReplayYieldsAPrefixThatHoldsAllThatWasAcknowledged) {
  SEEDED_TEST(base);
  const char* given = std::getenv("S3CRATE_JOURNAL_SEEDS");
  const std::uint64_t count = given ? std::strtoull(given, nullptr, 10) : 300;
  Totals totals;
  for (std::uint64_t i = 0; i < count && !testing::Test::HasFailure(); ++i) run(base + i, totals);
  fmt::print("{} seeds from {}: {} lives, {} batches replayed, {} syncs, journal full {} times\n{}",
             count, base, totals.lives, totals.replayed, totals.syncs, totals.full,
             totals.faults.to_string());
  if (testing::Test::HasFailure() || given) return;
  EXPECT_GT(totals.replayed, 0u);
  EXPECT_GT(totals.full, 0u);
  for (const Fault fault : {Fault::kProcessKilled, Fault::kPowerCut, Fault::kDiskSectorsLost,
                            Fault::kDiskWriteTorn, Fault::kDiskSyncError, Fault::kDiskCleanPageLost,
                            Fault::kDiskFull, Fault::kDiskWriteError}) {
    EXPECT_GT(totals.faults[fault], 0u) << fault_name(fault);
  }
}

}  // namespace
}  // namespace s3crate::sim
