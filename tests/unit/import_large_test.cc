// SPDX-License-Identifier: GPL-3.0-or-later
// Imports that change more than a commit can say, with a limit so small that images of a megabyte meet it. Beside these, the random
// histories of rollback_test.cc have such imports in them.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "device/import.h"
#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_generation.h"
#include "volume/check.h"
#include "volume/guest.h"
#include "volume/history.h"
#include "volume/rebuild.h"
#include "volume/rollback.h"

namespace s3crate {
namespace {

using device::ImportReport;
using test::DiskWorld;
using test::MemoryImage;
using test::noise;
using test::open_volume;
using test::read_generation;
using volume::CommitKind;

constexpr std::uint64_t kMi = 1 << 20;
constexpr std::uint64_t kBlock = DiskWorld::kBlock;

// Every second block: no two of them are one run.
Bytes striped(std::size_t size, std::uint64_t seed) {
  Bytes out = noise(size, seed);
  for (std::size_t at = kBlock; at < size; at += 2 * kBlock) std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(at), kBlock, 0);
  return out;
}

device::ImportOptions small_limit() {
  device::ImportOptions options;
  options.transfer.piece_bytes = 128 << 10;
  options.transfer.workers = 3;
  options.runs_max = 24;
  options.window_blocks = 64;
  return options;
}

struct Large {
  explicit Large(std::uint64_t disk_bytes = kMi, store::ObjectStore* store = nullptr) : world(disk_bytes, store) {
    world.options.segment_bytes = 32 << 10;
    world.options.page_bytes = 512;
  }
  Result<ImportReport> import(MemoryImage& image, const device::ImportOptions& options = small_limit(), store::ObjectStore* store = nullptr) {
    const auto volume = TRY(volume::Volume::open(system_env(), store != nullptr ? *store : world.memory(), world.keys(), {}));
    return device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, options);
  }
  void expect_sound(store::ObjectStore& store) {
    auto volume = open_volume(store, world);
    const auto report = volume::check(system_env(), *volume, {.read_data = true});
    ASSERT_OK(report);
    for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
    orphan_bytes = report->orphan_bytes;
  }
  void expect_sound() { expect_sound(world.memory()); }
  Bytes content() {
    auto volume = open_volume(world.memory(), world);
    return *read_generation(*volume, volume->load_head()->header.generation);
  }
  // Puts checkpoints over it.
  void go_on(Bytes& now) {
    ASSERT_OK(world.open());
    for (std::uint64_t n = 0; n < 6; ++n) {
      for (std::uint64_t at = n; at < now.size() / kBlock; at += 9) {
        const Bytes data(kBlock, static_cast<std::uint8_t>(1 + n + at));
        ASSERT_OK(world.disk->write(at * kBlock, data));
        std::ranges::copy(data, now.begin() + static_cast<std::ptrdiff_t>(at * kBlock));
      }
      ASSERT_OK(world.disk->sync());
    }
    Bytes read(now.size());
    ASSERT_OK(world.disk->read(0, read));
    ASSERT_TRUE(read == now);
    ASSERT_OK(world.close());
  }
  DiskWorld world;
  std::uint64_t orphan_bytes = 0;
};

std::uint64_t stored_bytes(store::ObjectStore& store, const std::string& prefix) {
  std::uint64_t bytes = 0;
  for (std::string after;;) {
    const auto page = *store.list(prefix, after, 1000);
    for (const auto& object : page.objects) bytes += object.size;
    if (page.objects.empty() || !page.more) return bytes;
    after = page.objects.back().name;
  }
}

