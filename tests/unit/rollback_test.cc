// SPDX-License-Identifier: GPL-3.0-or-later
// Rollback against plain arrays of bytes, one for each generation: after any mix of writes, checkpoints, other sizes, guests and
// rollbacks, each generation reads as it was, the volume is sound and counted exactly, and what no kept generation needs may go.
#include <gtest/gtest.h>

#include <random>

#include "segment/object_names.h"
#include "tests/support/crate.h"
#include "tests/support/fault_store.h"
#include "tests/support/seed.h"
#include "volume/rollback.h"

namespace s3crate {
namespace {

using test::Crate;
using test::DiskWorld;
using test::open_volume;
using volume::Commit;
using volume::CommitKind;
using volume::View;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;

class RollbackTest : public testing::Test {
 protected:
  void roll_back(Generation point) {
    crate_.take(crate_.try_roll_back(point));
    if (HasFatalFailure()) return;
    crate_.expect_disk();
    const auto stored = crate_.open_volume()->load_commit(crate_.states.rbegin()->first);
    ASSERT_OK(stored);
    EXPECT_EQ(stored->body.kind, CommitKind::rollback);
    EXPECT_EQ(volume::rollback_point(stored->body), point);
    EXPECT_EQ(stored->body.checkpoint.commit, stored->header.generation);
    EXPECT_LT(stored->body.checkpoint.as_of, stored->header.generation);
  }
  void import(std::mt19937_64& random) {
    ASSERT_OK(world_.close());
    crate_.take(crate_.try_import(random));
  }
  // Keeps some generations, as prune will, and deletes all objects that none of them needs.
  void expect_kept_survive(std::mt19937_64& random) {
    std::map<Generation, Bytes> kept;
    for (const auto& [generation, bytes] : crate_.states)
      if (random() % 4 == 0) kept.emplace(generation, bytes);
    store::MemoryStore copy;
    std::size_t deleted = 0;
    {
      auto volume = crate_.open_volume();
      const Commit head = volume->load_head().value();
      kept.emplace(head.header.generation, crate_.now);
      std::map<Generation, volume::CheckpointRef> named;
      for (const auto& [generation, bytes] : kept) named[generation] = volume->load_commit(generation)->body.checkpoint;
      std::set<std::string> gone;
      const View view = volume->load_view(head).value();
      ASSERT_OK(volume::tree_scan(volume->pages(), view.companions.liveness, {}, [&](const volume::PageEntry& entry) -> Result<bool> {
        const auto [key, row] = TRY(volume::decode_liveness(entry));
        auto value = TRY(volume::tree_find(volume->pages(), view.companions.objects, entry.key));
        CHECK(value);
        const auto info = TRY(volume::decode_object_info({entry.key, *value}));
        bool needed = false;
        for (const auto& [generation, checkpoint] : named) needed = needed || volume::is_needed(info.born, row.died, generation, checkpoint);
        if (!needed) gone.insert(segment::object_name(info.kind, key.id, info.nonce));
        return true;
      }));
      for (std::string after;;) {
        const auto page = crate_.memory.list("", after, 1000).value();
        for (const auto& object : page.objects) {
          if (gone.contains(object.name)) ++deleted;
          else ASSERT_OK(copy.put(object.name, crate_.memory.get(object.name, 64 << 20).value()));
        }
        if (!page.more) break;
        after = page.objects.back().name;
      }
    }
    crate_.expect_states(copy, kept);
    deleted_ += deleted;
  }

