// SPDX-License-Identifier: GPL-3.0-or-later
// What survives what on a simulated disk.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/sim/sim_world.h"

namespace s3crate::sim {
namespace {

using io::OpenMode;
using io::Sync;

constexpr std::uint64_t kSeeds = 200;

void for_seeds(const std::function<void(World&)>& body) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    World world(seed);
    world.run([&] { body(world); });
    if (testing::Test::HasFailure()) return;
  }
}

std::unique_ptr<io::File> open(Process& process, OpenMode mode = OpenMode::read_write) {
  auto file = process.file_io().open("/file", mode);
  CHECK(file.has_value());
  return std::move(*file);
}

// With a durable name.
std::unique_ptr<io::File> create(Process& process) {
  auto file = open(process, OpenMode::create_new);
  CHECK(process.file_io().sync_directory("/").has_value());
  return file;
}

Bytes content(io::File& file) {
  Bytes data(file.size().value());
  CHECK(file.read_at(0, data).has_value());
  return data;
}

Bytes content_after_power_cut(World& world) {
  world.power_cut(world.disk());
  auto process = world.start();
  return content(*open(*process));
}

Bytes filled(std::size_t size, std::uint8_t with) { return Bytes(size, with); }

TEST(SimDisk, SyncedWritesSurviveEveryPowerCut) {
  for_seeds([](World& world) {
    auto process = world.start();
    auto file = create(*process);
    ASSERT_TRUE(file->write_at(0, filled(3000, 1)));
    ASSERT_TRUE(file->write_at(100, filled(1000, 2), Sync::yes));
    Bytes expected = content(*file);
    EXPECT_EQ(content_after_power_cut(world), expected);
  });
}

TEST(SimDisk, UnsyncedWritesVanishTearOrSurvive) {
  std::set<std::string> outcomes;
  for_seeds([&](World& world) {
    auto process = world.start();
    auto file = create(*process);
    ASSERT_TRUE(file->write_at(0, filled(4096, 1), Sync::yes));
    ASSERT_TRUE(file->write_at(0, filled(4096, 2)));
    Bytes after = content_after_power_cut(world);
    ASSERT_EQ(after.size(), 4096u);
    for (std::size_t i = 0; i < after.size(); ++i) ASSERT_EQ(after[i], after[i / 512 * 512]) << i;
    auto kept = std::count(after.begin(), after.end(), 2);
    outcomes.insert(kept == 0 ? "lost" : kept == 4096 ? "kept" : "torn");
  });
  EXPECT_EQ(outcomes, (std::set<std::string>{"kept", "lost", "torn"}));
}

// The model: for each sector, all states since the last sync.
TEST(SimDisk, EverySectorEndsInOneOfItsStatesSinceTheLastSync) {
  constexpr std::size_t kSectors = 24;
  for_seeds([&](World& world) {
    auto process = world.start();
    auto file = create(*process);
    std::vector<std::set<Bytes>> states(kSectors, {filled(512, 0)});
    Bytes model(kSectors * 512);
    std::size_t size = 0, synced_size = 0;
    auto sector = [&](std::size_t i) {
      return Bytes(model.begin() + static_cast<std::ptrdiff_t>(i * 512),
                   model.begin() + static_cast<std::ptrdiff_t>(i * 512 + 512));
    };
    for (int round = 0; round < 30; ++round) {
      std::size_t offset = world.dice().below(model.size() - 1);
      // Short enough never to be written in two steps.
      std::size_t length = 1 + world.dice().below(std::min<std::size_t>(3000, model.size() - offset));
      Bytes data = filled(length, static_cast<std::uint8_t>(round + 1));
      std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
      bool sync = world.dice().percent(20);
      for (std::size_t i = offset / 512; i <= (offset + length - 1) / 512; ++i) states[i].insert(sector(i));
      size = std::max(size, offset + length);
      ASSERT_TRUE(file->write_at(offset, data, sync ? Sync::yes : Sync::no));
      if (!sync) continue;
      synced_size = size;
      for (std::size_t i = 0; i < kSectors; ++i) states[i] = {sector(i)};
    }
    Bytes after = content_after_power_cut(world);
    EXPECT_GE(after.size(), synced_size);
    EXPECT_LE(after.size(), size);
    after.resize(kSectors * 512);
    for (std::size_t i = 0; i < kSectors; ++i) {
      Bytes found(after.begin() + static_cast<std::ptrdiff_t>(i * 512),
                  after.begin() + static_cast<std::ptrdiff_t>(i * 512 + 512));
      // Past the synced end a state may be cut off by the size.
      bool known = std::any_of(states[i].begin(), states[i].end(), [&](const Bytes& state) {
        return std::equal(state.begin(), state.end(), found.begin(), [&](std::uint8_t a, std::uint8_t b) {
          return a == b || b == 0;
        });
      });
      if ((i + 1) * 512 <= synced_size) known = states[i].contains(found);
      EXPECT_TRUE(known) << "sector " << i;
    }
  });
}

