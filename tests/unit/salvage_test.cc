// SPDX-License-Identifier: GPL-3.0-or-later
// Salvage: a volume whose commits are lost, all of them or some, reads as it did from what its segments tell; or as it was before the
// first one that is missing.
#include "volume/salvage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "device/import.h"
#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_generation.h"
#include "tests/support/seed.h"
#include "volume/check.h"
#include "volume/fork.h"

namespace s3crate {
namespace {

using test::DiskWorld;
using test::open_volume;
using test::read_generation;
using testing::HasSubstr;
using volume::Salvaged;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;
constexpr std::uint64_t kBlocks = 128;

class SalvageTest : public testing::Test {
 protected:
  std::vector<std::string> names(const std::string& prefix) {
    std::vector<std::string> out;
    for (std::string after;;) {
      const auto page = store.list(prefix, after, 1000).value();
      for (const auto& info : page.objects) out.push_back(info.name);
      if (!page.more) return out;
      after = out.back();
    }
  }
  void lose(const std::string& prefix) {
    for (const auto& name : names(prefix)) ASSERT_OK(store.remove(name));
  }
  void lose_all_commits() {
    lose("commits/");
    lose("map/");
  }

  void fill(std::uint64_t block, std::uint64_t count, bool zeros) {
    Bytes data(count * kBlock);
    if (!zeros)
      for (std::size_t i = 0; i < data.size(); i += 64) data[i] = static_cast<std::uint8_t>(random() | 1);
    ASSERT_OK(zeros && random() % 2 == 0 ? world.disk->discard(block * kBlock, data.size()) : world.disk->write(block * kBlock, data));
    std::copy(data.begin(), data.end(), now.begin() + static_cast<std::ptrdiff_t>(block * kBlock));
  }
  void write_some(int n = 3) {
    for (const std::uint64_t blocks = now.size() / kBlock; n > 0; --n) {
      const std::uint64_t at = random() % blocks;
      fill(at, 1 + random() % std::min<std::uint64_t>(24, blocks - at), random() % 4 == 0);
    }
  }
  void note() {
    const auto generation = world.disk->sync();
    ASSERT_OK(generation);
    states[*generation] = now;
    line.push_back(now);
  }
  void live_on(int rounds) {
    for (; rounds > 0; --rounds) {
      write_some();
      fill(random() % (now.size() / kBlock), 1, false);  // zeros over nothing make no segment
      note();
    }
  }
  void resize(std::uint64_t blocks) {
    ASSERT_OK(world.disk->resize(blocks * kBlock, device::DiscardTail::yes));
    now.resize(blocks * kBlock);
    note();
  }
  void reopen() {
    ASSERT_OK(world.close());
    ASSERT_OK(world.open());
  }
  // As the command does.
  void roll_back(Generation to) {
    if (!world.disk) ASSERT_OK(world.open());
    note();
    auto& volume = world.volume();
    const auto reader = open_volume(store, world);
    const auto past = volume.load_view(reader->load_commit(to).value());
    ASSERT_OK(past);
    const auto done = world.disk->roll_back(*past);
    ASSERT_OK(done);
    now = states.at(to);
    states[*done] = now;
    line.push_back(now);
    reopen();
  }

