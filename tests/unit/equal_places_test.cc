// SPDX-License-Identifier: GPL-3.0-or-later
// Equal places of 64 KiB are stored once, and nothing is taken for equal that is not.
#include "device/equal_places.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "device/disk_impl.h"
#include "device/import.h"
#include "device/import_map.h"
#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_generation.h"
#include "tests/support/seed.h"
#include "volume/check.h"

namespace s3crate {
namespace {

using device::ImportReport;
using test::DiskWorld;
using test::MemoryImage;
using test::noise;
using test::open_volume;
using test::read_generation;

constexpr std::uint64_t kPlace = 64 << 10, kPlaces = 16, kSize = kPlaces * kPlace;
constexpr std::uint64_t kBlock = DiskWorld::kBlock;

class EqualPlacesTest : public testing::Test {
 protected:
  EqualPlacesTest() {
    world_.options.segment_bytes = 160 << 10;  // two places and a bit
    world_.options.checkpoint_runs = 100'000;
  }
  // Which content stands where.
  static Bytes image_of(const std::vector<std::uint64_t>& contents) {
    Bytes out;
    for (std::uint64_t content : contents) append(out, content == 0 ? Bytes(kPlace) : noise(kPlace, content));
    return out;
  }
  Result<ImportReport> import(const Bytes& bytes, std::size_t runs_max = 400'000, store::ObjectStore* store = nullptr) {
    device::ImportOptions options;
    options.transfer.piece_bytes = 128 << 10;
    options.transfer.workers = 3;
    options.runs_max = runs_max;
    options.window_blocks = 64;
    MemoryImage image(bytes);
    const auto volume = TRY(volume::Volume::open(system_env(), store != nullptr ? *store : world_.memory(), world_.keys(), {}));
    return device::import_image(system_env(), io::posix_file_io(), *volume, world_.options, image, options);
  }
  Bytes content() {
    auto volume = open_volume(world_.memory(), world_);
    return *read_generation(*volume, volume->load_head()->header.generation);
  }
  void expect_sound() {
    auto volume = open_volume(world_.memory(), world_);
    const auto report = volume::check(system_env(), *volume, {.read_data = true});
    ASSERT_OK(report);
    for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
  }
  void write(std::uint64_t at, const Bytes& data) {
    ASSERT_OK(world_.open());
    ASSERT_OK(world_.disk->write(at, data));
    ASSERT_OK(world_.close());
  }

