// SPDX-License-Identifier: GPL-3.0-or-later
// Another size of a disk, with threads, against a plain array of bytes; and what it leaves in the volume.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/long_history.h"
#include "tests/support/seed.h"
#include "volume/check.h"

namespace s3crate {
namespace {

using device::DiscardTail;
using test::DiskWorld;

constexpr std::uint64_t kMi = 1 << 20;

Bytes pattern(std::size_t size, std::uint8_t seed) {
  std::mt19937 random(seed);
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(1 + random() % 250);
  return out;
}

Bytes read_at(device::Disk& disk, std::uint64_t offset, std::size_t length) {
  Bytes out(length);
  auto read = disk.read(offset, out);
  EXPECT_TRUE(read) << read.error().message();
  return out;
}

// All that the store holds is sound, content included.
void expect_sound(DiskWorld& world) {
  auto volume = volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  ASSERT_OK(volume);
  auto report = volume::check(system_env(), **volume, {.read_data = true});
  ASSERT_OK(report);
  for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
}

TEST(ResizeTest, GrownPartReadsZerosAndTakesWrites) {
  DiskWorld world(kMi);
  ASSERT_OK(world.open());
  const Bytes data = pattern(4096, 1);
  ASSERT_OK(world.disk->write(kMi - 4096, data));
  EXPECT_TRUE(is(world.disk->write(kMi, data), Code::kBadArgument));
  ASSERT_OK(world.disk->resize(3 * kMi, DiscardTail::no));
  EXPECT_EQ(world.disk->size(), 3 * kMi);
  EXPECT_TRUE(all_zero(read_at(*world.disk, kMi, 2 * kMi)));
  ASSERT_OK(world.disk->write(3 * kMi - 4096, data));
  ASSERT_OK(world.disk->flush());
  world.vanish();  // what was flushed beyond the old end comes back from the journal
  ASSERT_OK(world.open());
  EXPECT_EQ(world.disk->size(), 3 * kMi);
  EXPECT_EQ(read_at(*world.disk, kMi - 4096, 4096), data);
  EXPECT_EQ(read_at(*world.disk, 3 * kMi - 4096, 4096), data);
  ASSERT_OK(world.close());
  expect_sound(world);
}

TEST(ResizeTest, ShrinkingIsRefusedWhileThereIsDataBeyond) {
  DiskWorld world(2 * kMi);
  ASSERT_OK(world.open());
  const Bytes data = pattern(4096, 2);
  ASSERT_OK(world.disk->write(kMi + 8192, data));
  auto refused = world.disk->resize(kMi, DiscardTail::no);
  ASSERT_TRUE(is(refused, Code::kExists));
  EXPECT_NE(refused.error().message().find(fmt::format("{}", kMi + 8192)), std::string::npos);
  EXPECT_EQ(world.disk->size(), 2 * kMi);
  EXPECT_EQ(read_at(*world.disk, kMi + 8192, 4096), data);
  ASSERT_OK(world.disk->write(2 * kMi - 4096, Bytes(4096)));  // zeros are no data
  ASSERT_OK(world.disk->discard(kMi, kMi));
  const Generation before = world.disk->stats().generation;
  ASSERT_OK(world.disk->resize(kMi, DiscardTail::no));
  EXPECT_EQ(world.disk->size(), kMi);
  EXPECT_TRUE(is(world.disk->write(kMi - 10, data), Code::kBadArgument));
  EXPECT_TRUE(is(world.disk->discard(kMi, 1), Code::kBadArgument));
  EXPECT_GT(world.disk->stats().generation, before);
  ASSERT_OK(world.close());
  expect_sound(world);
}

TEST(ResizeTest, WhatWasCutOffReadsZerosAndOlderGenerationsKeepIt) {
  DiskWorld world(2 * kMi);
  ASSERT_OK(world.open());
  const Bytes data = pattern(2 * kMi, 3);
  ASSERT_OK(world.disk->write(0, data));
  auto full = world.disk->sync();
  ASSERT_OK(full);
  ASSERT_OK(world.disk->resize(kMi, DiscardTail::yes));
  ASSERT_OK(world.disk->resize(2 * kMi, DiscardTail::no));
  EXPECT_TRUE(equal(read_at(*world.disk, 0, kMi), ByteView(data).first(kMi)));
  EXPECT_TRUE(all_zero(read_at(*world.disk, kMi, kMi)));
  ASSERT_OK(world.close());
  expect_sound(world);
  world.lose_state();
  ASSERT_OK(world.open());
  EXPECT_TRUE(all_zero(read_at(*world.disk, kMi, kMi)));
  std::map<std::uint64_t, std::uint64_t> sizes;  // how many generations have which
  std::uint64_t resizes = 0;
  for (Generation at = full->next(); at <= world.disk->stats().generation; at = at.next()) {
    auto commit = world.volume().load_commit(at);
    ASSERT_OK(commit);
    sizes[commit->body.disk_bytes]++;
    resizes += commit->body.kind == volume::CommitKind::resize ? 1 : 0;
  }
  EXPECT_EQ(resizes, 2u);
  EXPECT_EQ(sizes.size(), 2u);
  auto view = world.volume().load_view(*world.volume().load_commit(*full));
  ASSERT_OK(view);
  EXPECT_EQ(view->disk_bytes, 2 * kMi);
  std::uint64_t blocks = 0;
  view->changes.visit(BlockIndex(kMi / 4096), BlockIndex(2 * kMi / 4096), [&](const volume::Run& run) { blocks += run.hole ? 0 : run.count; });
  ASSERT_OK(volume::map_lookup(world.volume().pages(), view->map, BlockIndex(kMi / 4096), BlockIndex(2 * kMi / 4096),
                               [&](const volume::Run& run) { blocks += run.hole ? 0 : run.count; }));
  EXPECT_GE(blocks, kMi / 4096);
  ASSERT_OK(world.close());
}

TEST(ResizeTest, SizesThatNoDiskHasAreRefused) {
  DiskWorld world(kMi);
  ASSERT_OK(world.open());
  for (std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, kMi + 512, (std::uint64_t{1} << 60) + 4096, ~std::uint64_t{0}})
    EXPECT_TRUE(is(world.disk->resize(bytes, DiscardTail::yes), Code::kBadArgument)) << bytes;
  const Generation before = world.disk->stats().generation;
  EXPECT_EQ(*world.disk->resize(kMi, DiscardTail::no), before) << "no commit for the size that it has";
  ASSERT_OK(world.close());
  world.options.read_only = true;
  ASSERT_OK(world.open());
  EXPECT_TRUE(is(world.disk->resize(2 * kMi, DiscardTail::no), Code::kUnsupported));
  world.vanish();
}

TEST(ResizeTest, RandomOperationsAndSizesMatchAnArrayOfBytes) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  DiskWorld world(kMi);
  ASSERT_OK(world.open());
  Bytes model(kMi);
  auto any = [&](std::uint64_t below) { return random() % below; };
  std::uint64_t resizes = 0;
  for (int i = 0; i < 700; ++i) {
    const std::uint64_t offset = any(model.size());
    const std::uint64_t length = std::min<std::uint64_t>(model.size() - offset, any(4) == 0 ? any(200'000) : any(9000));
    switch (any(12)) {
      case 0: ASSERT_OK(world.disk->flush()); break;
      case 1:
        ASSERT_OK(world.disk->discard(offset, length));
        std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(offset), length, 0);
        break;
      case 2: {
        const std::uint64_t bytes = (1 + any(512)) * 4096;
        ASSERT_OK(world.disk->resize(bytes, DiscardTail::yes));
        model.resize(bytes);
        ++resizes;
        break;
      }
      case 3:
        if (any(8) != 0) break;
        if (any(2) == 0) {
          ASSERT_OK(world.close());
          expect_sound(world);
        } else {
          ASSERT_OK(world.disk->flush());
          world.vanish();
        }
        ASSERT_OK(world.open());
        break;
      case 4:
      case 5:
        ASSERT_TRUE(equal(read_at(*world.disk, offset, length), ByteView(model).subspan(offset, length))) << "at step " << i;
        break;
      default: {
        const Bytes data = pattern(length, static_cast<std::uint8_t>(random()));
        ASSERT_OK(world.disk->write(offset, data));
        std::copy(data.begin(), data.end(), model.begin() + static_cast<std::ptrdiff_t>(offset));
      }
    }
    ASSERT_EQ(world.disk->size(), model.size());
  }
  EXPECT_GT(resizes, 20u);
  EXPECT_EQ(read_at(*world.disk, 0, model.size()), model);
  ASSERT_OK(world.close());
  world.lose_state();
  ASSERT_OK(world.open());
  EXPECT_EQ(read_at(*world.disk, 0, model.size()), model);
  ASSERT_OK(world.close());
  expect_sound(world);
}

// The tail of a huge disk is one run however much of it there is; and what it held dies.
TEST(ResizeTest, TailOfAHugeDiskIsOneRunAndItsObjectsDie) {
  constexpr std::uint64_t kGi = kMi << 10, kPi = kGi << 20;
  DiskWorld world(kPi);
  ASSERT_OK(world.open());
  // Beyond the new end many, in segments of their own; then one below it.
  for (std::uint64_t i = 1; i <= 300; ++i) ASSERT_OK(world.disk->write(kPi / 512 * i, pattern(4096, static_cast<std::uint8_t>(i))));
  ASSERT_OK(world.disk->sync());
  const Bytes kept = pattern(4096, 9);
  ASSERT_OK(world.disk->write(0, kept));
  auto before = world.disk->resize(kGi, DiscardTail::yes);
  ASSERT_OK(before);
  auto commit = world.volume().load_commit(*before);
  while (commit && commit->body.kind != volume::CommitKind::resize) commit = world.volume().load_commit(Generation(commit->header.generation.value - 1));
  ASSERT_OK(commit);
  const auto holes = std::ranges::count_if(commit->body.runs, &volume::Run::hole);
  EXPECT_EQ(holes, 1);
  // Checkpoints, so that the map follows, and counts.
  const std::uint64_t checkpoints = world.disk->stats().checkpoints;
  for (std::uint64_t i = 0; world.disk->stats().checkpoints < checkpoints + 4 && i < 2000; ++i) {
    ASSERT_OK(world.disk->write(4096 * (2 + i * 2 % 4000), pattern(4096, static_cast<std::uint8_t>(i))));
    if (i % 20 == 0) ASSERT_OK(world.disk->sync());
  }
  EXPECT_EQ(read_at(*world.disk, 0, 4096), kept);
  ASSERT_OK(world.close());
  expect_sound(world);
  auto volume = volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  ASSERT_OK(volume);
  auto view = (*volume)->load_view(*(*volume)->load_head());
  ASSERT_OK(view);
  std::uint64_t dead = 0;
  ASSERT_OK(tree_scan((*volume)->pages(), view->companions.liveness, {}, [&](const volume::PageEntry& entry) -> Result<bool> {
    dead += volume::decode_liveness(entry)->second.died > Generation(0) ? 1 : 0;
    return true;
  }));
  EXPECT_GT(dead, 10u);
  ASSERT_OK(volume::map_lookup((*volume)->pages(), view->map, BlockIndex(kGi / 4096), BlockIndex(kPi / 4096),
                               [](const volume::Run& run) { EXPECT_TRUE(run.hole); }));
}

// A resize takes part in the levels of the delta base like any commit with changes.
TEST(ResizeTest, CommitOfALevelRepeatsChangesThoughItIsAResize) {
  DiskWorld world(test::LongHistory::kBlocks * 4096);
  auto volume = volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  ASSERT_OK(volume);
  test::LongHistory history(system_env(), **volume, 0);
  ASSERT_OK(history.open());
  constexpr std::uint64_t kTail = 100;
  const std::set<std::uint64_t> resizes = {32, 48, 256, 512};
  for (std::uint64_t at : resizes) {
    ASSERT_OK(history.grow_to(Generation(at - 1)));
    volume::CommitBody body;
    body.kind = volume::CommitKind::resize;
    body.disk_bytes = (test::LongHistory::kBlocks - (at % 64 == 0 ? kTail : 0)) * 4096;
    body.runs = {{.block = BlockIndex(test::LongHistory::kBlocks - kTail), .count = kTail, .hole = true, .first = 0, .extent = {}}};
    ASSERT_OK(history.chain().append(std::move(body)));
    EXPECT_FALSE(history.chain().wants_checkpoint());
    auto view = (*volume)->load_view(*(*volume)->load_commit(Generation(at)));
    ASSERT_OK(view);
    EXPECT_LE(view->change_commits, 3u);
    for (std::uint64_t g = 3; g < at; ++g) {
      if (resizes.contains(g)) continue;
      bool found = false;
      const BlockIndex block(test::LongHistory::block_of(Generation(g)));
      view->changes.visit(block, block.next(), [&](const volume::Run&) { found = true; });
      EXPECT_TRUE(found) << "generation " << g << " as of " << at;
    }
  }
  // Whatever else is committed has the size that the last resize gave.
  ASSERT_OK(history.grow_to(Generation(520)));
  EXPECT_EQ((*volume)->load_head()->body.disk_bytes, (test::LongHistory::kBlocks - kTail) * 4096);
}

TEST(ResizeTest, GuestThatChangesTheSizeEndsTheWriter) {
  DiskWorld world(test::LongHistory::kBlocks * 4096);
  auto volume = volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  ASSERT_OK(volume);
  test::LongHistory history(system_env(), **volume, 0);
  ASSERT_OK(history.open());
  ASSERT_OK(history.guest());
  ASSERT_OK(history.change());
  ASSERT_OK(history.guest(4096));
  EXPECT_TRUE(is(history.change(), Code::kCorrupt));
  auto report = volume::check(system_env(), **volume, {});
  ASSERT_OK(report);
  ASSERT_EQ(report->damages.size(), 1u);
  EXPECT_NE(report->damages[0].what.find("another size than its parent's"), std::string::npos);
}

// Changes over a page of the map that is gone are carried in each checkpoint's commit. If the disk became smaller while it was
// made, only data that lies within it, or nobody could read that commit; but all holes, or the tail would come back with the page.
TEST(ResizeTest, CheckpointCarriesNoDataBeyondTheEnd) {
  store::MemoryStore memory;
  test::FaultStore faults(memory);
  DiskWorld world(2 * kMi, &faults);
  world.options.checkpoint_runs = 24;
  world.options.checkpoint_commits = 12;
  world.options.delta_runs_max = 5000;
  world.options.page_bytes = 600;
  ASSERT_OK(world.open());
  const auto write = [&](std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t block = from; block < to; ++block) {
      ASSERT_OK(world.disk->write(block * 4096, pattern(4096, static_cast<std::uint8_t>(block))));
      if (block % 16 == 15) ASSERT_OK(world.disk->sync());
    }
  };
  const auto wait_for = [](const auto& so) {
    for (int i = 0; i < 5000 && !so(); ++i) nap(system_clock(), thread_executor(), std::chrono::milliseconds(1));
    EXPECT_TRUE(so());
  };
  write(0, 512);
  ASSERT_OK(world.close());
  auto page = faults.list("map/", "", 1000);
  ASSERT_OK(page);
  ASSERT_FALSE(page->objects.empty());
  std::atomic<bool> armed = false, held = false, released = false;
  faults.set_hook([&](store::Verb verb, const std::string& name) -> Result<> {
    if (!armed || verb != store::Verb::get_range || !name.starts_with("map/")) return {};
    held = true;
    wait_for([&] { return released.load(); });
    return {};
  });
  ASSERT_OK(world.open());
  for (const auto& object : page->objects) faults.lose(object.name);
  armed = true;
  write(256, 512);
  wait_for([&] { return held.load(); });  // a checkpoint that holds data beyond the new end
  ASSERT_OK(world.disk->resize(kMi, DiscardTail::yes));
  released = true;
  wait_for([&] { return world.disk->stats().checkpoints >= 1; });
  ASSERT_OK(world.close());
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(world.open());
    EXPECT_EQ(world.disk->size(), kMi);
    const std::uint64_t before = world.disk->stats().checkpoints;
    write(0, 256);
    wait_for([&] { return world.disk->stats().checkpoints > before; });  // and one that holds the hole
    ASSERT_OK(world.close());
  }
  ASSERT_OK(world.open());
  ASSERT_OK(world.disk->resize(2 * kMi, DiscardTail::no));
  // The last leaf left may be one that is gone: what is behind it cannot be told then.
  for (std::uint64_t at = kMi; at < 2 * kMi; at += 4096) {
    Bytes block(4096);
    if (auto read = world.disk->read(at, block)) EXPECT_TRUE(all_zero(block)) << at;
    else EXPECT_TRUE(is(read, Code::kNotFound) || is(read, Code::kCorrupt)) << read.error().message();
  }
  ASSERT_OK(world.close());
  for (const auto& object : page->objects) faults.restore(object.name);
  ASSERT_OK(world.open());
  EXPECT_TRUE(all_zero(read_at(*world.disk, kMi, kMi))) << "the tail came back with the page";
  ASSERT_OK(world.close());
}

}  // namespace
}  // namespace s3crate
