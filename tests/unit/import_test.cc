// SPDX-License-Identifier: GPL-3.0-or-later
// Images into a volume: all of one or nothing, only what differs is sent, and nothing twice, whenever it is stopped.
#include "device/import.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/memory_image.h"
#include "tests/support/seed.h"
#include "volume/check.h"

namespace s3crate {
namespace {

using device::Fit;
using device::ImportReport;
using test::DiskWorld;
using test::MemoryImage;
using test::noise;

constexpr std::uint64_t kMi = 1 << 20;
constexpr std::uint64_t kBlock = DiskWorld::kBlock;

device::ImportOptions small_pieces(Fit fit = Fit::as_it_is) {
  device::ImportOptions options;
  options.transfer.piece_bytes = 128 << 10;
  options.transfer.workers = 3;
  options.fit = fit;
  return options;
}

Result<ImportReport> import_into(DiskWorld& world, MemoryImage& image, const device::ImportOptions& options = small_pieces(),
                            store::ObjectStore* store = nullptr) {
  const auto volume = TRY(volume::Volume::open(system_env(), store != nullptr ? *store : world.memory(), world.keys(), {}));
  return device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, options);
}

// What the newest generation holds, for whoever has no local state.
Bytes content(DiskWorld& world) {
  const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  device::ViewReader reader(system_env(), *volume, *volume->load_view(*volume->load_head()), kMi);
  test::MemorySink sink;
  const auto done = device::export_view(system_env(), reader, sink, device::OnDamage::stop, small_pieces().transfer);
  EXPECT_TRUE(done) << done.error().message();
  return sink.bytes;
}

volume::CheckReport check(DiskWorld& world) {
  const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  auto report = volume::check(system_env(), *volume, {.read_data = true});
  EXPECT_TRUE(report) << report.error().message();
  for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
  return *report;
}

std::uint64_t stored_bytes(store::ObjectStore& store, const std::string& prefix) {
  std::uint64_t bytes = 0;
  for (std::string after;;) {
    const auto page = *store.list(prefix, after, 1000);
    for (const auto& object : page.objects) bytes += object.size;
    if (page.objects.empty() || !page.more) return bytes;
    after = page.objects.back().name;
  }
}

// As long as the disk.
Bytes padded(Bytes image, std::uint64_t disk_bytes) {
  image.resize(disk_bytes);
  return image;
}

TEST(ImportTest, DiskHoldsTheImageFollowedByZerosInOneGeneration) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  const auto any = [&](std::uint64_t below) { return random() % below; };
  DiskWorld world(kMi);
  Bytes before(kMi);
  for (int round = 0; round < 12; ++round) {
    MemoryImage image(before);
    for (std::uint64_t n = any(8); n > 0; --n) {
      const std::uint64_t at = any(kMi), length = std::min(kMi - at, 1 + any(any(3) == 0 ? 300'000 : 6000));
      const Bytes data = any(3) == 0 ? Bytes(length) : noise(length, random());
      std::memcpy(image.bytes.data() + at, data.data(), length);
    }
    if (any(2) == 0) image.bytes.resize(any(kMi));
    const Generation old = (*volume::Volume::open(system_env(), world.memory(), world.keys(), {}))->load_head()->header.generation;
    const auto report = import_into(world, image);
    ASSERT_OK(report);
    ASSERT_EQ(content(world), padded(image.bytes, kMi)) << "round " << round;
    const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
    int with_changes = 0;
    for (Generation at = old.next(); at <= volume->load_head()->header.generation; at = at.next()) {
      const auto commit = volume->load_commit(at);
      ASSERT_OK(commit);
      if (commit->body.kind == volume::CommitKind::data) {
        device::ViewReader reader(system_env(), *volume, *volume->load_view(*commit), kMi);
        test::MemorySink sink;
        ASSERT_OK(device::export_view(system_env(), reader, sink, device::OnDamage::stop, small_pieces().transfer));
        ASSERT_EQ(sink.bytes, at < report->generation ? before : padded(image.bytes, kMi)) << "generation " << at.value;
        with_changes++;
      }
    }
    EXPECT_EQ(with_changes > 0, report->changed_bytes > 0);
    before = padded(image.bytes, kMi);
    if (any(3) == 0) {  // the disk is written to as well, and makes checkpoints
      ASSERT_OK(world.open());
      const Bytes data = noise(200'000, random());
      ASSERT_OK(world.disk->write(any(kMi - data.size()), data));
      ASSERT_OK(world.close());
      before = content(world);
    }
  }
  check(world);
}

TEST(ImportTest, SendsWhatHasChangedAndLittleElse) {
  constexpr std::uint64_t kSize = 16 * kMi, kPlace = 64 << 10;
  DiskWorld world(kSize);
  world.options.segment_bytes = 1 << 20;
  world.options.checkpoint_runs = 100'000;
  world.options.delta_runs_max = 400'000;
  MemoryImage image(noise(kSize, 1));
  ASSERT_OK(import_into(world, image));
  const std::uint64_t first = stored_bytes(world.memory(), "");
  EXPECT_LT(first, kSize + kSize / 50);
  for (const std::uint64_t place : {3, 77, 200}) {  // about one percent
    const Bytes data = noise(kPlace, place);
    std::memcpy(image.bytes.data() + place * kPlace, data.data(), kPlace);
  }
  const auto report = import_into(world, image);
  ASSERT_OK(report);
  EXPECT_EQ(report->changed_bytes, 3 * kPlace);
  const std::uint64_t second = stored_bytes(world.memory(), "") - first;
  EXPECT_LT(second, 3 * kPlace + 3 * kPlace / 5);
  ASSERT_OK(import_into(world, image));
  EXPECT_LT(stored_bytes(world.memory(), "") - first - second, 8192u) << "that nothing has changed needs no more than open and close";
  EXPECT_EQ(content(world), image.bytes);
}

TEST(ImportTest, KilledAtAnyStepTheDiskIsAsItWasAndNothingIsSentTwice) {
  constexpr std::uint64_t kSize = kMi / 2;
  const Bytes old = noise(kSize, 1), wanted = noise(kSize, 2);
  std::uint64_t clean = 0, puts = 0, found = 0;
  for (std::uint64_t die_at = 0;; ++die_at) {  // 0: never
    DiskWorld world(kSize);
    world.options.checkpoint_runs = 100'000;
    world.options.segment_bytes = 32 << 10;
    MemoryImage before(old), image(wanted);
    ASSERT_OK(import_into(world, before));
    const std::uint64_t base = stored_bytes(world.memory(), "segments/");
    test::FaultStore dying(world.memory());
    std::atomic<std::uint64_t> put = 0;
    std::atomic<bool> dead = false;
    dying.set_hook([&](store::Verb verb, const std::string&) -> Result<> {
      if (verb == store::Verb::put && ++put == die_at) dead = true;
      return dead ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>();
    });
    const auto done = import_into(world, image, small_pieces(), &dying);
    if (die_at == 0) {
      ASSERT_OK(done);
      clean = stored_bytes(world.memory(), "segments/") - base;
      puts = put;
      continue;
    }
    if (!dead) break;
    const Bytes now = content(world);
    ASSERT_TRUE(now == old || now == wanted) << "killed at put " << die_at;
    const auto again = import_into(world, image);
    ASSERT_OK(again);
    ASSERT_EQ(content(world), wanted);
    const auto report = check(world);
    // Of the puts that were under way no commit told.
    EXPECT_LE(stored_bytes(world.memory(), "segments/") - base, clean + report.orphan_bytes + 6000) << "killed at put " << die_at;
    EXPECT_LE(report.orphan_bytes, 5 * (70u << 10)) << "killed at put " << die_at;
    found += again->found_bytes;
  }
  EXPECT_GT(puts, 12u);
  EXPECT_GT(found, kSize);
}

TEST(ImportTest, FewSegmentsAreThereThatNoCommitNamesHoweverSmallTheyAre) {
  constexpr std::uint64_t kSize = 2 * kMi;
  DiskWorld world(kSize);
  world.options.segment_bytes = 32 << 10;
  MemoryImage image(noise(kSize, 1));
  device::ImportOptions one_piece;
  one_piece.transfer.piece_bytes = kSize;
  test::FaultStore dying(world.memory());
  std::atomic<int> puts = 0;
  dying.set_hook([&](store::Verb verb, const std::string&) -> Result<> {
    if (verb == store::Verb::put) ++puts;
    return puts > 40 ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>();
  });
  ASSERT_FALSE(import_into(world, image, one_piece, &dying));
  const auto again = import_into(world, image, one_piece);
  ASSERT_OK(again);
  EXPECT_GT(again->found_bytes, kSize / 3);
  EXPECT_LE(check(world).orphan_bytes, 9u * (66 << 10)) << "four that are under way, four without a name, one that fills";
}

// All puts end only when the image is read to its end, and one of them not before a commit has named the others.
TEST(ImportTest, SegmentsThatAreThereAreNamedWhileAnotherOneIsStillUnderWay) {
  DiskWorld world(kMi);
  world.options.segment_bytes = 32 << 10;
  MemoryImage image(noise(192 << 10, 1));
  image.bytes.resize(kMi);
  test::FaultStore slow(world.memory());
  std::atomic<int> segments = 0, commits = 0;
  std::atomic<bool> read = false;
  const auto wait_until = [](const std::function<bool()>& so) -> Result<> {
    const MonotonicTime deadline = system_env().clock.monotonic_now() + std::chrono::minutes(2);
    while (!so() && system_env().clock.monotonic_now() < deadline) nap(system_env().clock, system_env().executor, std::chrono::milliseconds(5));
    return so() ? Result<>() : Result<>(fail(Code::kCancelled, "it did not come"));
  };
  slow.set_hook([&](store::Verb verb, const std::string& name) -> Result<> {
    if (verb != store::Verb::put) return {};
    if (name.starts_with("commits/")) ++commits;
    if (!name.starts_with("segments/")) return {};
    const bool first = ++segments == 1;
    const int before = commits;
    return first ? wait_until([&] { return commits > before; }) : wait_until([&] { return read.load(); });
  });
  device::ImportOptions one_piece;
  one_piece.transfer.piece_bytes = kMi;
  one_piece.transfer.progress = [&](const device::TransferProgress&) { read = true; };
  ASSERT_OK(import_into(world, image, one_piece, &slow));
  EXPECT_GE(segments, 3);
  EXPECT_EQ(content(world), image.bytes);
}

TEST(ImportTest, WhatWasLeftIsNotUsedOnceACheckpointHasSeenThatNothingRefersToIt) {
  DiskWorld world(kMi);
  MemoryImage image(noise(kMi, 1));
  test::FaultStore dying(world.memory());
  std::atomic<int> puts = 0;
  dying.set_hook([&](store::Verb verb, const std::string&) -> Result<> {
    if (verb == store::Verb::put) ++puts;
    return puts > 12 ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>();
  });
  ASSERT_FALSE(import_into(world, image, small_pieces(), &dying));
  ASSERT_OK(world.open());
  for (int i = 0; i < 40; ++i) {
    for (std::uint64_t at = 0; at < 64; ++at) ASSERT_OK(world.disk->write(at * 2 * kBlock, noise(kBlock, at)));
    ASSERT_OK(world.disk->sync());
    if (world.disk->stats().checkpoints > 0) break;
  }
  ASSERT_GT(world.disk->stats().checkpoints, 0u);
  ASSERT_OK(world.close());
  const auto report = import_into(world, image);
  ASSERT_OK(report);
  EXPECT_EQ(report->found_bytes, 0u);
  ASSERT_OK(world.open());  // and a checkpoint over it
  for (int i = 0; i < 10; ++i) {
    ASSERT_OK(world.disk->write(0, noise(kBlock, 1)));
    ASSERT_OK(world.disk->sync());
  }
  ASSERT_OK(world.close());
  check(world);
}

TEST(ImportTest, SizesThatDoNotFitAreRefusedBeforeAnythingIsChangedOrBecomeTheDisks) {
  DiskWorld world(kMi);
  MemoryImage large(noise(2 * kMi - 100, 1)), small(noise(kMi / 2 + 1, 2)), none{Bytes()};
  const std::uint64_t before = stored_bytes(world.memory(), "");
  const auto refused = import_into(world, large);
  ASSERT_TRUE(is(refused, Code::kBadArgument)) << refused.error().message();
  EXPECT_TRUE(is(import_into(world, none, small_pieces(Fit::resize)), Code::kBadArgument));
  EXPECT_EQ(stored_bytes(world.memory(), ""), before);
  const auto grown = import_into(world, large, small_pieces(Fit::resize));
  ASSERT_OK(grown);
  EXPECT_EQ(grown->disk_bytes, 2 * kMi);
  ASSERT_EQ(content(world), padded(large.bytes, 2 * kMi));
  ASSERT_OK(import_into(world, small, small_pieces(Fit::resize)));
  ASSERT_EQ(content(world), padded(small.bytes, kMi / 2 + kBlock));
  ASSERT_OK(world.open());  // what was cut off does not come back
  ASSERT_OK(world.disk->resize(2 * kMi, device::DiscardTail::no));
  ASSERT_OK(world.close());
  ASSERT_EQ(content(world), padded(small.bytes, 2 * kMi));
  check(world);
}

TEST(ImportTest, ImageThatChangesWhileItIsReadChangesNothing) {
  DiskWorld world(kMi);
  MemoryImage old(noise(kMi, 1)), image(noise(kMi, 2));
  ASSERT_OK(import_into(world, old));
  image.changed = true;
  EXPECT_TRUE(is(import_into(world, image), Code::kIo));
  ASSERT_EQ(content(world), old.bytes);
  image.changed = false;
  image.bytes[kMi / 2] ^= 1;  // as it is now counts
  const auto report = import_into(world, image);
  ASSERT_OK(report);
  EXPECT_GE(report->found_bytes, kMi - (64 << 10));
  EXPECT_LT(report->sent_bytes, 80u << 10);
  ASSERT_EQ(content(world), image.bytes);
}

TEST(ImportTest, WhatAJournalHeldComesBeforeIt) {
  DiskWorld world(kMi);
  ASSERT_OK(world.open());
  ASSERT_OK(world.disk->write(0, noise(kMi / 2, 1)));
  ASSERT_OK(world.disk->flush());
  world.vanish();
  MemoryImage image(noise(kMi, 2));
  ASSERT_OK(import_into(world, image));
  EXPECT_EQ(content(world), image.bytes);
  ASSERT_OK(world.open());
  Bytes out(kMi);
  ASSERT_OK(world.disk->read(0, out));
  EXPECT_EQ(out, image.bytes);
  ASSERT_OK(world.disk->write(kBlock, Bytes(kBlock, 9)));  // the numbers of batches go on
  ASSERT_OK(world.disk->flush());
  world.vanish();
  ASSERT_OK(world.open());
  ASSERT_OK(world.disk->read(0, out));
  EXPECT_TRUE(std::all_of(out.begin() + kBlock, out.begin() + 2 * kBlock, [](std::uint8_t b) { return b == 9; }));
  ASSERT_OK(world.close());
  check(world);
}

TEST(ImportTest, BlocksThatCannotBeReadAreWrittenAnew) {
  DiskWorld world(kMi);
  MemoryImage image(noise(kMi, 1));
  ASSERT_OK(import_into(world, image));
  const auto page = *world.memory().list("segments/", "", 1000);
  ASSERT_GT(page.objects.size(), 3u);
  ASSERT_OK(world.memory().remove(page.objects[1].name));
  const auto report = import_into(world, image);
  ASSERT_OK(report);
  EXPECT_GT(report->changed_bytes, 0u);
  EXPECT_LT(report->changed_bytes, kMi / 4);
  EXPECT_EQ(content(world), image.bytes);
}

TEST(ImportTest, StopLeavesTheVolumeClosedAndTheDiskAsItWas) {
  DiskWorld world(kMi);
  MemoryImage image(noise(kMi, 1));
  std::atomic<bool> stop = false;
  auto options = small_pieces();
  options.transfer.stop = &stop;
  options.transfer.progress = [&](const device::TransferProgress& p) { stop = p.done >= kMi / 2; };
  EXPECT_TRUE(is(import_into(world, image, options), Code::kCancelled));
  EXPECT_EQ(content(world), Bytes(kMi));
  const auto volume = *volume::Volume::open(system_env(), world.memory(), world.keys(), {});
  EXPECT_EQ(volume->load_head()->body.kind, volume::CommitKind::close);
  const auto again = import_into(world, image);
  ASSERT_OK(again);
  EXPECT_GT(again->found_bytes, 0u);
}

}  // namespace
}  // namespace s3crate
