// SPDX-License-Identifier: GPL-3.0-or-later
// A disk with a cache file: what it reads a second time, over restarts, asks nothing of the store.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "device/gather.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fake_clock.h"
#include "tests/support/seed.h"

namespace s3crate {
namespace {

using test::DiskWorld;

// Counts what is read of segments.
class Counting final : public store::ObjectStore {
 public:
  explicit Counting(store::ObjectStore& inner) : inner_(inner) {}
  Result<> put(const std::string& name, std::span<const ByteView> parts) override { return inner_.put(name, parts); }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override { return inner_.get(name, max_size); }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override {
    segment_gets += name.starts_with("segments/");
    map_gets += name.starts_with("map/");
    return inner_.get_range(name, offset, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override { return inner_.head(name); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after, std::size_t max_keys) override {
    return inner_.list(prefix, start_after, max_keys);
  }
  Result<> remove(const std::string& name) override { return inner_.remove(name); }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }

  std::atomic<std::uint64_t> segment_gets{0}, map_gets{0};

 private:
  store::ObjectStore& inner_;
};

class DiskCacheFile : public testing::Test {
 protected:
  static constexpr std::uint64_t kDisk = 32 << 20;
  static constexpr std::uint32_t kBlock = DiskWorld::kBlock;

  DiskCacheFile() {
    world.options.block_cache_bytes = 256 << 10;
    world.options.cache_file_bytes = 24 << 20;
  }
  void write_blocks(std::uint64_t from, std::uint64_t count, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Bytes data(count * kBlock);
    for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
    std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(from * kBlock));
    ASSERT_OK(world.disk->write(from * kBlock, data));
  }
  // One block at a time, in any order; answers how often the store was asked.
  std::uint64_t read_blocks(std::uint64_t from, std::uint64_t count, std::uint64_t seed) {
    std::vector<std::uint64_t> order(count);
    for (std::uint64_t i = 0; i < count; ++i) order[i] = from + i;
    std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
    const std::uint64_t before = store.segment_gets;
    Bytes block(kBlock);
    for (std::uint64_t at : order) {
      auto read = world.disk->read(at * kBlock, block);
      EXPECT_TRUE(read) << read.error().message();
      EXPECT_TRUE(equal(block, ByteView(model).subspan(at * kBlock, kBlock))) << at;
    }
    return store.segment_gets - before;
  }
  cache::CacheFileStats stats() { return world.disk->stats().cache_file.value(); }
  void reopen() {
    ASSERT_OK(world.close());
    ASSERT_OK(world.open());
  }
  [[nodiscard]] std::string path() const { return world.options.state_dir + "/" + to_hex(world.vid) + "/cache"; }
  [[nodiscard]] std::unique_ptr<io::File> file() const {
    auto opened = io::posix_file_io().open(path(), io::OpenMode::read_write);
    CHECK(opened);
    return std::move(*opened);
  }