TEST(LargeImportTest, IsOneGenerationAndThoseBelowReadAsTheyWere) {
  Large l;
  MemoryImage first(striped(kMi, 1)), second(striped(kMi, 2));
  ASSERT_OK(l.import(first));
  ASSERT_EQ(l.content(), first.bytes);
  second.bytes.resize(kMi - 5 * kBlock - 100);
  auto resize = small_limit();
  resize.fit = device::Fit::resize;
  const auto done = l.import(second, resize);
  ASSERT_OK(done);
  EXPECT_EQ(done->changed_bytes, (done->disk_bytes / kBlock + 1) / 2 * kBlock);
  second.bytes.resize(done->disk_bytes);
  auto volume = open_volume(l.world.memory(), l.world);
  const auto commit = volume->load_commit(done->generation);
  ASSERT_OK(commit);
  EXPECT_TRUE(volume::is_import(commit->body));
  EXPECT_TRUE(commit->body.runs.empty());
  // Pages that a later share replaced are left to be noted, or their objects would never die.
  const auto late = volume::companions_of(commit->body).late.net();
  EXPECT_TRUE(std::ranges::any_of(commit->body.objects, [&](const auto& own) { return late.contains(own.key) && late.at(own.key) < 0; }));
  EXPECT_EQ(volume::event_of(*commit).entry.kind, CommitKind::data) << "to the history it is what a smaller one would be";
  bool was_first = false;
  for (Generation at(2); at <= volume->load_head()->header.generation; at = at.next()) {
    const auto read = read_generation(*volume, at);
    ASSERT_OK(read);
    was_first |= *read == first.bytes;
    if (at >= done->generation) ASSERT_TRUE(*read == second.bytes) << "generation " << at.value;
    else ASSERT_TRUE(*read == first.bytes || (!was_first && *read == Bytes(kMi))) << "generation " << at.value;
  }
  EXPECT_TRUE(was_first);
  l.expect_sound();
  l.go_on(second.bytes);
  l.expect_sound();
}

TEST(LargeImportTest, KilledAtAnyPutTheDiskIsAsItWasAndNoDataIsSentTwice) {
  constexpr std::uint64_t kSize = kMi / 2;
  const Bytes old = striped(kSize, 1), wanted = striped(kSize, 2);
  std::uint64_t clean = 0, puts = 0, found = 0;
  for (std::uint64_t die_at = 0;; ++die_at) {  // 0: never
    Large l(kSize);
    MemoryImage before(old), image(wanted);
    ASSERT_OK(l.import(before));
    const std::uint64_t base = stored_bytes(l.world.memory(), "segments/");
    test::FaultStore dying(l.world.memory());
    std::atomic<std::uint64_t> put = 0;
    std::atomic<bool> dead = false;
    dying.set_hook([&](store::Verb verb, const std::string&) -> Result<> {
      if (verb == store::Verb::put && ++put == die_at) dead = true;
      return dead ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>();
    });
    const auto done = l.import(image, small_limit(), &dying);
    if (die_at == 0) {
      ASSERT_OK(done);
      clean = stored_bytes(l.world.memory(), "segments/") - base;
      puts = put;
      continue;
    }
    if (!dead) break;
    const Bytes now = l.content();
    ASSERT_TRUE(now == old || now == wanted) << "killed at put " << die_at;
    const auto again = l.import(image);
    ASSERT_OK(again);
    ASSERT_EQ(l.content(), wanted);
    l.expect_sound();
    EXPECT_LE(stored_bytes(l.world.memory(), "segments/") - base, clean + l.orphan_bytes + 6000) << "killed at put " << die_at;
    found += again->found_bytes;
    if (die_at % 8 == 0) {
      Bytes then = wanted;
      l.go_on(then);
      l.expect_sound();
    }
  }
  EXPECT_GT(puts, 20u);
  EXPECT_GT(found, kSize);
}

