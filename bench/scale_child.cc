// SPDX-License-Identifier: GPL-3.0-or-later
#include "bench/scale_child.h"

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "bench/scale_store.h"
#include "cli/process.h"
#include "device/disk.h"
#include "tests/support/temp_dir.h"
#include "volume/history.h"

namespace s3crate::bench {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr Duration kLatency = 30ms;
constexpr std::uint64_t kBlock = 4096;

double seconds_since(MonotonicTime start) {
  return std::chrono::duration<double>(system_env().clock.monotonic_now() - start).count();
}

// Of this process, in bytes: "VmRSS", "VmHWM".
std::uint64_t memory(const std::string& which) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(which + ":")) return std::stoull(line.substr(which.size() + 1)) << 10;
  return 0;
}

// Data that does not shrink; of each block the same each time.
class Pool {
 public:
  Pool() : bytes_(kBlocks * kBlock) { system_random().fill(bytes_); }
  [[nodiscard]] ByteView block(std::uint64_t block) const {
    return ByteView(bytes_).subspan(block % kBlocks * kBlock, kBlock);
  }
  [[nodiscard]] ByteView mebibyte(std::uint64_t n) const {
    return ByteView(bytes_).subspan(n % 256 * kBlock, 1 << 20);
  }

 private:
  static constexpr std::uint64_t kBlocks = 512;
  Bytes bytes_;
};

// A mount as the program makes it, but for FUSE. The state is in memory, that of no process.
class Mount {
 public:
  Mount(ScaleStore& store, std::uint64_t checkpoint_runs) : far(system_env(), store, kLatency) {
    options.take_over = true;
    options.state_dir = state_ / "state";
    options.host = "host";
    options.home = {"host", "/somewhere"};
    options.url = "memory";
    options.checkpoint_runs = checkpoint_runs;
    options.log = [](const std::string& line) {
      if (!line.starts_with("taking over")) fmt::print(stderr, "scale: {}\n", line);
    };
  }
  ~Mount() {
    disk.reset();
    volume.reset();
  }
  Result<> open() {
    volume =
        TRY(volume::Volume::open(system_env(), far, the_key(),
                                 {.expected = {}, .page_cache_bytes = options.map_cache_bytes}));
    disk = TRY(device::Disk::open(system_env(), io::uring_file_io(), *volume, options));
    return {};
  }
  // What the user set, and the 64 MiB that all the rest may take.
  [[nodiscard]] std::uint64_t memory_max() const {
    return options.dirty_max + options.block_cache_bytes + options.map_cache_bytes + (64 << 20);
  }
  Result<> wait_for_checkpoint(std::uint64_t number) {
    const MonotonicTime start = system_env().clock.monotonic_now();
    while (disk->stats().checkpoints < number) {
      if (seconds_since(start) > 600) return fail(Code::kIo, "there is no checkpoint");
      nap(system_env().clock, system_env().executor, 5ms);
    }
    return {};
  }

  FarStore far;
  device::DiskOptions options;
  std::unique_ptr<volume::Volume> volume;
  std::unique_ptr<device::Disk> disk;

 private:
  test::TempDir state_;
};

Result<json> open_past(ScaleStore& store, const Job& job) {
  FarStore far(system_env(), store, kLatency);
  const MonotonicTime start = system_env().clock.monotonic_now();
  auto volume = TRY(volume::Volume::open(system_env(), far, the_key(), {}));
  volume::Commit commit = TRY(volume->load_head());
  if (commit.header.generation != Generation(job.number))
    commit = TRY(volume->load_commit(Generation(job.number)));
  const volume::View view = TRY(volume->load_view(commit));
  // The root page, if there is one, is what the first read needs.
  if (view.map) (void)TRY(volume->pages().load(view.map->page));
  return json{{"seconds", seconds_since(start)},
              {"requests", far.requests()},
              {"round_trips", far.round_trips()},
              {"commits", view.change_commits}};
}

