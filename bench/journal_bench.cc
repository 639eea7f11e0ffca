// SPDX-License-Identifier: GPL-3.0-or-later
// What a durable 4 KiB batch costs, against pwrite and fdatasync of the same bytes.
// S3CRATE_BENCH_DIR: where the files are made, else TMPDIR; a memory filesystem there measures the
// work, a disk measures the promise.
#include <benchmark/benchmark.h>

#include "crypto/crypto.h"
#include "journal/journal.h"
#include "tests/support/temp_dir.h"

namespace s3crate::journal {
namespace {

constexpr std::uint64_t kFileBytes = kSlotsOffset + 32 * (8ull << 20);
constexpr std::size_t kExtentBytes = 4096 + 48;

std::string make_directory() {
  if (const char* base = std::getenv("S3CRATE_BENCH_DIR")) setenv("TMPDIR", base, 1);
  static test::TempDir directory;
  static int count = 0;
  const std::string path = directory / std::to_string(count++);
  CHECK(io::posix_file_io().make_directories(path));
  return path;
}

void raw_pwrite_and_fdatasync(benchmark::State& state) {
  auto file = io::posix_file_io().open(make_directory() + "/raw", io::OpenMode::create_new);
  CHECK(file && (*file)->allocate(kFileBytes));
  const Bytes bytes(8192, 1);  // what a record of one 4 KiB extent takes
  std::uint64_t offset = 0;
  for (auto _ : state) {
    CHECK((*file)->write_at(offset, bytes, io::Sync::yes));
    offset = (offset + bytes.size()) % (kFileBytes - bytes.size());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(raw_pwrite_and_fdatasync)->UseRealTime();

// One journal for all threads; appends come one at a time, syncs as they like.
struct Shared {
  explicit Shared(const std::string& path) {
    CHECK(crypto::initialise());
    Options options;
    options.path = path + "/journal";
    options.file_bytes = kFileBytes;
    auto created = Journal::create(system_env(), io::posix_file_io(), options, {}, {});
    CHECK(created);
    journal = std::move(*created);
    CHECK(journal->start_incarnation(Seq(1), 1, crypto::box_key_pair(system_random()).public_key));
    body.disk_bytes = 1 << 30;
    body.extents.push_back({1, 1, 0, kExtentBytes, crypto::digest(*extent)});
    body.runs.push_back({BlockIndex(7), 1, 0, 0});
  }
  void append() {
    MutexLock lock(mu);
    CHECK(journal->append(next, body, extent));
    if (next.value % 256 == 0) journal->release(journal->durable_through());
    next = next.next();
  }
  std::unique_ptr<Journal> journal;
  const SharedBytes extent = std::make_shared<const Bytes>(kExtentBytes, 1);
  RecordBody body;
  Mutex mu;
  Seq next{1};
};
std::unique_ptr<Shared> shared;

void journal_append_and_sync(benchmark::State& state) {
  for (auto _ : state) {
    shared->append();
    CHECK(shared->journal->sync());
  }
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) {
    const Stats stats = shared->journal->stats();
    state.counters["batches_per_sync"] =
        static_cast<double>(stats.appends) / static_cast<double>(stats.syncs);
  }
}
BENCHMARK(journal_append_and_sync)
    ->Setup([](const benchmark::State&) { shared = std::make_unique<Shared>(make_directory()); })
    ->Teardown([](const benchmark::State&) { shared.reset(); })
    ->Threads(1)
    ->Threads(16)
    ->UseRealTime();

void journal_append(benchmark::State& state) {
  shared = std::make_unique<Shared>(make_directory());
  for (auto _ : state) {
    shared->append();
    if (shared->journal->unsynced_bytes() >= 4 << 20) CHECK(shared->journal->sync());
  }
  shared.reset();
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kExtentBytes));
}
BENCHMARK(journal_append)->UseRealTime();

}  // namespace
}  // namespace s3crate::journal
