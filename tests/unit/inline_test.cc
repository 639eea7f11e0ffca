// SPDX-License-Identifier: GPL-3.0-or-later
// Small flushes of a disk whose durability is the store's: their extents stand in the commit, which is the only PUT.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <random>
#include <thread>

#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/read_generation.h"
#include "tests/support/seed.h"
#include "volume/check.h"

namespace s3crate {
namespace {

using device::Durability;
using test::DiskWorld;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;
constexpr std::uint64_t kDiskBytes = 256 * kBlock;

class InlineTest : public testing::Test {
 protected:
  InlineTest() {
    world_.options.durability = Durability::store;
    world_.options.upload_delay = std::chrono::hours(1);
    store_.set_hook([this](store::Verb verb, const std::string& name) -> Result<> {
      if (verb != store::Verb::put) return {};
      if (!name.starts_with(segment::kCommitsPrefix)) others_++;
      else if (commits_++ == 0 && hold_) hold_();
      return {};
    });
    CHECK(world_.open());
    commits_ = others_ = 0;
  }
  Bytes random_bytes(std::size_t size) {
    Bytes out(size);
    for (auto& byte : out) byte = static_cast<std::uint8_t>(random_());
    return out;
  }
  void write(std::uint64_t block, std::uint64_t blocks) {
    const Bytes data = random_bytes(blocks * kBlock);
    ASSERT_OK(world_.disk->write(block * kBlock, data));
    std::memcpy(now_.data() + block * kBlock, data.data(), data.size());
  }
  void flush() {
    commits_ = others_ = 0;
    ASSERT_OK(world_.disk->flush());
  }
  void expect_reads() {
    Bytes got(kDiskBytes);
    ASSERT_OK(world_.disk->read(0, got));
    EXPECT_EQ(got, now_);
  }
  volume::CheckReport check() {
    auto volume = volume::Volume::open(system_env(), store_, world_.keys(), {});
    CHECK(volume);
    auto report = volume::check(system_env(), **volume, {.read_data = true});
    CHECK(report);
    return *report;
  }

