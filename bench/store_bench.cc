// SPDX-License-Identifier: GPL-3.0-or-later
// The directory store beside its bare limits: an 8 MiB put beside the same bytes written to a file
// and synced; journal-like writes with their fdatasync through both FileIos. In TMPDIR, so give one
// on the disk in question.

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "base/executor.h"
#include "io/file_io.h"
#include "store/dir_store.h"
#include "tests/support/temp_dir.h"

namespace s3crate {
namespace {

constexpr std::size_t kSegment = 8 << 20;

void count_bytes(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
}

void raw_copy(benchmark::State& state) {
  test::TempDir dir;
  const Bytes data(kSegment, 0x5a);
  std::size_t n = 0;
  for (auto _ : state) {
    auto file = io::posix_file_io().open(dir / std::to_string(n++), io::OpenMode::create_new);
    CHECK(file && (*file)->write_at(0, data, io::Sync::yes));
  }
  count_bytes(state, kSegment);
}
BENCHMARK(raw_copy)->UseRealTime();

void dir_store_put(benchmark::State& state) {
  test::TempDir dir;
  store::DirStore store(io::posix_file_io(), system_random(), dir.path());
  const Bytes data(kSegment, 0x5a);
  std::size_t n = 0;
  for (auto _ : state) CHECK(store.put("segments/" + std::to_string(n++), data));
  count_bytes(state, kSegment);
}
BENCHMARK(dir_store_put)->UseRealTime();

void dir_store_get_range(benchmark::State& state) {
  test::TempDir dir;
  store::DirStore store(io::posix_file_io(), system_random(), dir.path());
  CHECK(store.put("segments/1", Bytes(kSegment, 0x5a)));
  Bytes out(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) CHECK(store.get_range("segments/1", 4096, out));
  count_bytes(state, out.size());
}
BENCHMARK(dir_store_get_range)->Arg(4096)->Arg(1 << 20)->UseRealTime();

// `range(0)` neighbouring writes of 8 KiB and one fdatasync, in a preallocated file.
void write_and_sync(benchmark::State& state, io::FileIo& files) {
  constexpr std::size_t kPiece = 8192, kFile = 64 << 20;
  test::TempDir dir;
  auto file = files.open(dir / "journal", io::OpenMode::create_new);
  CHECK(file && (*file)->write_at(0, Bytes(kFile, 1), io::Sync::yes));
  const Bytes data(kPiece, 0x5a);
  ByteView part = data;
  std::vector<io::WriteOp> ops(static_cast<std::size_t>(state.range(0)));
  std::uint64_t at = 0;
  for (auto _ : state) {
    for (io::WriteOp& op : ops) {
      op = {at, {&part, 1}};
      at = (at + kPiece) % kFile;
    }
    CHECK((*file)->write(ops, io::Sync::yes));
  }
  count_bytes(state, ops.size() * kPiece);
}
void posix_write_and_sync(benchmark::State& state) { write_and_sync(state, io::posix_file_io()); }
void uring_write_and_sync(benchmark::State& state) { write_and_sync(state, io::uring_file_io()); }
BENCHMARK(posix_write_and_sync)->Arg(1)->Arg(8)->Arg(64)->UseRealTime();
BENCHMARK(uring_write_and_sync)->Arg(1)->Arg(8)->Arg(64)->UseRealTime();

}  // namespace
}  // namespace s3crate