  Result<Salvaged> salvage(bool through_gaps = false) {
    volume_ = TRY(volume::Volume::open(system_env(), store, world.keys(), {}));
    return volume::salvage(system_env(), *volume_, {.through_gaps = through_gaps});
  }
  // A fork with what was salvaged, and what its disk reads.
  Result<Bytes> fork_of(const Salvaged& salvaged) {
    fork_memory = std::make_unique<store::MemoryStore>();
    fork_stores = std::make_unique<store::OriginStores>(*fork_memory);
    origin_stores = std::make_unique<store::OriginStores>(store);
    for (std::size_t i = 0; i < volume_->object().origins.size(); ++i) origin_stores->attach_missing(Error(Code::kNotFound, "gone"));
    fork_stores->attach_all_of(*origin_stores, "the origin");
    volume::ForkOptions options;
    options.origin_url = "memory://lost";
    options.page_bytes = 1024;
    const auto slot = world.slot();
    const auto made = TRY(volume::fork_state(system_env(), *volume_, salvaged.state, *fork_stores, options, {&slot, 1}));
    const auto volume = TRY(volume::Volume::open(system_env(), *fork_stores, world.keys(), {.expected = made.vid}));
    TRY(volume->load_head());
    EXPECT_EQ(volume->object().origins.at(0), (volume::Origin{world.vid, "memory://lost"}));
    const auto report = TRY(volume::check(system_env(), *volume, {.read_data = true}));
    for (const auto& damage : report.damages) ADD_FAILURE() << damage.what;
    return read_generation(*volume, Generation(2));
  }
  void expect_restored(const Bytes& wanted) {
    const auto before = names("");
    const auto salvaged = salvage();
    ASSERT_OK(salvaged);
    ASSERT_EQ(salvaged->report.gap, "");
    EXPECT_EQ(salvaged->report.unvouched_bytes, 0u);
    const auto read = fork_of(*salvaged);
    ASSERT_OK(read);
    EXPECT_TRUE(*read == wanted);
    EXPECT_EQ(names(""), before);
  }