TEST(SimDisk, SizeMayReachTheDiskWithoutTheData) {
  bool zeros = false;
  for_seeds([&](World& world) {
    auto process = world.start();
    auto file = create(*process);
    ASSERT_TRUE(file->write_at(0, filled(4096, 1)));
    Bytes after = content_after_power_cut(world);
    EXPECT_LE(after.size(), 4096u);
    zeros |= after.size() % 512 != 0 && all_zero(after);
  });
  EXPECT_TRUE(zeros);
}

TEST(SimDisk, KilledProcessLosesNothingItWrote) {
  for_seeds([](World& world) {
    auto process = world.start();
    auto file = open(*process, OpenMode::create_new);
    ASSERT_TRUE(file->write_at(0, filled(5000, 7)));
    process->kill();
    auto next = world.start();
    EXPECT_EQ(content(*open(*next)), filled(5000, 7));
  });
}

TEST(SimDisk, OpsOfABatchAreWrittenInAnyOrder) {
  std::set<int> subsets;
  for_seeds([&](World& world) {
    auto process = world.start();
    auto file = create(*process);
    ASSERT_TRUE(file->allocate(3 * 512));
    ASSERT_TRUE(file->datasync());
    world.kill_at(world.steps().count() + 1 + world.dice().below(4), *process);
    Bytes one = filled(512, 1);
    ByteView part = one;
    std::vector<io::WriteOp> ops = {{0, {&part, 1}}, {512, {&part, 1}}, {1024, {&part, 1}}};
    EXPECT_TRUE(is(file->write(ops, Sync::no), Code::kCancelled));
    auto next = world.start();
    Bytes after = content(*open(*next));
    subsets.insert(after[0] + 2 * after[512] + 4 * after[1024]);
  });
  EXPECT_EQ(subsets.size(), 8u);
}

TEST(SimDisk, FailedDatasyncLeavesCleanPagesThatAreNotOnTheDisk) {
  bool some_lost = false, some_kept = false;
  for_seeds([&](World& world) {
    auto process = world.start();
    auto file = create(*process);
    ASSERT_TRUE(file->write_at(0, filled(4096, 1), Sync::yes));
    world.disk().faults.sync_error_per_million = 1'000'000;
    EXPECT_TRUE(is(file->write_at(0, filled(4096, 2), Sync::yes), Code::kIo));
    world.disk().faults.sync_error_per_million = 0;
    EXPECT_EQ(content(*file), filled(4096, 2));
    // It says yes now, and still nothing reaches the disk.
    EXPECT_TRUE(file->datasync());
    ASSERT_TRUE(file->write_at(4096, filled(512, 3), Sync::yes));
    EXPECT_EQ(world.faults()[Fault::kDiskSyncError], 1u);
    Bytes after = content_after_power_cut(world);
    ASSERT_EQ(after.size(), 4096u + 512);
    EXPECT_EQ(after.back(), 3);
    auto lost = std::count(after.begin(), after.end(), 1);
    some_lost |= lost > 0;
    some_kept |= lost < 4096;
  });
  EXPECT_TRUE(some_lost);
  EXPECT_TRUE(some_kept);
}

TEST(SimDisk, WhatIsWrittenAgainAfterAFailedDatasyncIsDurable) {
  for_seeds([](World& world) {
    auto process = world.start();
    auto file = create(*process);
    auto other = open(*process);
    world.disk().faults.sync_error_per_million = 1'000'000;
    EXPECT_TRUE(is(file->write_at(0, filled(4096, 2), Sync::yes), Code::kIo));
    world.disk().faults.sync_error_per_million = 0;
    EXPECT_TRUE(is(other->datasync(), Code::kIo));  // each File that was open hears of it once
    EXPECT_TRUE(other->datasync());
    ASSERT_TRUE(file->write_at(0, filled(4096, 2), Sync::yes));
    EXPECT_EQ(content_after_power_cut(world), filled(4096, 2));
  });
}

