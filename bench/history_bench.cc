// SPDX-License-Identifier: GPL-3.0-or-later
// Long histories: what a commit costs its writer, and what it costs to open a generation of the
// past, in requests and round trips.

#include <benchmark/benchmark.h>

#include <map>

#include "store/memory_store.h"
#include "store/metered_store.h"
#include "tests/support/long_history.h"
#include "volume/create.h"

namespace s3crate::test {
namespace {

constexpr Duration kLatency = std::chrono::milliseconds(20);
constexpr std::uint64_t kCheckpointCommits = 1024;

// Lets each GET and LIST take as long as if the store were far away.
class FarStore final : public store::ObjectStore {
 public:
  explicit FarStore(store::ObjectStore& inner) : inner_(inner) {}
  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    return inner_.put(name, parts);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max) override {
    wait();
    return inner_.get(name, max);
  }
  Result<> get_range(const std::string& name, std::uint64_t at, MutableByteView out) override {
    wait();
    return inner_.get_range(name, at, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override {
    wait();
    return inner_.head(name);
  }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after,
                               std::size_t max) override {
    wait();
    return inner_.list(prefix, after, max);
  }
  Result<> remove(const std::string& name) override { return inner_.remove(name); }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }
  bool far = false;

 private:
  void wait() {
    if (far) nap(env_.clock, env_.executor, kLatency);
  }
  store::ObjectStore& inner_;
  Env env_ = system_env();
};

struct Volumes {
  explicit Volumes(std::uint64_t generations) {
    CHECK(crypto::initialise());
    volume::CreateOptions options;
    options.disk_bytes = 1 << 30;
    volume::SlotRequest slot;
    slot.key_file = crypto::Secret::copy_of(key);
    CHECK(volume::create(system_env(), store, options, {&slot, 1}));
    auto volume = open();
    LongHistory history(system_env(), *volume, kCheckpointCommits);
    CHECK(history.open());
    CHECK(history.grow_to(Generation(generations)));
    far.far = true;
  }
  std::unique_ptr<volume::Volume> open() {
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key);
    return std::move(volume::Volume::open(system_env(), store, keys, {}).value());
  }
  Bytes key = Bytes(32, 7);
  store::MemoryStore memory;
  FarStore far{memory};
  store::MeteredStore store{system_env().clock, far};
};

Volumes& volumes(std::uint64_t generations) {
  static std::map<std::uint64_t, std::unique_ptr<Volumes>> all;
  auto& made = all[generations];
  if (!made) made = std::make_unique<Volumes>(generations);
  return *made;
}

// The newest, the middle, or the first of so many generations.
void OpenGeneration(benchmark::State& state) {
  const auto generations = static_cast<std::uint64_t>(state.range(0));
  const auto percent = static_cast<std::uint64_t>(state.range(1));
  Volumes& world = volumes(generations);
  const Generation g(std::max<std::uint64_t>(1, generations * percent / 100));
  std::uint64_t commits = 0;
  const auto before = world.store.stats().calls();
  const MonotonicTime start = system_env().clock.monotonic_now();
  for (auto _ : state) {
    auto volume = world.open();
    volume::Commit commit = volume->load_head().value();
    if (commit.header.generation != g) commit = volume->load_commit(g).value();
    commits += volume->load_view(commit).value().change_commits;
  }
  const Duration took = system_env().clock.monotonic_now() - start;
  const auto each = [&](double n) {
    return benchmark::Counter(n, benchmark::Counter::kAvgIterations);
  };
  state.counters["requests"] = each(static_cast<double>(world.store.stats().calls() - before));
  state.counters["commits"] = each(static_cast<double>(commits));
  state.counters["round_trips"] = each(static_cast<double>(took / kLatency));
}
BENCHMARK(OpenGeneration)
    ->ArgsProduct({{1'000, 1'000'000}, {0, 50, 100}})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(5);

// Small commits, one change each: signature, levels and all.
void AppendCommit(benchmark::State& state) {
  Volumes world(10);
  world.far.far = false;
  auto volume = world.open();
  LongHistory history(system_env(), *volume, kCheckpointCommits);
  CHECK(history.open());
  std::uint64_t g = history.chain().head().value;
  for (auto _ : state) CHECK(history.grow_to(Generation(++g)));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(AppendCommit)->Unit(benchmark::kMicrosecond);

// Commits of many changes each: what the levels cost a change.
void LevelsOfChanges(benchmark::State& state) {
  const auto runs = static_cast<std::uint64_t>(state.range(0));
  volume::DeltaLevels levels;
  std::uint64_t g = 0, at = 1;
  Generation checkpoint;
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