  const std::uint64_t seed = test::test_seed();
  const testing::ScopedTrace trace{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed)};
  std::mt19937_64 random{seed};
  DiskWorld world{kBlocks * kBlock};
  store::MemoryStore& store = world.memory();
  Bytes now = Bytes(kBlocks * kBlock);
  std::map<Generation, Bytes> states;
  std::vector<Bytes> line;  // the same, in order
  std::unique_ptr<volume::Volume> volume_;
  std::unique_ptr<store::MemoryStore> fork_memory;
  std::unique_ptr<store::OriginStores> fork_stores, origin_stores;
};

TEST_F(SalvageTest, EverythingIsBackAfterTheLossOfAllCommits) {
  ASSERT_OK(world.open());
  for (int round = 0; round < 4; ++round) {
    live_on(4);
    if (round == 1) resize(kBlocks / 2);
    if (round == 2) resize(kBlocks * 2);  // and nothing is written before the next writer
    if (round % 2 == 0) {
      write_some();
      ASSERT_OK(world.disk->flush());
      world.vanish();
      ASSERT_OK(world.open());
    } else {
      reopen();
    }
  }
  ASSERT_OK(world.close());
  lose_all_commits();
  expect_restored(now);
}

TEST_F(SalvageTest, AnotherSizeWithoutAWriteIsBackToo) {
  ASSERT_OK(world.open());
  live_on(2);
  resize(kBlocks * 3);
  resize(kBlocks);
  resize(kBlocks * 2);
  ASSERT_OK(world.close());
  lose_all_commits();
  expect_restored(now);
}

// Whichever segment is missing, what is restored is what was there before the generation that it is of.
TEST_F(SalvageTest, ALostSegmentEndsWhatIsRestoredBeforeItsGeneration) {
  ASSERT_OK(world.open());
  live_on(9);
  ASSERT_OK(world.close());
  lose_all_commits();
  const auto segments = names("segments/");
  ASSERT_GE(segments.size(), 9u);
  std::size_t generations = 0;
  for (const auto& name : segments) {
    const Bytes object = *store.get(name, ~std::uint64_t{0});
    ASSERT_OK(store.remove(name));
    const auto salvaged = salvage();
    ASSERT_OK(salvaged);
    const auto& report = salvaged->report;
    EXPECT_TRUE(report.generations >= generations) << "they come in order";
    generations = report.generations;
    ASSERT_LT(generations, line.size());
    if (name != segments.back()) {
      EXPECT_NE(report.gap, "");
      EXPECT_EQ(report.laid.segments + report.left.segments, segments.size() - 1);
    }
    if (generations > 0) {
      const auto read = fork_of(*salvaged);
      ASSERT_OK(read);
      ASSERT_TRUE(*read == line[generations - 1]) << name;
    }
    // Damaged, it is as good as lost.
    Bytes damaged = object;
    damaged[damaged.size() - 100] ^= 1;
    ASSERT_OK(store.put(name, damaged));
    const auto again = salvage();
    ASSERT_OK(again);
    EXPECT_EQ(again->report.generations, generations);
    EXPECT_EQ(again->report.damages.size(), 1u);
    ASSERT_OK(store.remove(name));

    // Past it: what is vouched for is as it was in the end.
    const auto through = salvage(true);
    ASSERT_OK(through);
    if (through->report.gap.empty()) {
      ASSERT_OK(store.put(name, object));
      continue;
    }
    std::vector<bool> vouched(kBlocks, true);
    for (const auto& range : through->report.unvouched)
      for (std::uint64_t at = range.offset; at < range.offset + range.length; at += kBlock) vouched[at / kBlock] = false;
    const auto read = fork_of(*through);
    ASSERT_OK(read);
    for (std::uint64_t block = 0; block < kBlocks; ++block) {
      const auto at = static_cast<std::ptrdiff_t>(block * kBlock);
      const bool same = std::equal(read->begin() + at, read->begin() + at + kBlock, now.begin() + at);
      ASSERT_TRUE(same || !vouched[block]) << name << " block " << block;
    }
    ASSERT_OK(store.put(name, object));
  }
}

TEST_F(SalvageTest, WhatWasRolledBackDoesNotComeBack) {
  ASSERT_OK(world.open());
  live_on(3);
  const Generation point = states.rbegin()->first;
  live_on(3);
  resize(kBlocks * 2);
  roll_back(point);
  live_on(2);
  roll_back(states.rbegin()->first);  // to itself
  const Generation second = states.rbegin()->first;
  live_on(2);
  roll_back(point);
  roll_back(second);
  live_on(1);
  ASSERT_OK(world.close());
  lose_all_commits();
  expect_restored(now);
}

TEST_F(SalvageTest, ARollbackToTheEmptyDiskCountsToo) {
  ASSERT_OK(world.open());
  const Generation empty(1);
  states[empty] = now;
  live_on(2);
  roll_back(empty);
  fill(5, 1, false);
  note();
  ASSERT_OK(world.close());
  lose_all_commits();
  expect_restored(now);
}

// What it left out does not matter any more, so nothing is missing.
TEST_F(SalvageTest, ASegmentThatIsMissingInWhatWasRolledBackIsNoGap) {
  ASSERT_OK(world.open());
  live_on(2);
  const Generation point = states.rbegin()->first;
  const auto before = names("segments/");
  live_on(2);
  const auto rolled_back = names("segments/");
  roll_back(point);
  live_on(1);
  ASSERT_OK(world.close());
  lose_all_commits();
  ASSERT_OK(store.remove(rolled_back.at(before.size())));
  expect_restored(now);
}

TEST_F(SalvageTest, ARollbackWhosePointIsLostIsAGap) {
  ASSERT_OK(world.open());
  live_on(2);
  const auto before = names("segments/");
  const Generation point = states.rbegin()->first;
  live_on(1);
  roll_back(point);
  live_on(1);
  ASSERT_OK(world.close());
  lose_all_commits();
  ASSERT_OK(store.remove(before.back()));
  const auto salvaged = salvage();
  ASSERT_OK(salvaged);
  EXPECT_NE(salvaged->report.gap, "");
  EXPECT_LE(salvaged->report.generations, 1u);
}

// Discarding what is empty, as a trim does, makes batches without a generation.
TEST_F(SalvageTest, BatchesThatChangedNothingAreNoGap) {
  for (int round = 0; round < 3; ++round) {
    ASSERT_OK(world.open());
    ASSERT_OK(world.disk->discard(0, 4 * kBlock));
    ASSERT_OK(world.disk->sync());
    fill(7, 3, false);
    note();
    ASSERT_OK(world.disk->discard(0, 4 * kBlock));
    ASSERT_OK(world.disk->sync());
    ASSERT_OK(world.close());
  }
  lose_all_commits();
  expect_restored(now);
}

// As a prune will: what no map refers to, and of which no index tells holes.
TEST_F(SalvageTest, WithoutTheSegmentsThatNobodyNeedsZeroedBlocksAreStillZero) {
  ASSERT_OK(world.open());
  live_on(16);
  fill(10, 30, true);
  note();
  fill(20, 5, false);
  note();
  std::set<segment::ObjectKey> needed;
  const auto volume = open_volume(store, world);
  const auto view = volume->load_view(volume->load_head().value());
  ASSERT_OK(view);
  const auto need = [&](const segment::Run& run) { needed.insert(run.extent.object); };
  ASSERT_OK(volume::map_lookup(volume->pages(), view->map, BlockIndex(0), BlockIndex(kBlocks), need));
  for (const auto& run : view->changes.runs()) need(run);
  ASSERT_OK(world.close());
  const auto commits = names("commits/");
  for (Generation at(1); at.value <= commits.size(); at = at.next()) {
    const auto commit = volume->load_commit(at);
    ASSERT_OK(commit);
    for (const auto& info : commit->body.objects)
      if (info.has_holes) needed.insert(info.key);
  }
  std::size_t deleted = 0;
  for (const auto& name : names("segments/")) {
    if (needed.contains({0, segment::parse_object_name(name)->id})) continue;
    ASSERT_OK(store.remove(name));
    deleted++;
  }
  EXPECT_GT(deleted, 0u);
  lose_all_commits();
  const auto salvaged = salvage(true);
  ASSERT_OK(salvaged);
  const auto read = fork_of(*salvaged);
  ASSERT_OK(read);
  EXPECT_TRUE(*read == now);
}

class SalvageImportTest : public SalvageTest {
 protected:
  SalvageImportTest() {
    for (auto& byte : image.bytes) byte = static_cast<std::uint8_t>(random());
    how.transfer.piece_bytes = 64 << 10;
  }
  Result<device::ImportReport> import_image() {
    const auto volume = TRY(volume::Volume::open(system_env(), store, world.keys(), {}));
    return device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, how);
  }
  test::MemoryImage image{Bytes(kBlocks * kBlock)};
  device::ImportOptions how;
};

