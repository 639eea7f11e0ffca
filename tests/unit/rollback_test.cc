// SPDX-License-Identifier: GPL-3.0-or-later
// Rollback against plain arrays of bytes, one for each generation: after any mix of writes, checkpoints, other sizes, guests and
// rollbacks, each generation reads as it was, the volume is sound and counted exactly, and what no kept generation needs may go.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "device/import.h"
#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_generation.h"
#include "tests/support/seed.h"
#include "volume/check.h"
#include "volume/guest.h"
#include "volume/rollback.h"

namespace s3crate {
namespace {

using device::DiscardTail;
using test::DiskWorld;
using test::open_volume;
using test::read_generation;
using volume::Commit;
using volume::CommitKind;
using volume::View;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;

class RollbackTest : public testing::Test {
 protected:
  // What the disk is now, and what each generation is.
  void wrote(std::uint64_t offset, ByteView data) { std::ranges::copy(data, now_.begin() + static_cast<std::ptrdiff_t>(offset)); }
  void note() {
    const auto generation = world_.disk->sync();
    ASSERT_OK(generation);
    states_[*generation] = now_;
  }
  void write_some(std::mt19937_64& random) {
    const std::uint64_t blocks = now_.size() / kBlock;
    for (int n = 1 + static_cast<int>(random() % 12); n > 0; --n) {
      const std::uint64_t from = random() % blocks, count = 1 + random() % std::min<std::uint64_t>(4, blocks - from);
      if (random() % 6 == 0) {
        ASSERT_OK(world_.disk->discard(from * kBlock, count * kBlock));
        wrote(from * kBlock, Bytes(count * kBlock));
        continue;
      }
      Bytes data(count * kBlock);
      for (std::size_t i = 0; i < data.size(); i += 512) data[i] = static_cast<std::uint8_t>(1 + random() % 250);
      ASSERT_OK(world_.disk->write(from * kBlock, data));
      wrote(from * kBlock, data);
    }
  }
  void resize(std::mt19937_64& random) {
    const std::uint64_t bytes = (32 + random() % 96) * kBlock;
    const auto done = world_.disk->resize(bytes, DiscardTail::yes);
    ASSERT_OK(done);
    now_.resize(bytes);
    states_[*done] = now_;
  }
  void roll_back(Generation point) {
    auto volume = open_volume(world_.memory(), world_);
    auto commit = volume->load_commit(point);
    ASSERT_OK(commit);
    auto past = volume->load_view(*commit);
    ASSERT_OK(past);
    const auto done = world_.disk->roll_back(*past);
    ASSERT_OK(done);
    now_ = states_.at(point);
    states_[*done] = now_;
    Bytes read(now_.size());
    ASSERT_EQ(world_.disk->size(), now_.size());
    ASSERT_OK(world_.disk->read(0, read));
    EXPECT_TRUE(read == now_) << "the disk itself";
    const auto stored = volume->load_commit(*done);
    ASSERT_OK(stored);
    EXPECT_EQ(stored->body.kind, CommitKind::rollback);
    EXPECT_EQ(volume::rollback_point(stored->body), point);
    EXPECT_EQ(stored->body.checkpoint.commit, *done);
    EXPECT_LT(stored->body.checkpoint.as_of, *done);
  }
  // Of more places than the commit is to hold: like a rollback it is a checkpoint of its own.
  void import(std::mt19937_64& random) {
    ASSERT_OK(world_.close());
    test::MemoryImage image(now_);
    for (int n = 1 + static_cast<int>(random() % 12); n > 0; --n) {
      const std::uint64_t from = random() % (image.bytes.size() / kBlock), count = 1 + random() % std::min<std::uint64_t>(6, image.bytes.size() / kBlock - from);
      for (std::uint64_t at = from * kBlock; at < (from + count) * kBlock; at += 512) image.bytes[at] = static_cast<std::uint8_t>(random() % 5);
    }
    for (std::uint64_t place = random() % 2; place + 16 <= image.bytes.size() / kBlock; place += 16 * (1 + random() % 4)) {
      place = place / 16 * 16;  // one of three contents
      for (std::uint64_t at = 0, content = random() % 3; at < 16 * kBlock; at += 512) image.bytes[place * kBlock + at] = static_cast<std::uint8_t>(content * 40 + at / 512);
    }
    if (random() % 3 == 0) image.bytes.resize((32 + random() % 96) * kBlock, 7);
    device::ImportOptions how;
    how.fit = device::Fit::resize;
    how.transfer.piece_bytes = 8 * kBlock;
    how.transfer.workers = 2;
    how.runs_max = 1 + random() % 6;
    how.window_blocks = 16;
    auto volume = open_volume(world_.memory(), world_);
    const auto done = device::import_image(system_env(), io::posix_file_io(), *volume, world_.options, image, how);
    ASSERT_OK(done);
    imports_ += volume->load_commit(done->generation)->body.kind == CommitKind::rollback;
    now_ = image.bytes;
    states_[done->generation] = now_;
    ASSERT_OK(world_.open());
  }
  void tag() {
    auto volume = open_volume(world_.memory(), world_);
    volume::Guest guest(system_env(), *volume, {}, [](const Error&) {});
    volume::CommitBody body;
    body.kind = CommitKind::tag;
    body.tags = {{fmt::format("tag{}", tags_++), Generation(1)}};
    ASSERT_OK(guest.append(volume->load_head().value(), body, [](const Commit&) -> Result<> { return {}; }));
  }
  Generation any_state(std::mt19937_64& random) {
    auto it = states_.begin();
    std::advance(it, random() % states_.size());
    return it->first;
  }
  static void expect_states(store::ObjectStore& store, DiskWorld& world, const std::map<Generation, Bytes>& states) {
    auto volume = open_volume(store, world);
    for (const auto& [generation, bytes] : states) {
      const auto read = read_generation(*volume, generation);
      ASSERT_TRUE(read) << "generation " << generation.value << ": " << read.error().message();
      EXPECT_TRUE(*read == bytes) << "generation " << generation.value;
    }
  }
  void expect_all_states(store::ObjectStore& store, const std::map<Generation, Bytes>& states) { expect_states(store, world_, states); }
  static void expect_sound(store::ObjectStore& store, DiskWorld& world) {
    auto volume = open_volume(store, world);
    auto report = volume::check(system_env(), *volume, {.read_data = true});
    ASSERT_OK(report);
    for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
  }
  void expect_sound() { expect_sound(world_.memory(), world_); }
  // Keeps some generations, as prune will, and deletes all objects that none of them needs.
  void expect_kept_survive(std::mt19937_64& random) {
    std::map<Generation, Bytes> kept;
    for (const auto& [generation, bytes] : states_)
      if (random() % 4 == 0) kept.emplace(generation, bytes);
    store::MemoryStore copy;
    std::size_t deleted = 0;
    {
      auto volume = open_volume(world_.memory(), world_);
      const Commit head = volume->load_head().value();
      kept.emplace(head.header.generation, now_);
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
        const auto page = world_.memory().list("", after, 1000).value();
        for (const auto& object : page.objects) {
          if (gone.contains(object.name)) ++deleted;
          else ASSERT_OK(copy.put(object.name, world_.memory().get(object.name, 64 << 20).value()));
        }
        if (!page.more) break;
        after = page.objects.back().name;
      }
    }
    expect_all_states(copy, kept);
    deleted_ += deleted;
  }