TEST(LargeImportTest, WhatAnotherLeftIsFoundWindowByWindow) {
  Large l;
  l.world.options.upload_threads = 1;  // each stop costs one that waits, and the one that fills
  MemoryImage image(noise(kMi, 1));
  auto options = small_limit();
  std::atomic<bool> stop = false;
  options.transfer.stop = &stop;
  options.transfer.progress = [&](const device::TransferProgress& p) { stop = p.done >= kMi - 200'000; };
  EXPECT_TRUE(is(l.import(image, options), Code::kCancelled));
  const Bytes other = noise(kMi / 2, 2);  // an image that has changed, and is stopped as well: its segments lie over the others
  std::ranges::copy(other, image.bytes.begin());
  stop = false;
  options.transfer.progress = [&](const device::TransferProgress& p) { stop = p.done >= kMi / 4; };
  EXPECT_TRUE(is(l.import(image, options), Code::kCancelled));
  EXPECT_EQ(l.content(), Bytes(kMi));
  const auto done = l.import(image);
  ASSERT_OK(done);
  EXPECT_GE(done->found_bytes, kMi / 2 - (64 << 10));
  EXPECT_LT(done->sent_bytes, kMi / 2 + (128 << 10)) << "of the second image its first quarter is there, of the first one what follows the half";
  EXPECT_EQ(l.content(), image.bytes);
  l.expect_sound();
}

TEST(LargeImportTest, GuestsThatTakeItsNumberMakeTheCompanionsBeLaidAnew) {
  store::MemoryStore memory;
  test::FaultStore faults(memory);
  Large l(kMi, &faults);
  MemoryImage first(striped(kMi, 1)), image(striped(kMi, 2));
  ASSERT_OK(l.import(first, small_limit(), &memory));
  int guests = 0;
  std::atomic<bool> map_is_there = false;
  faults.set_hook([&](store::Verb verb, const std::string& name) -> Result<> {
    if (verb != store::Verb::put) return {};
    if (name.starts_with(segment::kMapPrefix)) map_is_there = true;
    if (!name.starts_with(segment::kCommitsPrefix) || !map_is_there || guests == 6) return {};
    ++guests;
    auto other = open_volume(memory, l.world);
    volume::Guest guest(system_env(), *other, {}, [](const Error&) {});
    volume::CommitBody body;
    body.kind = CommitKind::tag;
    body.tags = {{fmt::format("tag{}", guests), Generation(2)}};
    EXPECT_TRUE(guest.append(other->load_head().value(), body, [](const volume::Commit&) -> Result<> { return {}; }));
    return {};
  });
  const auto done = l.import(image, small_limit(), &faults);
  ASSERT_OK(done);
  EXPECT_EQ(guests, 6);
  auto volume = open_volume(memory, l.world);
  const auto read = read_generation(*volume, done->generation);
  ASSERT_OK(read);
  EXPECT_TRUE(*read == image.bytes);
  const auto below = read_generation(*volume, Generation(done->generation.value - 1));
  ASSERT_OK(below);
  EXPECT_TRUE(*below == first.bytes);
  l.expect_sound(memory);
}

TEST(LargeImportTest, BlocksOfADamagedMapAreWrittenAnew) {
  Large l;
  MemoryImage image(striped(kMi, 1));
  ASSERT_OK(l.import(image));
  // A leaf is gone.
  auto volume = open_volume(l.world.memory(), l.world);
  const auto view = volume->load_view(*volume->load_head());
  ASSERT_OK(view);
  const auto root = volume->pages().load(view->map->page);
  ASSERT_OK(root);
  ASSERT_GT((*root)->level, 0);
  std::string lost;
  const auto checkpoint = volume->load_commit(view->checkpoint.commit);
  ASSERT_OK(checkpoint);
  for (const auto& object : checkpoint->body.objects)
    if (object.key != view->map->page.object) lost = segment::object_name(object.kind, object.key.id, object.nonce);
  ASSERT_OK(l.world.memory().remove(lost));
  MemoryImage other(striped(kMi, 2));
  ASSERT_OK(l.import(other));
  EXPECT_EQ(l.content(), other.bytes);
}

// What it changed no commit tells, so nothing may be taken for it.
TEST(LargeImportTest, RebuildNeverPassesItOver) {
  Large l;
  MemoryImage first(striped(kMi, 1)), image(striped(kMi, 2));
  auto unlimited = small_limit();
  unlimited.runs_max = 100'000;
  ASSERT_OK(l.import(first, unlimited));
  const auto done = l.import(image);
  ASSERT_OK(done);
  auto volume = open_volume(l.world.memory(), l.world);
  const auto head = volume->load_head();
  ASSERT_OK(head);
  ASSERT_GT(head->header.generation, done->generation);
  const auto refused = [&](const std::string& lost) {
    const Bytes bytes = *l.world.memory().get(lost, 1 << 24);
    EXPECT_TRUE(l.world.memory().remove(lost));
    auto reader = open_volume(l.world.memory(), l.world);
    const auto rebuilt = volume::rebuild(*reader, *reader->load_head(), {});
    EXPECT_TRUE(is(rebuilt, Code::kCorrupt)) << lost;
    const std::string why = rebuilt ? "" : rebuilt.error().message();
    EXPECT_NE(why.find(fmt::format("commit {} is an import", done->generation)), std::string::npos) << why;
    EXPECT_TRUE(l.world.memory().put(lost, bytes));
  };
  refused(segment::commit_name(done->generation));
  const auto commit = volume->load_commit(done->generation);
  ASSERT_OK(commit);
  refused(segment::object_name(commit->body.objects[0].kind, commit->body.objects[0].key.id, commit->body.objects[0].nonce));
  auto reader = open_volume(l.world.memory(), l.world);
  const auto whole = volume::rebuild(*reader, *reader->load_head(), {});
  ASSERT_OK(whole);
  EXPECT_TRUE(whole->report.sound);
}

}  // namespace
}  // namespace s3crate