  store::MemoryStore memory;
  Counting store{memory};
  DiskWorld world{kDisk, &store};
  Bytes model = Bytes(kDisk);
};

TEST_F(DiskCacheFile, AWarmRestartServesTheWorkingSetWithoutTheStore) {
  SEEDED_TEST(seed);
  ASSERT_OK(world.open());
  // Written elsewhere: nothing of it is here.
  world.options.cache_file_bytes = 0;
  reopen();
  write_blocks(0, 4096, seed);
  ASSERT_OK(world.close());
  world.options.cache_file_bytes = 24 << 20;
  ASSERT_OK(world.open());
  EXPECT_GE(read_blocks(0, 4096, seed), 256u);
  for (int restart = 0; restart < 2; ++restart) {
    reopen();
    EXPECT_LE(read_blocks(0, 4096, seed + 1), 4096u * 5 / 100);
    EXPECT_EQ(stats().wrong, 0u);
  }
  // And so it is for who may not write.
  ASSERT_OK(world.close());
  world.options.read_only = true;
  ASSERT_OK(world.open());
  EXPECT_LE(read_blocks(0, 4096, seed + 2), 4096u * 5 / 100);
  ASSERT_OK(world.close());
}

TEST_F(DiskCacheFile, WhatWasJustWrittenIsThereAfterARestart) {
  SEEDED_TEST(seed);
  ASSERT_OK(world.open());
  write_blocks(100, 2000, seed);
  reopen();
  EXPECT_LE(read_blocks(100, 2000, seed), 2000u * 5 / 100);
  EXPECT_GT(stats().hits, 0u);
  ASSERT_OK(world.close());
}

TEST_F(DiskCacheFile, AScanOfFourTimesTheCacheLeavesTheHotSetInPlace) {
  SEEDED_TEST(seed);
  ASSERT_OK(world.open());
  write_blocks(0, kDisk / kBlock, seed);
  ASSERT_OK(world.close());
  world.options.cache_file_bytes = 6 << 20;
  ASSERT_OK(world.open());
  constexpr std::uint64_t kHot = 700;  // of extents of 64 KiB: half of the cache
  read_blocks(0, kHot, seed);
  reopen();
  read_blocks(0, kHot, seed + 1);
  reopen();
  const std::uint64_t scanned = read_blocks(1024, 6144, seed);  // 24 MiB
  EXPECT_GT(scanned, 300u);
  reopen();
  EXPECT_LE(read_blocks(0, kHot, seed + 2), kHot * 30 / 100);
  ASSERT_OK(world.close());
  EXPECT_LE(*file()->size(), world.options.cache_file_bytes);
}

TEST_F(DiskCacheFile, PagesOfTheMapComeFromItToo) {
  SEEDED_TEST(seed);
  ASSERT_OK(world.open());
  for (std::uint64_t block = 0; block < 2000; block += 4) write_blocks(block, 1, seed + block);
  ASSERT_OK(world.disk->sync());
  EXPECT_GT(world.disk->stats().checkpoints, 0u);
  reopen();
  store.map_gets = 0;
  read_blocks(0, 2000, seed);
  const std::uint64_t warm = store.map_gets;
  world.options.cache_file_bytes = 0;
  reopen();
  store.map_gets = 0;
  read_blocks(0, 2000, seed);
  EXPECT_GT(store.map_gets, 15u);
  EXPECT_LE(warm, store.map_gets / 20);
  ASSERT_OK(world.close());
}

TEST_F(DiskCacheFile, AnyDamageToItIsFoundAndReadFromTheStoreInstead) {
  SEEDED_TEST(seed);
  ASSERT_OK(world.open());
  write_blocks(0, 1000, seed);
  ASSERT_OK(world.close());
  std::mt19937_64 random(seed);
  {
    auto damaged = file();
    const std::uint64_t size = damaged->size().value();
    for (int i = 0; i < 200; ++i) {
      std::array<std::uint8_t, 1> byte;
      const std::uint64_t at = 4096 + random() % (size - 4096);
      ASSERT_OK(damaged->read_at(at, byte));
      byte[0] ^= static_cast<std::uint8_t>(1 + random() % 255);
      ASSERT_OK(damaged->write_at(at, byte));
    }
  }
  ASSERT_OK(world.open());
  EXPECT_GT(read_blocks(0, 1000, seed), 0u);  // and all of it is right
  EXPECT_GT(stats().wrong, 0u);
  ASSERT_OK(world.close());
}

TEST_F(DiskCacheFile, NoneIsLeftWhenNoneIsWanted) {
  ASSERT_OK(world.open());
  write_blocks(0, 100, 1);
  ASSERT_OK(world.close());
  {
    auto held = file();
    ASSERT_OK(held->lock());
    world.options.cache_file_bytes = 0;
    world.options.drop_cache_file = true;
    ASSERT_OK(world.open());
    ASSERT_OK(world.close());
    EXPECT_TRUE(io::posix_file_io().identity(path())) << "another mount has it";
  }
  world.options.drop_cache_file = false;  // a mount that has no use for it, and no say
  ASSERT_OK(world.open());
  ASSERT_OK(world.close());
  EXPECT_TRUE(io::posix_file_io().identity(path()));
  world.options.drop_cache_file = true;
  ASSERT_OK(world.open());
  EXPECT_FALSE(world.disk->stats().cache_file);
  EXPECT_TRUE(is(io::posix_file_io().identity(path()), Code::kNotFound));
  read_blocks(0, 100, 1);
  ASSERT_OK(world.close());
}

TEST_F(DiskCacheFile, ItsIndexComesOutOfTheBlockCache) {
  ASSERT_OK(world.open());
  const device::Stats now = world.disk->stats();
  EXPECT_GT(now.cache_file->index_bytes, 0u);
  EXPECT_LE(now.cache_file->index_bytes, world.options.block_cache_bytes / 4);
  EXPECT_EQ(now.block_cache_capacity + now.cache_file->index_bytes, world.options.block_cache_bytes);
  ASSERT_OK(world.close());
}

TEST_F(DiskCacheFile, WithoutAPlaceForItTheDiskWorks) {
  std::vector<std::string> said;
  Mutex mu;
  world.options.log = [&](const std::string& line) {
    MutexLock lock(mu);
    said.push_back(line);
  };
  ASSERT_OK(world.open());
  ASSERT_OK(world.close());
  ASSERT_OK(io::posix_file_io().remove(path()));
  ASSERT_OK(io::posix_file_io().make_directories(path()));
  ASSERT_OK(world.open());
  EXPECT_FALSE(stats().on);
  write_blocks(0, 100, 1);
  read_blocks(0, 100, 1);
  ASSERT_OK(world.close());
  EXPECT_EQ(std::ranges::count_if(said, [](const auto& line) { return line.starts_with("going on without a cache file"); }), 1);
}

// Where a disk's reads go through, on their way from the extent cache to the file.
TEST(DiskReads, TellTheStoresSourceOfWhatMemoryServesAgain) {
  class Source final : public cache::ExtentSource {
   public:
    std::vector<Result<cache::PlainExtent>> load(std::span<const segment::ExtentRef> refs) override {
      return std::vector<Result<cache::PlainExtent>>(refs.size(), cache::PlainExtent(Bytes(4096)));
    }
    void was_used(const segment::ExtentRef&) override { ++used; }
    int used = 0;
  };
  test::FakeClock clock;
  cache::ExtentCache memory(thread_executor(), 1 << 20, &clock);
  Source source;
  volume::RunMap runs;
  runs.put({.block = BlockIndex(7), .count = 1, .hole = false, .first = 0, .extent = {.object = {.origin = 0, .id = {1}}}});
  for (int used : {0, 0, 1}) {
    Bytes block(4096);
    device::Gather gather(BlockIndex(7), BlockIndex(8), 4096, block);
    gather.add_runs(runs, {});
    ASSERT_OK(gather.finish(memory, source));
    EXPECT_EQ(source.used, used);
    clock.advance(std::chrono::seconds(6));
  }
}

TEST_F(DiskCacheFile, AKilledProcessLeavesAFileOfUse) {
  SEEDED_TEST(seed);
  ASSERT_OK(world.open());
  write_blocks(0, 500, seed);
  reopen();
  read_blocks(0, 500, seed);
  world.vanish();
  ASSERT_OK(world.open());
  read_blocks(0, 500, seed);
  EXPECT_GT(stats().hits, 0u);
  ASSERT_OK(world.close());
}

}  // namespace
}  // namespace s3crate