  DiskWorld world_{64 * kBlock};
  Bytes now_ = Bytes(64 * kBlock);
  std::map<Generation, Bytes> states_;
  int tags_ = 0, imports_ = 0;
  std::size_t deleted_ = 0;
};

TEST_F(RollbackTest, EveryGenerationReadsAsItWasAfterAnyMixOfChanges) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  world_.options.checkpoint_runs = 24;
  world_.options.page_bytes = 512;
  ASSERT_OK(world_.open());
  note();
  int rollbacks = 0;
  for (int step = 0; step < 60; ++step) {
    SCOPED_TRACE(step);
    switch (random() % 14) {
      case 0: case 1: roll_back(any_state(random)); ++rollbacks; break;
      case 2: resize(random); break;
      case 3: tag(); break;
      case 4:
        ASSERT_OK(world_.close());
        ASSERT_OK(world_.open());
        break;
      case 5: world_.vanish(); ASSERT_OK(world_.open()); break;
      case 6: case 7: import(random); break;
      default: write_some(random); note(); break;
    }
    if (HasFatalFailure()) return;
  }
  roll_back(any_state(random));
  note();
  write_some(random);
  note();
  ASSERT_OK(world_.close());
  expect_all_states(world_.memory(), states_);
  expect_sound();
  expect_kept_survive(random);
  EXPECT_GT(states_.size(), 10u);
}