TEST(SimDisk, NamesAreDurableOnceTheirDirectoryIsSynced) {
  std::set<std::pair<bool, bool>> seen;
  for_seeds([&](World& world) {
    auto process = world.start();
    io::FileIo& io = process->file_io();
    ASSERT_TRUE(io.make_directories("/a/b"));
    auto file = io.open("/a/b/synced", OpenMode::create_new);
    ASSERT_TRUE((*file)->write_at(0, filled(10, 1), Sync::yes));
    ASSERT_TRUE(io.open("/a/b/removed", OpenMode::create_new));
    ASSERT_TRUE(io.sync_directory("/a/b"));
    ASSERT_TRUE(io.link("/a/b/synced", "/a/b/linked"));
    ASSERT_TRUE(io.remove("/a/b/removed"));
    world.power_cut(world.disk());
    auto next = world.start();
    auto has = [&](const char* path) { return next->file_io().identity(path).has_value(); };
    EXPECT_TRUE(has("/a/b/synced"));
    seen.insert({has("/a/b/linked"), has("/a/b/removed")});
    if (has("/a/b/linked")) {
      EXPECT_EQ(*next->file_io().identity("/a/b/linked"), *next->file_io().identity("/a/b/synced"));
    }
  });
  EXPECT_EQ(seen.size(), 4u);
}

TEST(SimDisk, FullDiskRefusesGrowthButNotWhatIsAllocated) {
  World world(5);
  world.run([&] {
    auto process = world.start();
    auto file = create(*process);
    world.disk().faults.capacity = 8192;
    EXPECT_TRUE(is(file->allocate(8193), Code::kNoSpace));
    ASSERT_TRUE(file->allocate(8192));
    EXPECT_EQ(*process->file_io().free_bytes("/"), 0u);
    EXPECT_TRUE(is(file->write_at(8192, filled(1, 1)), Code::kNoSpace));
    EXPECT_TRUE(file->write_at(0, filled(8192, 1), Sync::yes));
    EXPECT_EQ(*file->size(), 8192u);
    EXPECT_EQ(world.faults()[Fault::kDiskFull], 2u);
    world.disk().faults.capacity = 16384;
    EXPECT_TRUE(file->write_at(8192, filled(8192, 1), Sync::yes));
  });
}

TEST(SimDisk, InjectedErrorsAreReportedAndCounted) {
  World world(6);
  world.run([&] {
    auto process = world.start();
    auto file = create(*process);
    ASSERT_TRUE(file->write_at(0, filled(4096, 1), Sync::yes));
    world.disk().faults = {.write_error_per_million = 1'000'000,
                           .read_error_per_million = 1'000'000,
                           .directory_sync_error_per_million = 1'000'000};
    Bytes out(10);
    EXPECT_TRUE(is(file->read_at(0, out), Code::kIo));
    EXPECT_TRUE(is(file->write_at(0, filled(4096, 2)), Code::kIo));
    EXPECT_TRUE(is(process->file_io().sync_directory("/"), Code::kIo));
    world.disk().faults = {.full_per_million = 1'000'000};
    EXPECT_TRUE(is(file->write_at(0, filled(4096, 3)), Code::kNoSpace));
    for (Fault fault : {Fault::kDiskReadError, Fault::kDiskWriteError, Fault::kDiskDirectorySyncError,
                        Fault::kDiskFull}) {
      EXPECT_EQ(world.faults()[fault], 1u) << fault_name(fault);
    }
    world.disk().faults = {};
    Bytes after = content(*file);
    EXPECT_EQ(std::count(after.begin(), after.end(), 3), 0);
  });
}

TEST(SimDisk, DatasyncCoversWhatReturnedBeforeItBegan) {
  bool later_write_lost = false;
  for_seeds([&](World& world) {
    auto process = world.start();
    auto file = create(*process);
    world.disk().faults.sync_latency_max = std::chrono::milliseconds(10);
    ASSERT_TRUE(file->write_at(0, filled(512, 1)));
    {
      auto syncing = world.executor().spawn("sync", [&] { EXPECT_TRUE(file->datasync()); });
      for (int i = 0; i < 3; ++i) world.executor().yield();
      ASSERT_TRUE(file->write_at(512, filled(512, 2)));
    }
    Bytes after = content_after_power_cut(world);
    ASSERT_GE(after.size(), 512u);
    EXPECT_EQ(Bytes(after.begin(), after.begin() + 512), filled(512, 1));
    later_write_lost |= after.size() == 512;
  });
  EXPECT_TRUE(later_write_lost);
}

}  // namespace
}  // namespace s3crate::sim
