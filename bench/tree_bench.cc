// SPDX-License-Identifier: GPL-3.0-or-later
// The map at its real page size: lookups in a tree of a million runs, what an update of it costs;
// and what the levels of the delta base do.

#include <benchmark/benchmark.h>

#include <map>
#include <random>

#include "tests/support/tree_world.h"
#include "volume/delta_levels.h"
#include "volume/ledger.h"

namespace s3crate::test {
namespace {

using segment::Run;
using volume::MaybeRoot;

constexpr std::uint64_t kRuns = 1'000'000;

Run data_run(std::uint64_t block, std::uint32_t number) {
  Run run{.block = BlockIndex(block), .count = 1, .hole = false, .first = 0, .extent = {}};
  run.extent = {
      .object = {.origin = 0, .id = volume::ObjectId::of(1, number / 2000 + 1)},
      .number = number % 2000,
      .offset = number % 2000 * 4000,
      .length = 4000,
      .digest = crypto::digest({reinterpret_cast<const std::uint8_t*>(&number), sizeof number})};
  return run;
}

struct BigMap {
  BigMap() : world(1, 1 << 30) {
    world.page_bytes = volume::kPagePlainMax;
    world.object_bytes = 8 << 20;
    std::vector<Run> runs;
    runs.reserve(kRuns);
    for (std::uint64_t i = 0; i < kRuns; ++i)
      runs.push_back(data_run(2 * i, static_cast<std::uint32_t>(i)));
    root = update(std::nullopt, runs);
  }
  MaybeRoot update(const MaybeRoot& from, const std::vector<Run>& changes) {
    auto writer = world.writer();
    volume::Ledger ledger;
    const MaybeRoot updated = map_update(world.loader(), writer, from, changes, ledger).value();
    bytes_written = 0;
    const auto objects = writer.finish();
    for (const auto& info : objects.value()) bytes_written += info.length;
    return updated;
  }
  TreeWorld world;
  MaybeRoot root;
  std::uint64_t bytes_written = 0;
};

BigMap& big_map() {
  static BigMap map;
  return map;
}

void MapLookup(benchmark::State& state) {
  BigMap& map = big_map();
  std::mt19937_64 random(1);
  for (auto _ : state) {
    const BlockIndex block(random() % (2 * kRuns));
    const auto done = map_lookup(map.world.loader(), map.root, block, block + 16,
                                 [](const Run& run) { benchmark::DoNotOptimize(run.count); });
    if (!done) state.SkipWithError(done.error().message().c_str());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(MapLookup);

void MapBuild(benchmark::State& state) {
  for (auto _ : state) BigMap map;
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRuns));
}
BENCHMARK(MapBuild)->Unit(benchmark::kMillisecond);

// Runs at random places: what a checkpoint after random writes costs.
void MapUpdate(benchmark::State& state) {
  BigMap& map = big_map();
  std::mt19937_64 random(1);
  std::uint64_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::map<std::uint64_t, Run> changes;
    while (changes.size() < static_cast<std::size_t>(state.range(0))) {
      const std::uint64_t block = random() % (2 * kRuns);
      changes.emplace(block, data_run(block, static_cast<std::uint32_t>(random())));
    }
    std::vector<Run> list;
    for (const auto& [block, run] : changes) list.push_back(run);
    state.ResumeTiming();
    benchmark::DoNotOptimize(map.update(map.root, list));
    bytes += map.bytes_written;
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["bytes_written"] =
      benchmark::Counter(static_cast<double>(bytes), benchmark::Counter::kAvgIterations);
}
BENCHMARK(MapUpdate)->Arg(1)->Arg(100)->Arg(10000)->Unit(benchmark::kMillisecond);

// A disk of so many GiB, written once from end to end in extents of 64 KiB, then 4 KiB at a time at
// random places, with a checkpoint every 100,000 of them: what the map costs beside the data. The
// page cache is what a mount has; the first half of the checkpoints is not counted.
void CheckpointsOfRandomWrites(benchmark::State& state) {
  const auto blocks = static_cast<std::uint64_t>(state.range(0)) << 18;
  constexpr std::uint64_t kChanges = 100'000, kCheckpoints = 40;
  TreeWorld world(1, 64 << 20);
  world.page_bytes = volume::kPagePlainMax;
  world.object_bytes = 8 << 20;
  MaybeRoot root;
  const auto lay = [&](const std::vector<Run>& runs) {
    auto writer = world.writer();
    volume::Ledger ledger;
    root = map_update(world.loader(), writer, root, runs, ledger).value();
    std::uint64_t bytes = 0;
    const auto objects = writer.finish();
    for (const auto& info : objects.value()) bytes += info.length;
    return bytes;
  };
  std::uint32_t number = 0;
  for (std::uint64_t block = 0; block < blocks;) {
    std::vector<Run> runs;
    for (; runs.size() < kChanges && block < blocks; block += 16) {
      runs.push_back(data_run(block, ++number));
      runs.back().count = 16;
    }
    lay(runs);
  }
  std::mt19937_64 random(1);
  std::uint64_t bytes = 0, changes = 0, reads = 0;
  for (auto _ : state) {
    for (std::uint64_t i = 0; i < kCheckpoints; ++i) {
      std::map<std::uint64_t, Run> runs;
      while (runs.size() < kChanges) {
        const std::uint64_t block = random() % blocks;
        runs.insert_or_assign(block, data_run(block, ++number));
      }
      std::vector<Run> list;
      for (const auto& [block, run] : runs) list.push_back(run);
      const std::uint64_t reads_before = world.reads();
      const std::uint64_t written = lay(list);
      if (2 * i < kCheckpoints) continue;
      bytes += written, changes += kChanges, reads += world.reads() - reads_before;
    }
  }
  const auto per_change = [&](std::uint64_t n) { return static_cast<double>(n) / static_cast<double>(changes); };
  state.counters["map_bytes_per_user_byte"] = per_change(bytes) / 4096;
  state.counters["page_reads_per_write"] = per_change(reads);
}
BENCHMARK(CheckpointsOfRandomWrites)->Arg(8)->Arg(64)->Iterations(1)->Unit(benchmark::kSecond);

// Commits of many changes each: what the levels cost a change.
void LevelsOfChanges(benchmark::State& state) {
  const auto runs = static_cast<std::uint64_t>(state.range(0));
  volume::DeltaLevels levels;
  std::uint64_t g = 0, at = 1;
  Generation checkpoint;
  constexpr std::uint64_t kCheckpointCommits = 1024;
  for (auto _ : state) {
    volume::RunMap map;
    for (std::uint64_t i = 0; i < runs; ++i) {
      at = at * 6364136223846793005 + 1442695040888963407;
      volume::Run run{
          .block = BlockIndex(at >> 40), .count = 1, .hole = false, .first = 0, .extent = {}};
      run.extent.number = static_cast<std::uint32_t>(i);
      map.put(run);
    }
    volume::Changes own{map.runs(), {}};
    ++g;
    auto plan = levels.plan(Generation(g), std::move(own));
    levels.committed({Generation(g), {}}, plan.base, plan.changes.runs, plan.changes.objects);
    if ((g - checkpoint.value) * runs > 100'000 || g - checkpoint.value > kCheckpointCommits) {
      checkpoint = Generation(g);
      levels.checkpoint(checkpoint);
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(LevelsOfChanges)
    ->Arg(1)
    ->Arg(100)
    ->Arg(2'000)
    ->Arg(20'000)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace s3crate::test
