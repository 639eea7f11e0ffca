// SPDX-License-Identifier: GPL-3.0-or-later
// scale: what volumes of any size and age cost.
//
//     bench/scale [--extents N] [--generations N] [--rounds N] [--only mounts|writes] [--json]
//                 [--store DIR]
//
// Makes volumes out of pages and commits alone, in memory or in files of DIR, and prints what a
// mount, the past, a lookup, a commit and random and sequential writes cost, beside the limits that
// hold. Status 1 if one is missed, 2 if something failed. By default a map of 100,000,000 extents
// and 1,000,000 generations, which take 6 GiB; 1,000,000,000 extents need --store.
//
// Memory is that of a process which does nothing else (bench/scale_child.h); the objects are in
// none. Requests and bytes are counted at the store, all of them. Times are those of a store whose
// every request takes 30 ms (mounts, the past), or none (all else).
#include <getopt.h>

#include <cstdlib>

#include "bench/scale_child.h"
#include "bench/scale_figures.h"
#include "bench/scale_store.h"
#include "tests/support/synthetic_map.h"
#include "volume/create.h"

namespace s3crate::bench {
namespace {

using nlohmann::json;
using test::LongHistory;
using test::MapShape;
using test::SyntheticMap;

constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kTiB = 1ull << 40;
constexpr std::uint64_t kCheckpointCommits = 1024;
constexpr double kRequestsMax = 12 + 45, kRoundTripsMax = 7;
constexpr double kMiB = 1 << 20;
constexpr double kListMax = 96;  // MiB

struct Options {
  std::uint64_t extents = 100'000'000;
  std::uint64_t generations = 1'000'000;
  std::uint64_t rounds = 24;
  std::string only;
  std::string store;
  bool as_json = false;
};

void must(const Result<>& done) {
  if (done) return;
  fmt::print(stderr, "scale: {}\n", done.error().message());
  std::exit(2);
}

void say(const std::string& what) { fmt::print(stderr, "{}...\n", what); }

// A volume whose writer goes on.
struct World {
  World(const std::string& directory, std::uint64_t disk_bytes) : store(directory) {
    volume::CreateOptions create;
    create.disk_bytes = disk_bytes;
    volume::SlotRequest slot;
    slot.key_file = std::move(the_key().key_file);
    CHECK(volume::create(system_env(), store, create, {&slot, 1}));
    volume = std::move(volume::Volume::open(system_env(), store, the_key(), {}).value());
    history = std::make_unique<LongHistory>(system_env(), *volume, kCheckpointCommits);
    must(history->open());
    history->keep_catalogue();
  }
  ScaleStore store;
  std::unique_ptr<volume::Volume> volume;
  std::unique_ptr<LongHistory> history;
};

class Scale {
 public:
  explicit Scale(const Options& options) : options_(options) {}

  void mounts() {
    World world(options_.store, 16 * kTiB);
    say(fmt::format("a map of {} extents", options_.extents));
    MapShape shape;
    shape.to = BlockIndex(16 * kTiB / kBlock);
    shape.extents = options_.extents;
    shape.aged = true;
    must(SyntheticMap(system_env(), *world.history, shape).make());
    const auto stored = static_cast<double>(world.store.stored_bytes());
    const std::string first = fmt::format("16 TiB, {} extents", options_.extents);
    figures_.add(first, "the map, stored", stored / kMiB, "MiB");
    figures_.add(first, "a stored extent in it", stored / static_cast<double>(options_.extents),
                 "bytes");
    grow(world, first, options_.generations / 10);
    look_at(world, first, shape);
    if (options_.only != "mounts") aged_writes(world, first, shape);

    MapShape more;
    more.from = shape.to;
    more.to = BlockIndex((1024 * kTiB) / kBlock);
    more.extents = options_.extents / 100;
    must(world.history->resize(1024 * kTiB));
    must(SyntheticMap(system_env(), *world.history, more).make());
    const std::string second = fmt::format("1 PiB, {} extents", options_.extents + more.extents);
    grow(world, second, options_.generations);
    look_at(world, second, shape);
  }

