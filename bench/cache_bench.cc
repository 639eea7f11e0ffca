// SPDX-License-Identifier: GPL-3.0-or-later
// The codec of extents, and the cache of opened ones: what a read costs that finds them there, and one that has to open them out of a
// segment in memory.
#include <benchmark/benchmark.h>

#include "base/check.h"
#include "base/executor.h"
#include "cache/extent_cache.h"
#include "segment/extent.h"
#include "store/memory_store.h"

namespace s3crate {
namespace {

constexpr std::uint32_t kBlock = 4096;
constexpr std::size_t kExtents = 16;  // a read of 1 MiB, of extents of 64 KiB

Bytes noise(std::size_t size) {
  Bytes out(size);
  system_random().fill(out);
  return out;
}

// One segment of `kExtents` extents of so many bytes each, and whoever knows its key.
class Segment final : public cache::ObjectResolver {
 public:
  explicit Segment(std::size_t extent_bytes) {
    CHECK(crypto::initialise());
    const auto key = segment::extent_sealing_key(crypto::Secret(system_random()), segment::Vid{});
    Bytes stored;
    for (std::uint32_t i = 0; i < kExtents; ++i) {
      const std::size_t at = stored.size();
      stored.resize(at + segment::sealed_extent_max(extent_bytes));
      const auto out = MutableByteView(stored).subspan(at);
      const auto size = segment::seal_extent(key, system_random(), i, noise(extent_bytes), kBlock, 1, out);
      stored.resize(at + size);
      refs.push_back({.object = {}, .number = i, .offset = static_cast<std::uint32_t>(at), .length = static_cast<std::uint32_t>(size),
                      .digest = crypto::digest(ByteView(stored).subspan(at))});
    }
    CHECK(store.put("segment", stored));
    opened_ = std::make_shared<cache::OpenedObject>(cache::OpenedObject{"segment", 0, key.opening_key()});
  }
  Result<std::shared_ptr<const cache::OpenedObject>> resolve(const segment::ObjectKey&) override { return opened_; }

  store::MemoryStore store;
  std::vector<segment::ExtentRef> refs;

 private:
  std::shared_ptr<const cache::OpenedObject> opened_;
};

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kExtents) * state.range(0));
}

void seal_extents(benchmark::State& state) {
  CHECK(crypto::initialise());
  const auto key = segment::extent_sealing_key(crypto::Secret(system_random()), segment::Vid{});
  const Bytes raw = noise(static_cast<std::size_t>(state.range(0)));
  Bytes out(segment::sealed_extent_max(raw.size()));
  for (auto _ : state)
    for (std::uint32_t i = 0; i < kExtents; ++i)
      benchmark::DoNotOptimize(segment::seal_extent(key, system_random(), i, raw, kBlock, 1, out));
  count_bytes(state);
}
BENCHMARK(seal_extents)->Arg(4096)->Arg(65536);

void open_out_of_segment(benchmark::State& state) {
  Segment segment(static_cast<std::size_t>(state.range(0)));
  BufferPool buffers(cache::kBuffersKept);
  cache::StoreExtentSource source(segment.store, segment, kBlock, nullptr, &buffers);
  for (auto _ : state)
    for (const auto& extent : source.load(segment.refs)) CHECK(extent);
  count_bytes(state);
}
BENCHMARK(open_out_of_segment)->Arg(4096)->Arg(65536);

void find_in_cache(benchmark::State& state) {
  Segment segment(static_cast<std::size_t>(state.range(0)));
  cache::StoreExtentSource source(segment.store, segment, kBlock);
  cache::ExtentCache cache(system_env().executor, 64 << 20);
  for (auto _ : state)
    for (const auto& extent : cache.fetch(segment.refs, source)) CHECK(extent);
  CHECK(cache.stats().misses == kExtents);
  count_bytes(state);
}
BENCHMARK(find_in_cache)->Arg(4096)->Arg(65536);

}  // namespace
}  // namespace s3crate