  Crate crate_{64};
  DiskWorld& world_ = crate_.world;
  std::size_t deleted_ = 0;
};

TEST_F(RollbackTest, EveryGenerationReadsAsItWasAfterAnyMixOfChanges) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  world_.options.checkpoint_runs = 24;
  world_.options.page_bytes = 512;
  ASSERT_OK(world_.open());
  crate_.note();
  int rollbacks = 0;
  for (int step = 0; step < 60; ++step) {
    SCOPED_TRACE(step);
    switch (random() % 14) {
      case 0: case 1: roll_back(crate_.any_state(random)); ++rollbacks; break;
      case 2: crate_.take(crate_.try_resize(random)); break;
      case 3: crate_.tag(fmt::format("tag{}", step), Generation(1)); break;
      case 4:
        ASSERT_OK(world_.close());
        ASSERT_OK(world_.open());
        break;
      case 5: world_.vanish(); ASSERT_OK(world_.open()); break;
      case 6: case 7: import(random); break;
      default: crate_.write_some(random); crate_.note(); break;
    }
    if (HasFatalFailure()) return;
  }
  roll_back(crate_.any_state(random));
  crate_.note();
  crate_.write_some(random);
  crate_.note();
  ASSERT_OK(world_.close());
  crate_.expect_all_states();
  crate_.expect_sound();
  expect_kept_survive(random);
  EXPECT_GT(crate_.states.size(), 10u);
}

// The old map lies in the checkpoint that is current, in an older one whose pages are dead, or in none.
TEST_F(RollbackTest, WhatComesAliveAgainDiesNeverAndWhatWasBornSinceDiesNow) {
  world_.options.checkpoint_runs = 1;  // each generation that changes something
  ASSERT_OK(world_.open());
  const auto fill = [&](std::uint8_t byte) {
    for (std::uint64_t block = 0; block < 64; block += 2) crate_.write(block * kBlock, Bytes(kBlock, static_cast<std::uint8_t>(byte + block)));
    crate_.note();
  };
  const auto rest = [&] {  // until the checkpoints have come
    for (int i = 0; i < 100 && world_.disk->stats().checkpoints < crate_.states.size(); ++i) nap(system_clock(), system_env().executor, std::chrono::milliseconds(5));
  };
  fill(1);
  const Generation first = crate_.states.rbegin()->first;
  rest();
  fill(100);
  const Generation second = crate_.states.rbegin()->first;
  rest();
  roll_back(first);
  const Generation back = crate_.states.rbegin()->first;
  ASSERT_OK(world_.close());

  auto volume = crate_.open_volume();
  const Commit head = volume->load_head().value();
  const View view = volume->load_view(head).value();
  int alive = 0, died_now = 0;
  ASSERT_OK(volume::tree_scan(volume->pages(), view.companions.objects, {}, [&](const volume::PageEntry& entry) -> Result<bool> {
    const auto info = TRY(volume::decode_object_info(entry));
    if (info.kind != segment::ObjectKind::segment) return true;
    auto row = TRY(volume::tree_find(volume->pages(), view.companions.liveness, entry.key));
    CHECK(row);
    const auto liveness = TRY(volume::decode_liveness({entry.key, *row})).second;
    if (info.born <= first) {
      EXPECT_EQ(liveness.died, Generation(0)) << "born in " << info.born.value;
      EXPECT_GT(liveness.live, 0u);
      ++alive;
    } else {
      EXPECT_EQ(liveness.died, back) << "born in " << info.born.value;
      EXPECT_TRUE(volume::is_needed(info.born, liveness.died, second, volume->load_commit(second)->body.checkpoint));
      ++died_now;
    }
    return true;
  }));
  EXPECT_GE(alive, 1);
  EXPECT_GE(died_now, 1);
  ASSERT_OK(volume::tree_scan(volume->pages(), view.companions.dead, {}, [&](const volume::PageEntry& entry) -> Result<bool> {
    auto row = TRY(volume::tree_find(volume->pages(), view.companions.liveness, ByteView(entry.key).subspan(8)));
    CHECK(row);
    EXPECT_NE(TRY(volume::decode_liveness({Bytes(entry.key.begin() + 8, entry.key.end()), *row})).second.died, Generation(0))
        << "what lives must not be listed as dead";
    return true;
  }));
  crate_.expect_all_states();
  crate_.expect_sound();
}

TEST_F(RollbackTest, GuestsThatTakeItsNumberMakeItBeDoneAnew) {
  store::MemoryStore memory;
  test::FaultStore faults(memory);
  DiskWorld world(64 * kBlock, &faults);
  // Right before the commit of kind rollback, twice.
  std::atomic<bool> armed = false;
  int guests = 0;
  faults.set_hook([&](store::Verb verb, const std::string& name) -> Result<> {
    if (!armed || verb != store::Verb::put || !name.starts_with(segment::kCommitsPrefix) || guests == 2) return {};
    ++guests;
    auto other = open_volume(memory, world);
    volume::Guest guest(system_env(), *other, {}, [](const Error&) {});
    volume::CommitBody body;
    body.kind = CommitKind::tag;
    body.tags = {{fmt::format("tag{}", guests), Generation(1)}};
    EXPECT_TRUE(guest.append(other->load_head().value(), body, [](const Commit&) -> Result<> { return {}; }));
    return {};
  });
  ASSERT_OK(world.open());
  const Bytes data(kBlock, 7);
  ASSERT_OK(world.disk->write(0, data));
  const auto first = world.disk->sync();
  ASSERT_OK(first);
  ASSERT_OK(world.disk->write(0, Bytes(kBlock, 9)));
  ASSERT_OK(world.disk->sync());
  auto volume = open_volume(faults, world);
  const auto past = volume->load_view(volume->load_commit(*first).value());
  ASSERT_OK(past);
  armed = true;
  const auto done = world.disk->roll_back(*past);
  ASSERT_OK(done);
  EXPECT_EQ(guests, 2);
  Bytes read(kBlock);
  ASSERT_OK(world.disk->read(0, read));
  EXPECT_EQ(read, data);
  ASSERT_OK(world.close());
}

// Whatever of it has reached the store: the disk is as before or as then, each generation reads as it was, and it can be done again.
TEST_F(RollbackTest, KilledAtAnyStepTheDiskIsAsBeforeOrAsThen) {
  bool done = false;
  for (std::int64_t puts = 0; !done; ++puts) {
    SCOPED_TRACE(puts);
    ASSERT_LT(puts, 40);
    Crate crate(64);
    crate.world.options.checkpoint_runs = 20;
    crate.world.options.page_bytes = 512;
    ASSERT_OK(crate.world.open());
    for (std::uint8_t i = 1; i <= 6; ++i) {
      for (std::uint64_t block = i % 2; block < 64; block += 2 + i) crate.write(block * kBlock, Bytes(kBlock, static_cast<std::uint8_t>(i * 40 + block)));
      crate.note();
    }
    const Generation point = std::next(crate.states.begin(), 2)->first;
    crate.line.die_after(puts);
    auto attempt = crate.try_roll_back(point);
    done = attempt.done && !crate.line.dead();
    crate.survive(std::move(attempt));
    if (HasFatalFailure()) return;
    crate.take(crate.try_roll_back(point));
    crate.expect_disk();
    ASSERT_OK(crate.world.close());
    crate.expect_all_states();
    crate.expect_sound();
  }
}

TEST_F(RollbackTest, IsRefusedForAReadOnlyDiskAndAMapThatIsDamaged) {
  world_.options.checkpoint_runs = 1;
  ASSERT_OK(world_.open());
  std::mt19937_64 random(1);
  for (int i = 0; i < 8; ++i) {
    crate_.write_some(random);
    crate_.note();
    for (int n = 0; n < 5000 && world_.disk->stats().checkpoints == 0; ++n) nap(system_clock(), system_env().executor, std::chrono::milliseconds(1));
  }
  ASSERT_OK(world_.close());
  world_.options.checkpoint_runs = 100'000;  // one that comes now would have the page in memory before it is spoiled
  ASSERT_OK(world_.open());
  const Generation point = std::next(crate_.states.begin(), 4)->first;
  auto volume = crate_.open_volume();
  const auto past = volume->load_view(volume->load_commit(point).value());
  ASSERT_OK(past);
  ASSERT_TRUE(past->map) << "there is a checkpoint below it";
  const auto& page = past->map->page;
  const std::string name = segment::object_name(segment::ObjectKind::map, page.object.id, page.nonce);
  const Bytes sound = crate_.memory.get(name, 1 << 20).value();
  Bytes spoiled = sound;
  spoiled[page.offset + page.length / 2] ^= 1;
  ASSERT_OK(crate_.memory.remove(name));
  ASSERT_OK(crate_.memory.put(name, spoiled));
  const auto refused = world_.disk->roll_back(*past);
  EXPECT_TRUE(is(refused, Code::kCorrupt)) << "what it needs cannot be known";
  ASSERT_OK(crate_.memory.remove(name));
  ASSERT_OK(crate_.memory.put(name, sound));
  ASSERT_OK(world_.close());
  crate_.expect_all_states();
  crate_.expect_sound();

  world_.options.read_only = true;
  ASSERT_OK(world_.open());
  EXPECT_TRUE(is(world_.disk->roll_back(*past), Code::kUnsupported));
}

}  // namespace
}  // namespace s3crate