TEST_F(SalvageImportTest, AnImportIsBackIfItCameToItsEnd) {
  ASSERT_OK(world.open());
  live_on(2);
  ASSERT_OK(world.close());
  ASSERT_OK(import_image());
  lose_all_commits();
  expect_restored(image.bytes);
}

TEST_F(SalvageImportTest, WhatAnImportHasStagedIsNotTheDisk) {
  ASSERT_OK(world.open());
  live_on(2);
  ASSERT_OK(world.close());
  std::atomic<bool> stop = false;
  how.transfer.stop = &stop;
  how.transfer.progress = [&](const device::TransferProgress& p) { stop = p.done > kBlocks * kBlock / 2; };
  ASSERT_TRUE(is(import_image(), Code::kCancelled));
  const auto staged = names("segments/").size();
  {
    // At the end of all, and with the commits of it too.
    const auto salvaged = salvage();
    ASSERT_OK(salvaged);
    EXPECT_EQ(salvaged->report.generations, 0u);
  }
  // And to a generation that has them.
  const Generation point = open_volume(store, world)->load_head()->header.generation;
  states[point] = now;
  ASSERT_OK(world.open());
  live_on(2);
  roll_back(point);
  EXPECT_GT(names("segments/").size(), staged);
  ASSERT_OK(world.close());
  lose_all_commits();
  expect_restored(now);
}