  void writes() {
    constexpr std::uint64_t kDisk = 64ull << 30;
    {
      say("sequential writes");
      World world(options_.store, kDisk);
      write(world, "sequential writes of an empty 64 GiB disk",
            {.what = "sequential", .store = "", .from = 0, .to = kDisk / kBlock, .rounds = 1}, 1.02,
            140);
    }
    say("random writes over 64 GiB");
    World world(options_.store, kDisk);
    MapShape shape;
    shape.to = BlockIndex(kDisk / kBlock);
    shape.extents = (shape.to - shape.from) / SyntheticMap::kExtentBlocks;
    must(SyntheticMap(system_env(), *world.history, shape).make());
    write(world, "random 4 KiB writes over a prefilled 64 GiB disk",
          {.what = "random",
           .store = "",
           .from = shape.from.value,
           .to = shape.to.value,
           .rounds = options_.rounds},
          1.25, 200);
  }

  [[nodiscard]] const Figures& figures() const { return figures_; }

 private:
  // By commits of one change each.
  void grow(World& world, const std::string& group, std::uint64_t generations) {
    say(fmt::format("{}: {} generations", group, generations));
    const auto now = [] { return system_env().clock.monotonic_now(); };
    const auto before = world.store.counts()[static_cast<std::size_t>(Kind::commits)];
    const MonotonicTime start = now();
    must(world.history->grow_to(Generation(generations)));
    const auto after = world.store.counts()[static_cast<std::size_t>(Kind::commits)];
    const auto commits = static_cast<double>(after.puts - before.puts);
    if (commits == 0) return;
    const double us = std::chrono::duration<double, std::micro>(now() - start).count();
    figures_.add(group, "a commit of one change", us / commits, "us");
    figures_.add(group, "  stored", static_cast<double>(after.bytes - before.bytes) / commits,
                 "bytes");
  }

  void look_at(World& world, const std::string& group, const MapShape& shape) {
    const std::uint64_t newest = world.history->chain().head().value;
    say(fmt::format("{}: mount, and the past", group));
    Job job{.what = "open", .store = world.store.handed_on()};
    for (const std::uint64_t g : {std::uint64_t{1}, newest / 2, newest}) {
      job.number = g;
      const json out = run(job);
      const std::string name = fmt::format("open generation {} of {}: ", g, newest);
      figures_.add(group, name + "requests", out["requests"], "", kRequestsMax);
      figures_.add(group, name + "round trips", out["round_trips"], "", kRoundTripsMax);
      figures_.add(group, name + "time", out["seconds"], "s");
    }
    list(job, group);
    job.what = "mount";
    job.from = shape.from.value, job.to = shape.to.value;
    const json out = run(job);
    const double max = static_cast<double>(out["memory_max"]) / kMiB;
    figures_.add(group, "mount: requests", out["requests"], "", kRequestsMax);
    figures_.add(group, "mount: round trips", out["round_trips"], "", kRoundTripsMax);
    figures_.add(group, "mount: time", out["seconds"], "s");
    const auto mib = [&](const char* what) { return static_cast<double>(out[what]) / kMiB; };
    figures_.add(group, "memory: mounted", mib("mounted"), "MiB", max);
    figures_.add(group, "memory: after work that fills all caches", mib("worked"), "MiB", max);
    figures_.add(group, "memory: most of it meanwhile", mib("peak"), "MiB", max);
    figures_.add(group, "lookup at random, cold: page loads", out["cold_loads"], "");
    figures_.add(group, "lookup at random, cold: time", out["cold_us"], "us");
    figures_.add(group, "lookup at random, warm: page loads", out["warm_loads"], "");
    figures_.add(group, "lookup at random, warm: time", out["warm_us"], "us");
    figures_.add(group, "150,000 writes and a checkpoint: page loads", out["checkpoint_loads"], "");
    figures_.add(group, "150,000 writes and a checkpoint: time", out["work_seconds"], "s");
  }

