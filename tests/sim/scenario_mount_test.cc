// SPDX-License-Identifier: GPL-3.0-or-later
// What a mount costs, whatever the length of the history: requests, and round trips, which are its
// time divided by that of a request.
#include "tests/sim/scenario.h"
#include "tests/support/long_history.h"
#include "volume/check.h"
#include "volume/history.h"

namespace s3crate::sim {
namespace {

using test::LongHistory;

constexpr Duration kRequest = 30ms;
constexpr std::uint64_t kRequestsMax = 12;
constexpr std::uint64_t kBasesMax = 45;
constexpr std::int64_t kRoundTripsMax = 7;

struct Cost {
  std::uint64_t requests = 0;
  std::int64_t round_trips = 0;
};

// Runs `call` of a mount whose requests all take as long.
Result<Cost> cost_of(StackWorld& w, Mount& mount, const std::function<Result<>()>& call) {
  mount.hooks.before = [&](store::Verb, const std::string&) -> Result<> {
    w.sleep(kRequest);
    return {};
  };
  const auto requests = mount.requests().calls();
  const MonotonicTime start = w.world.executor().monotonic_now();
  auto done = call();
  const Duration took = w.world.executor().monotonic_now() - start;
  mount.hooks.before = {};
  TRY(std::move(done));
  return Cost{mount.requests().calls() - requests, took / kRequest};
}

// A writer on another machine, who never closes the volume.
class Writer {
 public:
  Writer(StackWorld& w, std::uint64_t checkpoint_commits)
      : process_(w.world.start(w.world.add_disk())),
        volume_(w.open_volume(process_->env(), process_->store())),
        history(process_->env(), **volume_, checkpoint_commits) {}

 private:
  std::unique_ptr<Process> process_;
  Result<std::unique_ptr<volume::Volume>> volume_;