// A part of it is in segments that tell of no generation, so that nothing can be laid over it; but the checkpoint behind it is told of.
TEST_F(SalvageImportTest, ImportsAloneTellOfTheCheckpointsThatTheyMake) {
  std::atomic<bool> stop = false;
  how.transfer.stop = &stop;
  how.transfer.progress = [&](const device::TransferProgress& p) { stop = p.done > kBlocks * kBlock / 2; };
  ASSERT_TRUE(is(import_image(), Code::kCancelled));
  how.transfer = {};
  how.transfer.piece_bytes = 64 << 10;
  const auto resumed = import_image();
  ASSERT_OK(resumed);
  ASSERT_GT(resumed->found_bytes, 0u);
  for (int i = 0; i < 3; ++i) {
    for (std::uint64_t at = 0; at < 64 << 10; ++at) image.bytes[(64 << 10) * static_cast<std::size_t>(i) + at] = static_cast<std::uint8_t>(random());
    ASSERT_OK(import_image());
  }
  for (const auto& name : names("commits/")) ASSERT_OK(store.remove(name));
  expect_restored(image.bytes);
}

TEST_F(SalvageImportTest, AnImportOfAnImageThatChangedIsNotTheDisk) {
  ASSERT_OK(world.open());
  live_on(2);
  ASSERT_OK(world.close());
  image.changed = true;
  ASSERT_TRUE(is(import_image(), Code::kIo));
  lose_all_commits();
  const auto salvaged = salvage();
  ASSERT_OK(salvaged);
  EXPECT_GT(salvaged->report.unfinished.segments, 0u);
  expect_restored(now);
}

// --- some commits are there ------------------------------------------------------------------------------------------------------

TEST_F(SalvageTest, NewestCommitsThatAreLostCostNothing) {
  ASSERT_OK(world.open());
  live_on(12);
  reopen();
  live_on(2);
  ASSERT_OK(world.close());
  auto commits = names("commits/");  // the newest first
  for (std::size_t lost = 0; lost + 1 < commits.size(); lost += 3) {
    for (std::size_t i = 0; i < 3 && i + 1 < commits.size() && lost > 0; ++i) (void)store.remove(commits[lost - 3 + i]);
    if (lost == 0) {
      Bytes damaged = *store.get(commits[0], 1 << 24);
      damaged[damaged.size() / 2] ^= 1;
      ASSERT_OK(store.remove(commits[0]));
      ASSERT_OK(store.put(commits[0], damaged));
    }
    SCOPED_TRACE(fmt::format("{} of {} lost", lost, commits.size()));
    expect_restored(now);
  }
}

// In the map of the checkpoint it is still there; and other generations come between the cut and the day that the disk grows again.
TEST_F(SalvageTest, ATailThatWasCutOffDoesNotComeBackFromTheMapBelow) {
  world.options.checkpoint_runs = 1;
  ASSERT_OK(world.open());
  fill(kBlocks - 30, 30, false);
  note();
  for (int n = 0; n < 5000 && world.disk->stats().checkpoints == 0; ++n) nap(system_clock(), system_env().executor, std::chrono::milliseconds(1));
  ASSERT_GE(world.disk->stats().checkpoints, 1u);
  world.options.checkpoint_runs = 100'000;
  reopen();
  const Generation kept = open_volume(store, world)->load_head()->header.generation;
  resize(kBlocks / 2);
  fill(1, 2, false);
  note();
  fill(5, 2, false);
  note();
  resize(kBlocks);
  fill(9, 2, false);
  note();
  ASSERT_OK(world.close());
  for (const auto& name : names("commits/"))
    if (*segment::parse_commit_name(name) > kept) ASSERT_OK(store.remove(name));
  expect_restored(now);
}

TEST_F(SalvageTest, ACommitWithChangesThatIsLostIsMadeUpForByItsSegments) {
  world.options.checkpoint_runs = 100'000;
  ASSERT_OK(world.open());
  live_on(20);
  ASSERT_OK(world.close());
  const auto commits = names("commits/");
  int refused = 0;
  for (std::size_t i = 1; i + 1 < commits.size(); ++i) {
    const Bytes object = *store.get(commits[i], 1 << 24);
    ASSERT_OK(store.remove(commits[i]));
    {
      const auto volume = *volume::Volume::open(system_env(), store, world.keys(), {});
      const auto head = volume->load_head();
      ASSERT_OK(head);
      if (!volume->load_view(*head)) {
        refused++;
        SCOPED_TRACE(commits[i]);
        expect_restored(now);
      }
    }
    ASSERT_OK(store.put(commits[i], object));
  }
  EXPECT_GE(refused, 2);
}