  // What `history` does.
  void list(Job job, const std::string& group) {
    job.what = "history";
    const json out = run(job);
    for (const auto& part : out["parts"]) {
      const std::string name = fmt::format("{} of {} generations: ", part["what"].get<std::string>(), job.number);
      figures_.add(group, name + "requests", part["requests"], "");
      figures_.add(group, name + "round trips", part["round_trips"], "");
      figures_.add(group, name + "time", part["seconds"], "s");
    }
    figures_.add(group, "listing all: most memory", static_cast<double>(out["peak"]) / kMiB, "MiB", kListMax);
  }

  // A sixteenth of the disk, and of the changes of a checkpoint: to its leaves happens what would
  // happen to all in sixteen times as many writes. (PUTs are too many: each checkpoint has its
  // own.)
  void aged_writes(World& world, const std::string& group, const MapShape& shape) {
    say(fmt::format("{}: random writes", group));
    const std::uint64_t part = (shape.to - shape.from) / SyntheticMap::kSlices;
    write(world, group + ", random 4 KiB writes",
          {.what = "random",
           .store = "",
           .from = shape.from.value + part,
           .to = shape.from.value + 2 * part,
           .rounds = 4 * options_.rounds,
           .checkpoint_runs = 100'000 / SyntheticMap::kSlices},
          2, {});
  }

  void write(World& world, const std::string& group, Job job, double bytes_max,
             std::optional<double> puts_max) {
    job.store = world.store.handed_on();
    const json out = run(job);
    const double user = out["user_bytes"], gib = user / (1 << 30);
    double bytes = 0, puts = 0;
    for (const auto& [kind, n] : out["bytes"].items()) bytes += static_cast<double>(n);
    for (const auto& [kind, n] : out["puts"].items()) puts += static_cast<double>(n);
    figures_.add(group, "bytes uploaded per byte written", bytes / user, "", bytes_max);
    for (const auto& [kind, n] : out["bytes"].items())
      if (n != 0) figures_.add(group, "  in " + kind, static_cast<double>(n) / user, "");
    figures_.add(group, "PUTs per GiB written", puts / gib, "", puts_max);
    for (const auto& [kind, n] : out["puts"].items())
      if (n != 0) figures_.add(group, "  of " + kind, static_cast<double>(n) / gib, "");
    figures_.add(group, "page loads per MiB written",
                 static_cast<double>(out["page_loads"]) / (user / kMiB), "");
    figures_.add(group, "rate", user / kMiB / static_cast<double>(out["seconds"]), "MiB/s");
  }

  const Options options_;
  Figures figures_;
};

Options parse(int argc, char** argv) {
  static const option kLong[] = {{"extents", required_argument, nullptr, 'e'},
                                 {"generations", required_argument, nullptr, 'g'},
                                 {"rounds", required_argument, nullptr, 'r'},
                                 {"only", required_argument, nullptr, 'o'},
                                 {"store", required_argument, nullptr, 's'},
                                 {"json", no_argument, nullptr, 'j'},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  for (int c; (c = ::getopt_long(argc, argv, "", kLong, nullptr)) != -1;) {
    if (c == 'e') options.extents = std::stoull(optarg);
    if (c == 'g') options.generations = std::stoull(optarg);
    if (c == 'r') options.rounds = std::stoull(optarg);
    if (c == 'o') options.only = optarg;
    if (c == 's') options.store = optarg;
    if (c == 'j') options.as_json = true;
    if (c == '?') std::exit(2);
  }
  return options;
}

int main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]) == "--child") {
    const auto out = run_here({argv + 2, argv + argc});
    fmt::print("{}\n", out ? out->dump() : out.error().message());
    return out ? 0 : 1;
  }
  CHECK(crypto::initialise());
  const Options options = parse(argc, argv);
  Scale scale(options);
  if (options.only != "writes") scale.mounts();
  if (options.only != "mounts") scale.writes();
  if (options.as_json)
    scale.figures().print_json();
  else
    scale.figures().print_table();
  return scale.figures().any_missed() ? 1 : 0;
}

}  // namespace
}  // namespace s3crate::bench

int main(int argc, char** argv) { return s3crate::bench::main(argc, argv); }