 public:
  LongHistory history;
};

std::uint64_t commits_to_read(StackWorld& w, Mount& mount, Generation generation) {
  auto volume = w.open_volume(mount.env(), mount.store());
  auto commit = (*volume)->load_commit(generation);
  return (*volume)->load_view(*commit)->change_commits;
}

// Twice by a writer, who finds a journal the second time and has seen the volume before, and by a
// reader.
void expect_bounded(StackWorld& w, Generation newest) {
  SCOPED_TRACE(fmt::format("{} generations", newest));
  SimDisk& machine = w.world.add_disk();
  device::DiskOptions options = small_options();
  options.checkpoint_runs = 100'000;
  options.take_over = true;
  std::uint64_t bases = 0;
  for (int life = 0; life < 2; ++life) {
    Mount mount(w, machine, options);
    const auto cost = cost_of(w, mount, [&] { return mount.open(); });
    ASSERT_OK(cost);
    bases = commits_to_read(w, mount, newest);
    EXPECT_LE(bases, kBasesMax + 1);  // and the head itself
    EXPECT_LE(cost->requests, kRequestsMax + bases);
    EXPECT_LE(cost->round_trips, kRoundTripsMax);
    if (std::getenv("S3CRATE_STACK_LOG") != nullptr)
      fmt::print("{} generations: {} commits, {} requests, {} round trips\n", newest, bases,
                 cost->requests, cost->round_trips);
    mount.kill();
  }
  options.read_only = true;
  Mount reader(w, w.world.add_disk(), options);
  const auto cost = cost_of(w, reader, [&] { return reader.open(); });
  ASSERT_OK(cost);
  EXPECT_LE(cost->requests, kRequestsMax + bases + 2);  // the two lives' open
  EXPECT_LE(cost->round_trips, 4);
}

class MountCost : public testing::TestWithParam<std::uint64_t> {};

TEST_P(MountCost, IsBoundedWhateverTheHistory) {
  StackWorld w(GetParam());
  w.run([&] { ASSERT_NO_FATAL_FAILURE(expect_bounded(w, Generation(1))); });
  StackWorld grown(GetParam() + 1);
  grown.run([&] {
    Writer writer(grown, GetParam());
    ASSERT_OK(writer.history.open());
    for (std::uint64_t n : {15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 5000}) {
      ASSERT_OK(writer.history.grow_to(Generation(n)));
      const auto names = grown.bucket().names();
      ASSERT_NO_FATAL_FAILURE(expect_bounded(grown, Generation(n)));
      // As if nobody had taken over: the writer goes on.
      for (const std::string& name : grown.bucket().names())
        if (!std::ranges::binary_search(names, name)) grown.bucket().lose(name);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(CheckpointEvery, MountCost, testing::Values(0, 1024));

// By a disk, with data, over two levels; each generation reads back as it was.
TEST(LongHistoryOfADisk, EveryGenerationReadsBack) {
  StackWorld w(3, {.disk_bytes = 64 << 12});
  w.run([&] {
    device::DiskOptions options = small_options();
    options.checkpoint_runs = 10'000;
    options.delta_runs_max = 1000;
    std::map<Generation, Bytes> states;
    Bytes now(64 << 12);
    while (states.empty() || states.rbegin()->first < Generation(300)) {
      Mount mount(w, w.world.disk(), options);
      ASSERT_OK(mount.open());
      for (int i = 0; i < 60; ++i) {
        const std::uint64_t block = w.dice().below(64);
        const bool zero = w.dice().coin();
        const Bytes data = zero ? Bytes(4096) : pattern(4096, states.size() + 1);
        std::ranges::copy(data, now.begin() + static_cast<std::ptrdiff_t>(block * 4096));
        ASSERT_OK(mount.disk().write(block * 4096, data));
        auto generation = mount.disk().sync();
        ASSERT_OK(generation);
        states[*generation] = now;
      }
      if (w.dice().coin())
        mount.kill();
      else
        ASSERT_OK(mount.close());
    }
    auto process = w.world.start(w.world.add_disk());
    for (const auto& [generation, state] : states) {
      if (generation.value % 16 > 1 && w.dice().below(8) != 0) continue;
      auto read = w.read_generation(process->env(), process->store(), generation);
      ASSERT_OK(read);
      EXPECT_EQ(*read, state) << generation.value;
    }
    // What is repeated is neither damage nor news.
    auto volume = w.open_volume(process->env(), process->store());
    ASSERT_OK(volume);
    auto history = volume::History::open(**volume);
    ASSERT_OK(history);
    std::uint64_t bytes = 0, stored = 0;
    const auto entries = history->next(10'000);
    ASSERT_OK(entries);
    for (const auto& entry : *entries) bytes += entry.bytes_added;
    for (const std::string prefix : {"segments/", "map/"}) {
      for (std::string after;;) {
        const auto page = process->store().list(prefix, after, 1000);
        ASSERT_OK(page);
        for (const auto& info : page->objects) stored += info.size;
        if (!page->more) break;
        after = page->objects.back().name;
      }
    }
    EXPECT_EQ(bytes, stored);
    auto report = volume::check(process->env(), **volume, {.read_data = true});
    ASSERT_OK(report);
    EXPECT_TRUE(report->clean()) << report->damages_total;
    EXPECT_EQ(report->segments, w.objects("segments/"));
  });
}

std::uint64_t checkpoints_after(StackWorld& w, const device::DiskOptions& options, int writes) {
  Mount mount(w, w.world.disk(), options);
  auto opened = mount.open();
  EXPECT_OK(opened);
  for (int i = 0; i < writes; ++i) {
    EXPECT_OK(mount.disk().write(0, pattern(4096, static_cast<std::uint64_t>(i) + 1)));
    EXPECT_OK(mount.disk().sync());
  }
  w.sleep(1s);
  const std::uint64_t made = mount.disk().stats().checkpoints;
  EXPECT_OK(mount.close());
  return made;
}

// One block over and over: the map of the changes stays small, what commits hold does not.
TEST(CheckpointIsDue, AfterSoManyBytesOfChanges) {
  StackWorld w(4);
  w.run([&] {
    device::DiskOptions options = small_options();
    options.checkpoint_bytes = 10'000;
    EXPECT_EQ(checkpoints_after(w, options, 30), 0u);
    EXPECT_EQ(checkpoints_after(w, options, 50), 1u);
  });
}

// Of several mounts together.
TEST(CheckpointIsDue, AfterSoManyCommits) {
  StackWorld w(5);
  w.run([&] {
    device::DiskOptions options = small_options();
    options.checkpoint_commits = 30;
    EXPECT_EQ(checkpoints_after(w, options, 10), 0u);
    EXPECT_EQ(checkpoints_after(w, options, 10), 0u);
    EXPECT_EQ(checkpoints_after(w, options, 10), 1u);
    EXPECT_EQ(checkpoints_after(w, options, 10), 0u);
  });
}

TEST(CheckpointIsDue, AfterSoManyGuests) {
  StackWorld w(6);
  w.run([&] {
    Mount mount(w, w.world.disk(), small_options());
    ASSERT_OK(mount.open());
    ASSERT_OK(mount.disk().write(0, pattern(4096, 1)));
    ASSERT_OK(mount.disk().sync());
    auto process = w.world.start(w.world.add_disk());
    auto volume = w.open_volume(process->env(), process->store());
    ASSERT_OK(volume);
    LongHistory other(process->env(), **volume, 0);
    for (int i = 0; i < 256; ++i) ASSERT_OK(other.guest());
    EXPECT_EQ(mount.disk().stats().checkpoints, 0u);
    ASSERT_OK(mount.disk().write(0, pattern(4096, 2)));
    ASSERT_OK(mount.disk().sync());
    wait_until(w, [&] { return mount.disk().stats().checkpoints == 1; });
    w.sleep(1h);
    EXPECT_EQ(mount.disk().stats().checkpoints, 1u);
    EXPECT_EQ(*mount.read(0, 4096), pattern(4096, 2));
    ASSERT_OK(mount.close());
  });
}

// The past is opened beside the newest generation.
TEST(MountCostOfThePast, IsBoundedToo) {
  StackWorld w(1);
  w.run([&] {
    Writer writer(w, 1024);
    ASSERT_OK(writer.history.open());
    ASSERT_OK(writer.history.grow_to(Generation(20'000)));
    for (std::uint64_t g : {1, 2, 3, 17, 1023, 1024, 10'000, 19'999, 20'000}) {
      Mount mount(w, w.world.disk(), small_options());
      std::uint64_t bases = 0;
      const auto cost = cost_of(w, mount, [&]() -> Result<> {
        auto volume = TRY(w.open_volume(mount.env(), mount.store()));
        TRY(volume->load_head());
        bases = TRY(volume->load_view(TRY(volume->load_commit(Generation(g))))).change_commits;
        return {};
      });
      ASSERT_OK(cost);
      EXPECT_LE(bases, kBasesMax + 1) << g;
      EXPECT_LE(cost->requests, kRequestsMax + bases) << g;
      EXPECT_LE(cost->round_trips, 5) << g;
    }
  });
}

// A head that says nothing of its bases costs a round trip more, not one a base.
TEST(MountCostOfAGuest, IsOneRoundTripMore) {
  StackWorld w(2);
  w.run([&] {
    Writer writer(w, 0);
    ASSERT_OK(writer.history.open());
    ASSERT_OK(writer.history.grow_to(Generation(255)));
    ASSERT_OK(writer.history.guest());
    device::DiskOptions options = small_options();
    options.take_over = true;
    Mount mount(w, w.world.disk(), options);
    const auto cost = cost_of(w, mount, [&] { return mount.open(); });
    ASSERT_OK(cost);
    EXPECT_LE(cost->requests, kRequestsMax + kBasesMax);
    EXPECT_LE(cost->round_trips, kRoundTripsMax);
    ASSERT_OK(mount.close());
  });
}

// It never heard of it, so it had no journal of a term; and yet nobody else took the volume. Without --take-over, and nothing is lost.
TEST(Fencing, OpenThatLandsAfterTheFirstMountDiedIsTakenIn) {
  std::uint64_t between = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    StackWorld w(seed);
    w.run([&] {
      device::DiskOptions options = lazy_options();
      if (seed % 2 == 0) options.durability = device::Durability::store;
      w.bucket().faults.latency_max = 2ms;
      {
        Mount mount(w, w.world.disk(), options);
        mount.hooks.before = [&](store::Verb verb, const std::string& name) -> Result<> {
          if (verb == store::Verb::put && is_commit(name)) {
            w.bucket().faults.late_per_million = 1'000'000;
            w.bucket().faults.late_max = 30ms;
          }
          return {};
        };
        mount.hooks.after = [&](store::Verb verb, const std::string& name) -> Result<> {
          if (verb == store::Verb::put && is_commit(name)) mount.kill();
          return {};
        };
        EXPECT_FALSE(mount.open());
      }
      w.bucket().faults.late_per_million = 0;
      {
        Mount mount(w, w.world.disk(), options);
        ASSERT_OK(mount.open());
        w.bucket().settle_all();
        auto volume = w.open_volume(mount.env(), mount.store());
        ASSERT_OK(volume);
        auto head = (*volume)->load_head();
        ASSERT_OK(head);
        between += head->body.epoch == 2;
        ASSERT_OK(mount.disk().write(0, pattern(10'000, 1)));
        ASSERT_OK(mount.disk().flush());
        mount.kill();
      }
      Mount again(w, w.world.disk(), options);
      ASSERT_OK(again.open());
      EXPECT_EQ(*again.read(0, 10'000), pattern(10'000, 1));
      ASSERT_OK(again.close());
    });
  }
  EXPECT_GT(between, 5u) << "it never landed in time";
  EXPECT_LT(between, 60u) << "it never came late";
}

}  // namespace
}  // namespace s3crate::sim