TEST_F(SalvageTest, ARollbackBehindTheNewestCommitThatIsThereIsFollowed) {
  ASSERT_OK(world.open());
  live_on(3);
  const Generation point = states.rbegin()->first;
  live_on(3);
  const Generation kept = states.rbegin()->first;
  live_on(1);
  roll_back(point);
  live_on(1);
  ASSERT_OK(world.close());
  for (const auto& name : names("commits/"))
    if (*segment::parse_commit_name(name) > kept) ASSERT_OK(store.remove(name));
  expect_restored(now);
}

// What the fork shares with its origin stands in its commits alone.
TEST_F(SalvageTest, AForkWithoutCommitsIsNotVouchedFor) {
  ASSERT_OK(world.open());
  live_on(3);
  ASSERT_OK(world.close());
  lose_all_commits();
  const auto salvaged = salvage();
  ASSERT_OK(salvaged);
  ASSERT_OK(fork_of(*salvaged));

  DiskWorld fork(*fork_stores, DiskWorld::Existing());
  ASSERT_OK(fork.open());
  ASSERT_OK(fork.disk->write(3 * kBlock, Bytes(2 * kBlock, 9)));
  ASSERT_OK(fork.close());
  const auto commits = fork_memory->list("commits/", "", 1000).value();
  for (const auto& info : commits.objects) ASSERT_OK(fork_memory->remove(info.name));
  const auto volume = volume::Volume::open(system_env(), *fork_stores, fork.keys(), {});
  ASSERT_OK(volume);
  const auto none = volume::salvage(system_env(), **volume, {});
  ASSERT_OK(none);
  EXPECT_EQ(none->report.generations, 0u);
  EXPECT_THAT(none->report.gap, HasSubstr("forked from"));
  const auto again = volume::Volume::open(system_env(), *fork_stores, fork.keys(), {});
  const auto all = volume::salvage(system_env(), **again, {.through_gaps = true});
  ASSERT_OK(all);
  EXPECT_EQ(all->report.unvouched, (std::vector<volume::ByteRange>{{0, 3 * kBlock}, {5 * kBlock, now.size() - 5 * kBlock}}));
}

TEST_F(SalvageTest, WithoutACopyOfTheKeysThereIsNothing) {
  ASSERT_OK(world.open());
  live_on(1);
  ASSERT_OK(world.close());
  lose_all_commits();
  const std::string copy = segment::keys_copy_name(Generation(1));
  Bytes damaged = *store.get(copy, 1 << 20);
  damaged[damaged.size() / 2] ^= 1;
  ASSERT_OK(store.remove(copy));
  ASSERT_OK(store.put(copy, damaged));
  EXPECT_TRUE(is(salvage(), Code::kCorrupt));
  ASSERT_OK(store.remove(copy));
  const auto without = salvage();
  ASSERT_TRUE(is(without, Code::kCorrupt));
  EXPECT_THAT(without.error().message(), HasSubstr("no copy of a keys commit"));
}

TEST_F(SalvageTest, MoreThanMayBeHeldIsRefused) {
  ASSERT_OK(world.open());
  live_on(4);
  ASSERT_OK(world.close());
  lose_all_commits();
  const auto with = [&](const volume::SalvageOptions& options) {
    volume_ = *volume::Volume::open(system_env(), store, world.keys(), {});
    return volume::salvage(system_env(), *volume_, options);
  };
  EXPECT_TRUE(is(with({.runs_max = 3}), Code::kUnsupported));
  EXPECT_TRUE(is(with({.segments_max = 3}), Code::kUnsupported));
  const std::atomic<bool> stop = true;
  EXPECT_TRUE(is(with({.stop = &stop}), Code::kCancelled));
}

}  // namespace
}  // namespace s3crate