  std::mt19937_64 random_{test::test_seed()};
  testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", test::test_seed())};
  store::MemoryStore memory_;
  test::FaultStore store_{memory_};
  std::atomic<int> commits_ = 0, others_ = 0;
  std::function<void()> hold_;  // of the first commit; set while nobody writes
  DiskWorld world_{kDiskBytes, &store_};
  Bytes now_ = Bytes(kDiskBytes);
};

TEST_F(InlineTest, SmallFlushIsOnePut) {
  for (int i = 0; i < 5; ++i) {
    write(random_() % 250, 2);
    flush();
    EXPECT_EQ(commits_, 1);
    EXPECT_EQ(others_, 0);
  }
  expect_reads();
  ASSERT_OK(world_.close());
  ASSERT_OK(world_.open());
  expect_reads();
}

TEST_F(InlineTest, PartOfABlockIsCompletedFirst) {
  write(7, 1);
  flush();
  ASSERT_OK(world_.disk->write(7 * kBlock + 100, Bytes(50, 1)));
  std::memset(now_.data() + 7 * kBlock + 100, 1, 50);
  flush();
  EXPECT_EQ(commits_, 1);
  EXPECT_EQ(others_, 0);
  world_.vanish();
  world_.lose_state();
  world_.options.take_over = true;
  ASSERT_OK(world_.open());
  expect_reads();
}

// A quarter of a segment, 16 KiB here, of sealed bytes.
TEST_F(InlineTest, LargerOnesHaveASegment) {
  write(0, 3);
  flush();
  EXPECT_EQ(others_, 0);
  write(10, 4);
  flush();
  EXPECT_EQ(commits_, 1);
  EXPECT_EQ(others_, 1);
  expect_reads();
}

TEST_F(InlineTest, JournalMakesNone) {
  ASSERT_OK(world_.close());
  world_.options.durability = Durability::local;
  ASSERT_OK(world_.open());
  write(0, 1);
  commits_ = others_ = 0;
  ASSERT_OK(world_.disk->sync());
  EXPECT_EQ(commits_, 1);
  EXPECT_EQ(others_, 1);
}

TEST_F(InlineTest, WhoFlushesWhileACommitIsUnderWayGoesWithTheNext) {
  constexpr int kWriters = 8;
  // The first commit is stored once the writes of all others are encoded.
  hold_ = [this] {
    for (int tries = 0; tries < 5000 && world_.disk->stats().extents < kWriters; ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
  };
  std::vector<std::thread> threads;
  const auto write_and_flush = [&](int writer) {
    const Bytes data(kBlock, static_cast<std::uint8_t>(writer + 1));
    EXPECT_TRUE(world_.disk->write(static_cast<std::uint64_t>(2 * writer) * kBlock, data));
    EXPECT_TRUE(world_.disk->flush());
  };
  threads.emplace_back(write_and_flush, 0);
  while (commits_ == 0) std::this_thread::yield();
  for (int writer = 1; writer < kWriters; ++writer) threads.emplace_back(write_and_flush, writer);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(commits_, 2);
  EXPECT_EQ(others_, 0);
  for (int writer = 0; writer < kWriters; ++writer) std::memset(now_.data() + 2 * writer * kBlock, writer + 1, kBlock);
  expect_reads();
}

TEST_F(InlineTest, EveryGenerationReadsAsItWasAlsoFromACheckpoint) {
  std::map<Generation, Bytes> model;
  for (int i = 0; i < 60; ++i) {
    for (std::uint64_t n = 1 + random_() % 3; n > 0; --n) write(random_() % 250, 1 + random_() % 5);
    if (i % 7 == 3) {
      ASSERT_OK(world_.disk->discard(0, 20 * kBlock));
      std::memset(now_.data(), 0, 20 * kBlock);
    }
    const auto generation = world_.disk->sync();
    ASSERT_OK(generation);
    model[*generation] = now_;
  }
  for (int n = 0; n < 5000 && world_.disk->stats().checkpoints == 0; ++n)
    nap(system_clock(), system_env().executor, std::chrono::milliseconds(1));
  EXPECT_GE(world_.disk->stats().checkpoints, 1u);
  ASSERT_OK(world_.close());
  for (const auto& [generation, wanted] : model) {
    world_.options.read_only = true;
    world_.options.point = generation;
    ASSERT_OK(world_.open());
    Bytes got(kDiskBytes);
    ASSERT_OK(world_.disk->read(0, got));
    EXPECT_EQ(got, wanted) << generation.value;
    world_.vanish();
  }
  const volume::CheckReport report = check();
  EXPECT_TRUE(report.damages.empty()) << report.damages[0].what;
}

// Once a checkpoint has its place: below, the map itself would be missing.
TEST_F(InlineTest, LostOneCostsItsBlocksAndCheckNamesThem) {
  write(100, 2);
  flush();
  const auto lost = world_.disk->stats().generation;
  for (std::uint64_t i = 0; i < 5000 && world_.disk->stats().checkpoints == 0; ++i) {
    write(i % 90, 1);
    flush();
  }
  ASSERT_OK(world_.close());
  ASSERT_GE(volume::Volume::open(system_env(), store_, world_.keys(), {}).value()->load_head()->body.checkpoint.as_of, lost);
  store_.lose(segment::commit_name(lost));
  const auto damaged = check().damaged_ranges();
  ASSERT_EQ(damaged.size(), 1u);
  EXPECT_EQ(damaged[0].offset, 100 * kBlock);
  EXPECT_EQ(damaged[0].length, 2 * kBlock);
  ASSERT_OK(world_.open());
  Bytes got(kBlock);
  EXPECT_FALSE(world_.disk->read(100 * kBlock, got));
  EXPECT_FALSE(world_.disk->read(101 * kBlock, got));
  ASSERT_OK(world_.disk->read(99 * kBlock, got));
  ASSERT_OK(world_.disk->read(3 * kBlock, got));
  EXPECT_TRUE(equal(got, ByteView(now_).subspan(3 * kBlock, kBlock)));
  ASSERT_OK(world_.close());
}

}  // namespace
}  // namespace s3crate