// Pages as the command `history` takes them (cli/history.cc); each part begins cold.
Result<json> list_history(ScaleStore& store, const Job& job) {
  const auto part = [&](const char* what, std::optional<volume::Point> start, std::uint64_t n) -> Result<json> {
    FarStore far(system_env(), store, kLatency);
    const MonotonicTime begin = system_env().clock.monotonic_now();
    auto volume = TRY(volume::Volume::open(system_env(), far, the_key(), {.expected = {}, .page_cache_bytes = 16 << 20}));
    auto history = TRY(volume::History::open(*volume, start));
    std::uint64_t next = start ? job.number / 2 : job.number;
    for (std::uint64_t page = 64, left = n; left > 0; page = std::min<std::uint64_t>(16 * page, 65'536)) {
      const auto rows = TRY(history.next(std::min(left, page)));
      for (const auto& row : rows)
        if (row.generation != Generation(next--) || !row.problem.empty()) return fail(Code::kCorrupt, "generation {}: {}", row.generation, row.problem);
      if (rows.empty()) return fail(Code::kCorrupt, "the list ends with generation {}", next + 1);
      left -= rows.size();
    }
    return json{{"what", what}, {"seconds", seconds_since(begin)}, {"requests", far.requests()}, {"round_trips", far.round_trips()}};
  };
  auto parts = json::array();
  parts.push_back(TRY(part("the newest 64", std::nullopt, 64)));
  parts.push_back(TRY(part("64 from the middle on,", Generation(job.number / 2), 64)));
  parts.push_back(TRY(part("all", std::nullopt, job.number)));
  return json{{"parts", parts}, {"peak", memory("VmHWM")}};
}

// Pages and microseconds for a lookup of 64 KiB at random places: of the whole range, then again
// and again of places that fit into the cache.
Result<> look_up(Mount& mount, const Job& job, json& out) {
  const volume::View view = TRY(mount.volume->load_view(TRY(mount.volume->load_head())));
  volume::PageLoader& pages = mount.volume->pages();
  std::mt19937_64 random(1);
  std::vector<BlockIndex> warm;
  const auto pass = [&](std::uint64_t lookups, bool again, const std::string& name) -> Result<> {
    const auto before = pages.stats();
    const MonotonicTime start = system_env().clock.monotonic_now();
    for (std::uint64_t i = 0; i < lookups; ++i) {
      const BlockIndex at = again ? warm[i % warm.size()]
                                  : BlockIndex(job.from + random() % (job.to - job.from - 16));
      if (!again && warm.size() < 100) warm.push_back(at);
      TRY(map_lookup(pages, view.map, at, at + 16, [](const volume::Run&) {}));
    }
    const auto each = static_cast<double>(lookups);
    out[name + "_us"] = seconds_since(start) * 1e6 / each;
    out[name + "_loads"] = static_cast<double>(pages.stats().misses - before.misses) / each;
    return {};
  };
  TRY(pass(5'000, false, "cold"));
  TRY(pass(100, true, "fill"));
  return pass(100'000, true, "warm");
}

// All caches get full, all budgets are used, a checkpoint goes over the whole map.
Result<> work(Mount& mount, const Job& job, json& out) {
  constexpr std::uint64_t kWrites = 150'000;
  const Pool pool;
  const auto go_over = [&](const std::function<Result<>(std::uint64_t)>& each) -> Result<> {
    std::mt19937_64 random(2);
    for (std::uint64_t i = 0; i < kWrites; ++i)
      TRY(each(job.from + random() % (job.to - job.from)));
    return {};
  };
  const auto misses = mount.disk->stats().map_cache_misses;
  const MonotonicTime start = system_env().clock.monotonic_now();
  TRY(go_over([&](std::uint64_t b) { return mount.disk->write(b * kBlock, pool.block(b)); }));
  (void)TRY(mount.disk->sync());
  TRY(mount.wait_for_checkpoint(1));
  out["work_seconds"] = seconds_since(start);
  out["checkpoint_loads"] = mount.disk->stats().map_cache_misses - misses;
  Bytes got(kBlock);
  return go_over([&](std::uint64_t b) -> Result<> {
    TRY(mount.disk->read(b * kBlock, got));
    if (!equal(got, pool.block(b))) return fail(Code::kCorrupt, "block {} reads back otherwise", b);
    return {};
  });
}

Result<json> mount(ScaleStore& store, const Job& job) {
  Mount mount(store, job.checkpoint_runs);
  const MonotonicTime start = system_env().clock.monotonic_now();
  TRY(mount.open());
  json out{{"seconds", seconds_since(start)},
           {"requests", mount.far.requests()},
           {"round_trips", mount.far.round_trips()},
           {"memory_max", mount.memory_max()},
           {"mounted", memory("VmRSS")}};
  mount.far.far = false;
  TRY(look_up(mount, job, out));
  TRY(work(mount, job, out));
  out["worked"] = memory("VmRSS");
  out["peak"] = memory("VmHWM");
  return out;
}

// So many changes a round that each has its checkpoint. The first half of them is not counted:
// until then the map is not what it is after a long time.
Result<json> write(ScaleStore& store, const Job& job) {
  const bool sequential = job.what == "sequential";
  const Pool pool;
  Mount mount(store, job.checkpoint_runs);
  mount.far.far = false;
  store.keep_segments = false;
  TRY(mount.open());
  std::mt19937_64 random(3);
  PutCounts before{};
  std::uint64_t at = job.from * kBlock, bytes = 0, misses = 0;
  MonotonicTime start{};
  for (std::uint64_t round = 0; round < job.rounds; ++round) {
    if (round == job.rounds / 2) {
      before = store.counts();
      misses = mount.disk->stats().map_cache_misses;
      bytes = 0;
      start = system_env().clock.monotonic_now();
    }
    const std::uint64_t runs = job.checkpoint_runs + job.checkpoint_runs / 20;
    for (std::uint64_t i = 0; i < (sequential ? runs / 16 : runs); ++i) {
      const std::uint64_t block = job.from + random() % (job.to - job.from);
      const ByteView data = sequential ? pool.mebibyte(i) : pool.block(block);
      TRY(mount.disk->write(sequential ? at : block * kBlock, data));
      bytes += data.size();
      at += data.size();
    }
    (void)TRY(mount.disk->sync());
    TRY(mount.wait_for_checkpoint(round + 1));
  }
  json out{{"user_bytes", bytes},
           {"seconds", seconds_since(start)},
           {"page_loads", mount.disk->stats().map_cache_misses - misses},
           {"extents", mount.disk->stats().extents},
           {"checkpoints", mount.disk->stats().checkpoints}};
  const PutCounts now = store.counts();
  constexpr std::array<const char*, kKinds> kNames = {"commits", "segments", "map", "other"};
  for (std::size_t kind = 0; kind < kKinds; ++kind) {
    out["puts"][kNames[kind]] = now[kind].puts - before[kind].puts;
    out["bytes"][kNames[kind]] = now[kind].bytes - before[kind].bytes;
  }
  return out;
}

}  // namespace

volume::KeySource the_key() {
  volume::KeySource keys;
  keys.key_file = crypto::Secret::copy_of(Bytes(32, 7));
  return keys;
}

nlohmann::json run(const Job& job) {
  const std::string command =
      fmt::format("exec '{}' --child {} {} {} {} {} {} {}",
                  std::filesystem::read_symlink("/proc/self/exe").string(), job.what, job.store,
                  job.number, job.from, job.to, job.rounds, job.checkpoint_runs);
  std::FILE* pipe = ::popen(command.c_str(), "r");
  CHECK(pipe != nullptr);
  std::string said;
  for (int c; (c = std::fgetc(pipe)) != EOF;) said.push_back(static_cast<char>(c));
  const int status = ::pclose(pipe);
  json out = json::parse(said, nullptr, false);
  if (status != 0 || out.is_discarded()) {
    fmt::print(stderr, "scale: {} failed: {}\n", job.what, said);
    std::exit(2);
  }
  return out;
}

Result<nlohmann::json> run_here(std::span<char* const> arguments) {
  CHECK(arguments.size() == 7 && crypto::initialise());
  cli::share_freed_memory();
  const auto number = [&](std::size_t i) { return std::stoull(arguments[i]); };
  const Job job{arguments[0], arguments[1], number(2), number(3), number(4), number(5), number(6)};
  const auto store = ScaleStore::take(job.store);
  if (job.what == "open") return open_past(*store, job);
  if (job.what == "history") return list_history(*store, job);
  if (job.what == "mount") return mount(*store, job);
  return write(*store, job);
}

}  // namespace s3crate::bench