  DiskWorld world_{kSize};
};

TEST_F(EqualPlacesTest, OfOneImageAreStoredOnce) {
  const Bytes image = image_of({1, 1, 2, 3, 1, 4, 2, 2, 0, 5, 3, 1, 6, 6, 1, 0});
  for (const std::size_t runs_max : {400'000, 3}) {
    world_.lose_state();
    const auto report = import(image, runs_max);
    ASSERT_OK(report);
    if (runs_max > 3) {
      EXPECT_EQ(report->equal_bytes, 8 * kPlace);
      EXPECT_LT(report->sent_bytes, 6 * kPlace + kPlace / 2);
      EXPECT_EQ(report->changed_bytes, 14 * kPlace);
    }
    EXPECT_EQ(content(), image);
    expect_sound();
    ASSERT_OK(import(Bytes(kSize), runs_max));
  }
}

TEST_F(EqualPlacesTest, OfTheDiskAreUsedWhereverTheyGo) {
  for (const std::size_t runs_max : {400'000, 2}) {
    std::vector<std::uint64_t> contents;
    for (std::uint64_t i = 0; i < kPlaces; ++i) contents.push_back(runs_max + i);
    ASSERT_OK(import(image_of(contents), runs_max));
    for (int round = 0; round < 3; ++round) {
      std::rotate(contents.begin(), contents.begin() + 5, contents.end());  // all of them move
      const auto moved = import(image_of(contents), runs_max);
      ASSERT_OK(moved);
      EXPECT_EQ(moved->equal_bytes, kSize) << "round " << round;
      EXPECT_LT(moved->sent_bytes, 4096u);
      ASSERT_EQ(content(), image_of(contents));
    }
    expect_sound();
  }
}

TEST_F(EqualPlacesTest, WhatTheMapDoesNotSayAnyMoreIsNotUsed) {
  std::vector<std::uint64_t> contents;
  for (std::uint64_t i = 1; i <= kPlaces; ++i) contents.push_back(i);
  ASSERT_OK(import(image_of(contents)));
  write(3 * kPlace, Bytes(kBlock, 7));       // a block of the fourth one
  write(5 * kPlace, image_of({6}));          // the same data, in another extent
  write(8 * kPlace, image_of({200}));        // other data
  contents = {4, 6, 9, 10, 11, 12, 13, 14, 15, 16, 1, 2, 3, 5, 7, 8};
  const auto report = import(image_of(contents));
  ASSERT_OK(report);
  EXPECT_EQ(content(), image_of(contents));
  EXPECT_EQ(report->equal_bytes, (kPlaces - 3) * kPlace);
  expect_sound();
}

// By somebody who may write, but was wrong or lied.
TEST_F(EqualPlacesTest, HintsThatAreWrongAreNotBelieved) {
  std::vector<std::uint64_t> contents;
  for (std::uint64_t i = 1; i <= kPlaces; ++i) contents.push_back(i);
  ASSERT_OK(import(image_of(contents)));
  {
    ASSERT_OK(world_.open());
    auto& disk = static_cast<device::DiskImpl&>(*world_.disk);
    disk.writer().checkpointer->end();
    const auto view = world_.volume().load_view(*world_.volume().load_head());
    ASSERT_OK(view);
    const auto keys = world_.volume().keys();
    const auto fingerprints = volume::Fingerprints::make(system_env().executor, world_.memory(), keys, view->companions.fingerprints);
    ASSERT_NE(fingerprints, nullptr);
    const auto right = fingerprints->find(fingerprints->of(image_of({2})));
    ASSERT_OK(right);
    ASSERT_TRUE(right->has_value());
    device::ImportMap map({system_env(), world_.volume(), *disk.writer().chain, 1024, [] { return false; }}, *disk.writer().uploader, *view);
    const auto lie = volume::Fingerprints::change_of(fingerprints->of(image_of({99})), **right);
    ASSERT_OK(map.lay_fingerprints(*fingerprints, {&lie, 1}));
    ASSERT_OK(map.checkpoint());
    ASSERT_OK(world_.close());
  }
  contents[0] = 99;
  const auto report = import(image_of(contents));
  ASSERT_OK(report);
  EXPECT_EQ(report->equal_bytes, 0u);
  EXPECT_EQ(content(), image_of(contents));
}

TEST_F(EqualPlacesTest, ImageIsStoredAndItIsSaidThatItsFingerprintsAreNot) {
  std::vector<std::uint64_t> contents;
  for (std::uint64_t i = 1; i <= kPlaces; ++i) contents.push_back(i);
  test::FaultStore store(world_.memory());
  store.set_hook([&](store::Verb verb, const std::string& name) -> Result<> {
    return verb == store::Verb::put && name.starts_with("map/") ? Result<>(fail(Code::kDenied, "no pages here")) : Result<>();
  });
  const auto stored = import(image_of(contents), 400'000, &store);
  ASSERT_OK(stored);
  ASSERT_TRUE(stored->not_noted);
  EXPECT_EQ(stored->not_noted->code(), Code::kDenied);
  EXPECT_EQ(content(), image_of(contents));
  std::rotate(contents.begin(), contents.begin() + 1, contents.end());
  const auto moved = import(image_of(contents));
  ASSERT_OK(moved);
  EXPECT_FALSE(moved->not_noted);
  EXPECT_EQ(moved->equal_bytes, 0u);
  EXPECT_EQ(content(), image_of(contents));
  expect_sound();
}

TEST_F(EqualPlacesTest, TreeThatIsLostBeginsAnew) {
  std::vector<std::uint64_t> contents;
  for (std::uint64_t i = 1; i <= kPlaces; ++i) contents.push_back(i);
  ASSERT_OK(import(image_of(contents)));
  const auto root = [&] {
    auto volume = open_volume(world_.memory(), world_);
    return volume->load_view(*volume->load_head())->companions.fingerprints;
  };
  const auto lost = root();
  ASSERT_TRUE(lost);
  ASSERT_OK(world_.memory().remove(segment::object_name(segment::ObjectKind::map, lost->page.object.id, lost->page.nonce)));
  std::rotate(contents.begin(), contents.begin() + 1, contents.end());
  const auto sent = import(image_of(contents));
  ASSERT_OK(sent);
  EXPECT_EQ(sent->equal_bytes, 0u);
  EXPECT_EQ(content(), image_of(contents));
  ASSERT_TRUE(root());
  std::rotate(contents.begin(), contents.begin() + 1, contents.end());
  const auto moved = import(image_of(contents));
  ASSERT_OK(moved);
  EXPECT_EQ(moved->equal_bytes, kSize);
}

TEST_F(EqualPlacesTest, AreKnownOfAnImportThatWasStopped) {
  std::vector<std::uint64_t> contents;
  for (std::uint64_t i = 1; i <= kPlaces; ++i) contents.push_back(i);
  test::FaultStore dying(world_.memory());
  std::atomic<int> puts = 0;
  dying.set_hook([&](store::Verb verb, const std::string&) -> Result<> {
    if (verb == store::Verb::put) ++puts;
    return puts > 9 ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>();
  });
  ASSERT_FALSE(import(image_of(contents), 400'000, &dying));
  // What it left in its places is in others as well now.
  for (std::uint64_t i = kPlaces / 2; i < kPlaces; ++i) contents[i] = i - kPlaces / 2 + 1;
  const auto again = import(image_of(contents));
  ASSERT_OK(again);
  EXPECT_GT(again->found_bytes, 0u);
  EXPECT_EQ(again->equal_bytes, kSize / 2);
  EXPECT_EQ(content(), image_of(contents));
  std::rotate(contents.begin(), contents.begin() + 3, contents.end());
  const auto moved = import(image_of(contents));
  ASSERT_OK(moved);
  EXPECT_LT(moved->sent_bytes, 4096u);
  EXPECT_EQ(content(), image_of(contents));
  expect_sound();
}

TEST_F(EqualPlacesTest, DiskHoldsTheImageWhateverIsEqual) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  const auto any = [&](std::uint64_t below) { return random() % below; };
  Bytes now(kSize);
  std::uint64_t equal = 0;
  for (int round = 0; round < 14; ++round) {
    SCOPED_TRACE(round);
    for (std::uint64_t n = 1 + any(12); n > 0; --n) {
      const Bytes place = any(6) == 0 ? Bytes(kPlace) : noise(kPlace, 1 + any(9));
      std::ranges::copy(place, now.begin() + static_cast<std::ptrdiff_t>(any(kPlaces) * kPlace));
    }
    for (std::uint64_t n = any(4); n > 0; --n) {
      const Bytes block = noise(kBlock, random());
      std::ranges::copy(block, now.begin() + static_cast<std::ptrdiff_t>(any(kSize / kBlock) * kBlock));
    }
    if (any(4) == 0) {
      ASSERT_OK(world_.open());
      ASSERT_OK(world_.disk->write(0, now));
      ASSERT_OK(world_.close());
      continue;
    }
    const std::size_t runs_max = any(3) == 0 ? 1 + any(5) : 400'000;
    if (any(3) == 0) {
      const int puts_max = 1 + static_cast<int>(any(16));
      test::FaultStore dying(world_.memory());
      std::atomic<int> puts = 0;
      dying.set_hook([&](store::Verb verb, const std::string&) -> Result<> {
        if (verb == store::Verb::put) ++puts;
        return puts > puts_max ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>();
      });
      (void)import(now, runs_max, &dying);
    }
    const auto report = import(now, runs_max);
    ASSERT_OK(report);
    equal += report->equal_bytes;
    ASSERT_TRUE(content() == now);
  }
  EXPECT_GT(equal, 0u);
  expect_sound();
}

}  // namespace
}  // namespace s3crate