// The old map lies in the checkpoint that is current, in an older one whose pages are dead, or in none.
TEST_F(RollbackTest, WhatComesAliveAgainDiesNeverAndWhatWasBornSinceDiesNow) {
  world_.options.checkpoint_runs = 1;  // each generation that changes something
  ASSERT_OK(world_.open());
  const auto fill = [&](std::uint8_t byte) {
    for (std::uint64_t block = 0; block < 64; block += 2) {
      const Bytes data(kBlock, static_cast<std::uint8_t>(byte + block));
      ASSERT_OK(world_.disk->write(block * kBlock, data));
      wrote(block * kBlock, data);
    }
    note();
  };
  const auto rest = [&] {  // until the checkpoints have come
    for (int i = 0; i < 100 && world_.disk->stats().checkpoints < states_.size(); ++i) nap(system_clock(), system_env().executor, std::chrono::milliseconds(5));
  };
  fill(1);
  const Generation first = states_.rbegin()->first;
  rest();
  fill(100);
  const Generation second = states_.rbegin()->first;
  rest();
  roll_back(first);
  const Generation back = states_.rbegin()->first;
  ASSERT_OK(world_.close());

  auto volume = open_volume(world_.memory(), world_);
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
  expect_all_states(world_.memory(), states_);
  expect_sound();
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
  int done_at_once = 0;
  for (int die_at = 1; done_at_once == 0; ++die_at) {
    SCOPED_TRACE(die_at);
    ASSERT_LT(die_at, 40);
    store::MemoryStore memory;
    test::FaultStore dying(memory);
    DiskWorld world(64 * kBlock, &dying);
    world.options.checkpoint_runs = 20;
    world.options.page_bytes = 512;
    std::atomic<bool> armed = false;
    std::atomic<int> puts = 0;
    dying.set_hook([&](store::Verb verb, const std::string&) -> Result<> {
      if (armed && verb == store::Verb::put && ++puts >= die_at) return fail(Code::kCancelled, "the process was killed");
      return puts >= die_at ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>();
    });
    ASSERT_OK(world.open());
    std::map<Generation, Bytes> states;
    Bytes bytes(64 * kBlock);
    for (std::uint8_t i = 1; i <= 6; ++i) {
      for (std::uint64_t block = i % 2; block < 64; block += 2 + i) {
        const Bytes data(kBlock, static_cast<std::uint8_t>(i * 40 + block));
        ASSERT_OK(world.disk->write(block * kBlock, data));
        std::memcpy(bytes.data() + block * kBlock, data.data(), kBlock);
      }
      const auto generation = world.disk->sync();
      ASSERT_OK(generation);
      states[*generation] = bytes;
    }
    const auto [point, then] = *std::next(states.begin(), 2);
    auto volume = open_volume(memory, world);
    const auto past = volume->load_view(volume->load_commit(point).value());
    ASSERT_OK(past);
    armed = true;
    const auto done = world.disk->roll_back(*past);
    if (done && puts < die_at) ++done_at_once;
    world.vanish();
    armed = false;
    puts = -1000;

    ASSERT_OK(world.open());
    Bytes read(64 * kBlock);
    ASSERT_OK(world.disk->read(0, read));
    ASSERT_TRUE(read == bytes || read == then);
    if (done) {
      ASSERT_TRUE(read == then) << "what was said to be done";
    }
    ASSERT_OK(world.disk->roll_back(*past));
    ASSERT_OK(world.disk->read(0, read));
    ASSERT_TRUE(read == then);
    ASSERT_OK(world.close());
    expect_states(memory, world, states);
    expect_sound(memory, world);
  }
}

TEST_F(RollbackTest, IsRefusedForAReadOnlyDiskAndAMapThatIsDamaged) {
  world_.options.checkpoint_runs = 1;
  ASSERT_OK(world_.open());
  std::mt19937_64 random(1);
  for (int i = 0; i < 8; ++i) {
    write_some(random);
    note();
    for (int n = 0; n < 5000 && world_.disk->stats().checkpoints == 0; ++n) nap(system_clock(), system_env().executor, std::chrono::milliseconds(1));
  }
  ASSERT_OK(world_.close());
  world_.options.checkpoint_runs = 100'000;  // one that comes now would have the page in memory before it is spoiled
  ASSERT_OK(world_.open());
  const Generation point = std::next(states_.begin(), 4)->first;
  auto volume = open_volume(world_.memory(), world_);
  const auto past = volume->load_view(volume->load_commit(point).value());
  ASSERT_OK(past);
  ASSERT_TRUE(past->map) << "there is a checkpoint below it";
  const auto& page = past->map->page;
  const std::string name = segment::object_name(segment::ObjectKind::map, page.object.id, page.nonce);
  const Bytes sound = world_.memory().get(name, 1 << 20).value();
  Bytes spoiled = sound;
  spoiled[page.offset + page.length / 2] ^= 1;
  ASSERT_OK(world_.memory().remove(name));
  ASSERT_OK(world_.memory().put(name, spoiled));
  const auto refused = world_.disk->roll_back(*past);
  EXPECT_TRUE(is(refused, Code::kCorrupt)) << "what it needs cannot be known";
  ASSERT_OK(world_.memory().remove(name));
  ASSERT_OK(world_.memory().put(name, sound));
  ASSERT_OK(world_.close());
  expect_all_states(world_.memory(), states_);
  expect_sound();

  world_.options.read_only = true;
  ASSERT_OK(world_.open());
  EXPECT_TRUE(is(world_.disk->roll_back(*past), Code::kUnsupported));
}

}  // namespace
}  // namespace s3crate
