// SPDX-License-Identifier: GPL-3.0-or-later
// Imports with a key that reads no data: the disk is what whoever may read it finds, and no data was got for it.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <set>

#include "base/mutex.h"
#include "cli/command.h"
#include "device/import.h"
#include "segment/segment.h"
#include "store/dir_store.h"
#include "tests/support/assert_ok.h"
#include "tests/support/blind_key.h"
#include "tests/support/disk_world.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_generation.h"
#include "tests/support/seed.h"
#include "volume/check.h"
#include "volume/index_fingerprints.h"

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
const Bytes kBlindKey(32, 9);

volume::KeySource blind_keys() {
  volume::KeySource keys;
  keys.key_file = crypto::Secret::copy_of(kBlindKey);
  return keys;
}

// Counts what is got of extents, and is gone after so many puts, or commits.
class WatchedStore final : public store::ObjectStore {
 public:
  struct Life {
    std::uint64_t puts = ~std::uint64_t{0}, commits = ~std::uint64_t{0};
  };
  WatchedStore(store::ObjectStore& inner, const Life& life) : inner_(inner), life_(life) {}
  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    ++puts_;
    if (name.starts_with("commits/")) note_commit(name);
    return alive() ? inner_.put(name, parts) : gone();
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    if (name.starts_with("segments/")) ++extent_gets_;
    return alive() ? inner_.get(name, max_size) : gone();
  }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override {
    const bool of_header = offset + out.size() <= segment::segment_header_size();
    if (name.starts_with("segments/") && !of_header && offset + out.size() != TRY(inner_.head(name)).size) ++extent_gets_;
    return alive() ? inner_.get_range(name, offset, out) : gone();
  }
  Result<store::ObjectInfo> head(const std::string& name) override { return alive() ? inner_.head(name) : gone(); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after, std::size_t max) override {
    return alive() ? inner_.list(prefix, after, max) : gone();
  }
  Result<> remove(const std::string& name) override { return alive() ? inner_.remove(name) : gone(); }
  std::optional<WallTime> store_time() override { return inner_.store_time(); }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }
  [[nodiscard]] std::uint64_t puts() const { return puts_; }
  [[nodiscard]] std::uint64_t extent_gets() const { return extent_gets_; }

 private:
  [[nodiscard]] bool alive() const { return puts_ <= life_.puts && commits_ <= life_.commits; }
  void note_commit(const std::string& name) {
    MutexLock lock(mu_);
    names_.insert(name);
    commits_ = names_.size();
  }
  static tl::unexpected<Error> gone() { return fail(Code::kCancelled, "the process was killed"); }
  store::ObjectStore& inner_;
  const Life life_;
  std::atomic<std::uint64_t> puts_ = 0, extent_gets_ = 0, commits_ = 0;
  Mutex mu_;
  std::set<std::string> names_ GUARDED_BY(mu_);
};

// Which content stands where; 0: zeros.
Bytes image_of(const std::vector<std::uint64_t>& contents) {
  Bytes out;
  for (std::uint64_t content : contents) append(out, content == 0 ? Bytes(kPlace) : noise(kPlace, content));
  return out;
}

const WatchedStore::Life kForEver;
// `open`, and a commit that names what is sent: of seven segments not more than three are on their way.
const WatchedStore::Life kUntilSomethingIsStaged{.commits = 2};

device::ImportOptions small(std::size_t runs_max = 400'000, device::Fit fit = device::Fit::as_it_is) {
  device::ImportOptions options;
  options.transfer.piece_bytes = 128 << 10;
  options.transfer.workers = 3;
  options.runs_max = runs_max;
  options.window_blocks = 64;
  options.fit = fit;
  return options;
}

struct Blind {
  explicit Blind(std::uint64_t disk_bytes = kSize) : world(disk_bytes) {
    world.options.segment_bytes = 160 << 10;  // two places and a bit
    world.options.checkpoint_runs = 100'000;
    test::add_blind_key(world.memory(), world.keys(), kBlindKey);
  }
  ~Blind() { EXPECT_EQ(extent_gets, 0u) << "data was read"; }
  Blind(const Blind&) = delete;
  Blind& operator=(const Blind&) = delete;

  Result<ImportReport> import(const Bytes& bytes, const device::ImportOptions& how = small(), const WatchedStore::Life& life = kForEver) {
    WatchedStore store(world.memory(), life);
    MemoryImage image(bytes);
    const auto volume = TRY(volume::Volume::open(system_env(), store, blind_keys(), {}));
    auto done = device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, how);
    puts = store.puts();
    extent_gets += store.extent_gets();
    return done;
  }
  Result<ImportReport> owners_import(const Bytes& bytes, const WatchedStore::Life& life = kForEver) {
    WatchedStore store(world.memory(), life);
    MemoryImage image(bytes);
    const auto volume = TRY(volume::Volume::open(system_env(), store, world.keys(), {}));
    return device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, small());
  }
  Bytes content() {
    auto volume = open_volume(world.memory(), world);
    return *read_generation(*volume, volume->load_head()->header.generation);
  }
  std::uint64_t allocated() {
    EXPECT_OK(world.open());
    const auto bytes = world.disk->allocated_bytes();
    EXPECT_OK(bytes);
    EXPECT_OK(world.close());
    return *bytes;
  }
  // Answers what no commit tells of.
  std::uint64_t expect_sound() {
    auto volume = open_volume(world.memory(), world);
    const auto report = volume::check(system_env(), *volume, {.read_data = true});
    EXPECT_OK(report);
    for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
    return report->orphan_bytes;
  }
  std::uint64_t segment_bytes() {
    std::uint64_t bytes = 0;
    const auto page = *world.memory().list("segments/", "", 1000);
    for (const auto& object : page.objects) bytes += object.size;
    return bytes;
  }
  void write(std::uint64_t at, const Bytes& data) {
    ASSERT_OK(world.open());
    ASSERT_OK(world.disk->write(at, data));
    ASSERT_OK(world.close());
  }

  DiskWorld world;
  std::uint64_t puts = 0, extent_gets = 0;
};

std::vector<std::uint64_t> all_different() {
  std::vector<std::uint64_t> contents;
  for (std::uint64_t i = 1; i <= kPlaces; ++i) contents.push_back(i);
  return contents;
}

TEST(BlindImportTest, SendsWhatHasChangedAndReadsNothing) {
  Blind b;
  auto contents = all_different();
  const auto first = b.import(image_of(contents));
  ASSERT_OK(first);
  EXPECT_EQ(b.content(), image_of(contents));
  const auto same = b.import(image_of(contents));
  ASSERT_OK(same);
  EXPECT_EQ(same->changed_bytes, 0u);
  EXPECT_EQ(same->sent_bytes, 0u);
  contents[3] = 103;
  contents[7] = 107;
  contents[9] = 0;
  const auto second = b.import(image_of(contents));
  ASSERT_OK(second);
  EXPECT_EQ(second->changed_bytes, 3 * kPlace);
  EXPECT_GT(second->sent_bytes, 2 * kPlace);
  EXPECT_LT(second->sent_bytes, 2 * kPlace + 4096);
  EXPECT_EQ(b.content(), image_of(contents));
  b.expect_sound();
}

TEST(BlindImportTest, EqualPlacesAreStoredOnceWhereverTheyGo) {
  Blind b;
  auto contents = all_different();
  contents[5] = contents[2];
  contents[6] = contents[2];
  const auto first = b.import(image_of(contents));
  ASSERT_OK(first);
  EXPECT_EQ(first->equal_bytes, 2 * kPlace);
  EXPECT_EQ(b.content(), image_of(contents));
  for (int round = 0; round < 3; ++round) {
    std::rotate(contents.begin(), contents.begin() + 5, contents.end());
    const auto moved = b.import(image_of(contents));
    ASSERT_OK(moved);
    EXPECT_EQ(moved->equal_bytes, moved->changed_bytes) << "round " << round;
    EXPECT_LT(moved->sent_bytes, 4096u);
    ASSERT_EQ(b.content(), image_of(contents));
    const auto same = b.import(image_of(contents));
    ASSERT_OK(same);
    EXPECT_EQ(same->changed_bytes, 0u);
  }
  b.expect_sound();
}

TEST(BlindImportTest, BlocksOfZerosAreHolesAndTheRestOfTheirPlaceIsKnownAgain) {
  Blind b;
  Bytes image = image_of(all_different());
  for (std::uint64_t block = 0; block < kSize / kBlock; block += 3) std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(block * kBlock), kBlock, 0);
  std::uint64_t data = 0;
  for (std::uint64_t at = 0; at < kSize; at += kBlock) data += all_zero(ByteView(image).subspan(at, kBlock)) ? 0 : kBlock;
  ASSERT_OK(b.import(image));
  EXPECT_EQ(b.content(), image);
  EXPECT_EQ(b.allocated(), data);
  const auto same = b.import(image);
  ASSERT_OK(same);
  EXPECT_EQ(same->changed_bytes, 0u);
  std::rotate(image.begin(), image.begin() + 3 * kPlace, image.end());
  const auto moved = b.import(image);
  ASSERT_OK(moved);
  EXPECT_EQ(moved->equal_bytes, data);
  EXPECT_LT(moved->sent_bytes, 4096u);
  EXPECT_EQ(b.content(), image);
  EXPECT_EQ(b.allocated(), data);
  b.expect_sound();
}

TEST(BlindImportTest, WhatAMountedDiskWroteIsSentAgain) {
  Blind b;
  ASSERT_OK(b.import(image_of(all_different())));
  b.write(3 * kPlace, Bytes(kBlock, 7));                  // a block of the fourth one
  b.write(5 * kPlace, image_of({6}));                     // the same data, in another extent
  ASSERT_OK(b.world.open());
  ASSERT_OK(b.world.disk->discard(8 * kPlace, kBlock));  // a hole where data was
  ASSERT_OK(b.world.close());
  const auto report = b.import(image_of(all_different()));
  ASSERT_OK(report);
  EXPECT_EQ(report->changed_bytes, 3 * kPlace);
  // The fourth and the ninth are partly there, where the tree says, so they are used; of the sixth nothing is.
  EXPECT_EQ(report->equal_bytes, 2 * kPlace);
  EXPECT_GT(report->sent_bytes, kPlace);
  EXPECT_LT(report->sent_bytes, kPlace + 4096);
  EXPECT_EQ(b.content(), image_of(all_different()));
  b.expect_sound();
}

TEST(BlindImportTest, WhatAnOwnersImportNotedIsKnownAndTheOtherWayRound) {
  Blind b;
  auto contents = all_different();
  ASSERT_OK(b.owners_import(image_of(contents)));
  contents[4] = 44;
  const auto blind = b.import(image_of(contents));
  ASSERT_OK(blind);
  EXPECT_EQ(blind->changed_bytes, kPlace);
  std::rotate(contents.begin(), contents.begin() + 3, contents.end());
  const auto owners = b.owners_import(image_of(contents));
  ASSERT_OK(owners);
  EXPECT_EQ(owners->equal_bytes, kSize);
  EXPECT_EQ(b.content(), image_of(contents));
  b.expect_sound();
}

TEST(BlindImportTest, KilledAtAnyPutNothingThatIsThereIsSentTwice) {
  const auto before = all_different();
  auto wanted = before;
  for (std::uint64_t& content : wanted) content += 100;
  wanted[1] = before[2];  // what the disk has already
  wanted[5] = wanted[0];  // what the image has before that
  Bytes image = image_of(wanted);
  std::fill_n(image.begin() + 7 * kPlace, 2 * kBlock, 0);
  std::uint64_t clean = 0, puts = 0, found = 0;
  for (std::uint64_t die_at = 0; die_at <= puts; ++die_at) {  // 0: never
    SCOPED_TRACE(die_at);
    Blind b;
    b.world.options.checkpoint_runs = 4;
    b.world.options.checkpoint_commits = 4;
    ASSERT_OK(b.import(image_of(before)));
    const std::uint64_t base = b.segment_bytes();
    const auto done = b.import(image, small(), die_at == 0 ? kForEver : WatchedStore::Life{.puts = die_at});
    if (die_at == 0) {
      ASSERT_OK(done);
      clean = b.segment_bytes() - base;
      puts = b.puts;
      continue;
    }
    const Bytes now = b.content();
    ASSERT_TRUE(now == image_of(before) || now == image);
    const auto again = b.import(image);
    ASSERT_OK(again);
    ASSERT_EQ(b.content(), image);
    // Of the puts that were under way no commit told.
    const std::uint64_t orphans = b.expect_sound();
    EXPECT_LE(b.segment_bytes() - base, clean + orphans + 6000);
    EXPECT_LE(orphans, 3 * (240u << 10));
    found += again->found_bytes;
    ASSERT_OK(b.import(image));
  }
  EXPECT_GT(puts, 12u);
  EXPECT_GT(found, kSize);
}

// By whoever may read, too, and of what whoever may read has left nothing is known.
TEST(BlindImportTest, OthersGoOnWhereItWasStopped) {
  Blind b;
  const Bytes image = image_of(all_different());
  ASSERT_FALSE(b.import(image, small(), kUntilSomethingIsStaged));
  const auto owners = b.owners_import(image);
  ASSERT_OK(owners);
  EXPECT_GT(owners->found_bytes, 0u);
  EXPECT_EQ(b.content(), image);
  const Bytes other = image_of({21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36});
  ASSERT_FALSE(b.owners_import(other, kUntilSomethingIsStaged));
  b.world.lose_state();
  b.world.options.take_over = true;
  const auto blind = b.import(other);
  ASSERT_OK(blind);
  EXPECT_EQ(blind->found_bytes, 0u);
  EXPECT_EQ(b.content(), other);
  b.expect_sound();
}

// The last place of such a disk is shorter; it is stored with the zeros behind it, which no map has.
TEST(BlindImportTest, EndOfADiskThatIsNoPlaceIsKnownAgain) {
  const std::uint64_t size = 5 * kPlace + 3 * kBlock;
  Blind b(size);
  Bytes image = noise(size - 1000, 1);
  ASSERT_OK(b.import(image));
  const auto same = b.import(image);
  ASSERT_OK(same);
  EXPECT_EQ(same->changed_bytes, 0u);
  image.resize(size);
  EXPECT_EQ(b.content(), image);
  EXPECT_EQ(b.allocated(), size);
  image.back() = 1;
  ASSERT_OK(b.import(image));
  EXPECT_EQ(b.content(), image);
  image.resize(2 * kPlace + 1);  // the rest is zeros
  const auto shorter = b.import(image);
  ASSERT_OK(shorter);
  EXPECT_LT(shorter->sent_bytes, kPlace / 8);
  image.resize(size);
  EXPECT_EQ(b.content(), image);
  b.expect_sound();
}

TEST(BlindImportTest, MoreThanACommitCanSayIsRefusedBeforeAnythingIsSent) {
  Blind b;
  const Bytes image = image_of(all_different());
  const auto refused = b.import(image, small(kPlaces - 1));
  ASSERT_TRUE(is(refused, Code::kBadKey)) << refused.error().message();
  EXPECT_EQ(b.segment_bytes(), 0u);
  EXPECT_EQ(b.content(), Bytes(kSize));
  ASSERT_OK(b.import(image, small(kPlaces)));
  EXPECT_EQ(b.content(), image);
  // Of what is there already there may be any number.
  auto contents = all_different();
  contents[3] = 103;
  ASSERT_OK(b.import(image_of(contents), small(2)));
  EXPECT_EQ(b.content(), image_of(contents));
}

TEST(BlindImportTest, SizeOfTheDiskIsNotItsToChange) {
  Blind b;
  const std::uint64_t before = b.world.memory().list("commits/", "", 1000)->objects.size();
  const auto refused = b.import(Bytes(2 * kSize), small(400'000, device::Fit::resize));
  ASSERT_TRUE(is(refused, Code::kBadKey)) << refused.error().message();
  EXPECT_EQ(b.world.memory().list("commits/", "", 1000)->objects.size(), before);
  ASSERT_OK(b.import(image_of(all_different()), small(400'000, device::Fit::resize)));
}

// A checkpoint that has no fingerprints, or whose tree is lost, costs data that is sent again, and no more.
TEST(BlindImportTest, WithoutTheTreeAllIsSentAgain) {
  Blind b;
  const Bytes image = image_of(all_different());
  ASSERT_OK(b.import(image));
  {
    auto volume = open_volume(b.world.memory(), b.world);
    const auto root = volume->load_view(*volume->load_head())->companions.fingerprints;
    ASSERT_TRUE(root);
    ASSERT_OK(b.world.memory().remove(segment::object_name(segment::ObjectKind::map, root->page.object.id, root->page.nonce)));
  }
  const auto again = b.import(image);
  ASSERT_OK(again);
  EXPECT_GT(again->sent_bytes, kSize);
  EXPECT_EQ(b.content(), image);
  const auto same = b.import(image);
  ASSERT_OK(same);
  EXPECT_EQ(same->changed_bytes, 0u);
}

TEST(BlindImportTest, AJournalOfTheSameMachineIsNoneOfItsBusinessUnlessTheStoreLacksIt) {
  Blind b;
  b.write(0, noise(kPlace, 1));  // closed, all is stored
  const Bytes image = image_of(all_different());
  ASSERT_OK(b.import(image));
  EXPECT_EQ(b.content(), image);
  b.world.options.upload_delay = std::chrono::hours(1);
  ASSERT_OK(b.world.open());
  ASSERT_OK(b.world.disk->write(kPlace, noise(kPlace, 2)));
  ASSERT_OK(b.world.disk->flush());
  b.world.vanish();
  const auto refused = b.import(image);
  ASSERT_TRUE(is(refused, Code::kBadKey)) << refused.error().message();
  ASSERT_OK(b.world.open());  // nothing was done to it
  ASSERT_OK(b.world.close());
  Bytes now = image;
  std::ranges::copy(noise(kPlace, 2), now.begin() + kPlace);
  EXPECT_EQ(b.content(), now);
  ASSERT_OK(b.import(image));
  EXPECT_EQ(b.content(), image);
}

// Nothing of it is needed, and it cannot be read; but it is how the mount that died is known to have been this machine's.
TEST(BlindImportTest, GoesOnAfterAMountThatDiedWithNothingUnsent) {
  Blind b;
  const Bytes image = image_of(all_different());
  ASSERT_OK(b.world.open());
  ASSERT_OK(b.world.disk->write(0, noise(kPlace, 3)));
  ASSERT_OK(b.world.disk->flush());
  ASSERT_OK(b.world.disk->sync());
  b.world.vanish();
  ASSERT_OK(b.import(image));
  EXPECT_EQ(b.content(), image);
  b.write(kPlace, noise(kPlace, 4));  // and whoever reads goes on after it
  ASSERT_OK(b.import(image));
  EXPECT_EQ(b.content(), image);
}

TEST(BlindImportTest, DiskHoldsTheImageWhateverHappenedBefore) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  const auto any = [&](std::uint64_t below) { return random() % below; };
  Blind b;
  Bytes now(kSize);
  std::uint64_t equal = 0;
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    Bytes next = now;
    for (std::uint64_t n = 1 + any(12); n > 0; --n) {
      const Bytes place = any(6) == 0 ? Bytes(kPlace) : noise(kPlace, 1 + any(9));
      std::ranges::copy(place, next.begin() + static_cast<std::ptrdiff_t>(any(kPlaces) * kPlace));
    }
    for (std::uint64_t n = any(5); n > 0; --n) {
      const Bytes block = any(2) == 0 ? Bytes(kBlock) : noise(kBlock, random());
      std::ranges::copy(block, next.begin() + static_cast<std::ptrdiff_t>(any(kSize / kBlock) * kBlock));
    }
    switch (any(6)) {
      case 0:
        b.write(0, next);
        break;
      case 1:
        ASSERT_OK(b.owners_import(next));
        break;
      case 2:
        (void)b.import(next, small(), {.puts = 1 + any(20)});
        [[fallthrough]];
      default: {
        const auto report = b.import(next);
        ASSERT_OK(report);
        equal += report->equal_bytes;
      }
    }
    now = next;
    ASSERT_TRUE(b.content() == now);
    if (any(4) == 0) {
      const auto same = b.import(now);
      ASSERT_OK(same);
      ASSERT_TRUE(b.content() == now);
      ASSERT_OK(b.import(now));
      EXPECT_EQ(b.import(now)->sent_bytes, 0u);
    }
  }
  EXPECT_GT(equal, 0u);
  b.expect_sound();
}

TEST(BlindImportTest, KeyThatCameLaterKnowsWhatWasThereBefore) {
  DiskWorld world(kSize);
  world.options.checkpoint_runs = 3;
  const auto as = [&](const volume::KeySource& keys, const Bytes& bytes) -> Result<ImportReport> {
    MemoryImage image(bytes);
    const auto volume = TRY(volume::Volume::open(system_env(), world.memory(), keys, {}));
    return device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, small());
  };
  auto contents = all_different();
  ASSERT_OK(as(world.keys(), image_of(contents)));
  ASSERT_OK(world.open());
  for (std::uint64_t i = 0; i < 8; ++i) {
    ASSERT_OK(world.disk->write(12 * kPlace + i * kPlace / 2, noise(kPlace / 2, 100 + i)));
    ASSERT_OK(world.disk->sync());
  }
  ASSERT_OK(world.close());
  test::add_blind_key(world.memory(), world.keys(), kBlindKey);
  const auto blind = as(blind_keys(), image_of(contents));
  ASSERT_OK(blind);
  EXPECT_EQ(blind->changed_bytes, 4 * kPlace);
  auto volume = open_volume(world.memory(), world);
  EXPECT_EQ(*read_generation(*volume, volume->load_head()->header.generation), image_of(contents));
}

TEST(BlindImportTest, FingerprintsOfASegmentAreForThoseWhoHoldTheKey) {
  Blind b;
  const auto blind = *volume::Volume::open(system_env(), b.world.memory(), blind_keys(), {});
  ASSERT_OK(blind->load_head());
  segment::SegmentIndex index;
  index.sealed_secret[3] = 1;
  std::vector<volume::ExtentFingerprint> many(volume::kIndexFingerprintsMax);
  for (std::uint32_t i = 0; i < many.size(); ++i) many[i] = {i == 0 ? 0 : many[i - 1].extent + 1 + i % 3, {static_cast<std::uint8_t>(i)}};
  volume::put_fingerprints(index, many, *blind->keys(), system_random());
  ASSERT_LE(index.extensions.at(0).value.size(), segment::kExtensionBytesMax);
  const auto read = volume::fingerprints_in(index, *blind->keys());
  ASSERT_EQ(read.size(), many.size());
  for (std::size_t i = 0; i < many.size(); ++i) {
    EXPECT_EQ(read[i].extent, many[i].extent);
    EXPECT_EQ(read[i].fingerprint, many[i].fingerprint);
  }
  segment::SegmentIndex other = index;
  other.sealed_secret[3] = 2;
  EXPECT_TRUE(volume::fingerprints_in(other, *blind->keys()).empty()) << "of other extents";
  Blind another;
  const auto stranger = *volume::Volume::open(system_env(), another.world.memory(), blind_keys(), {});
  ASSERT_OK(stranger->load_head());
  EXPECT_TRUE(volume::fingerprints_in(index, *stranger->keys()).empty());
}

// Whatever would read, from the command line: as if there were no key.
TEST(BlindImportTest, CommandsThatReadAreRefusedInOneSentence) {
  test::TempDir dir;
  const std::string place = dir / "volume", key = dir / "key", image = dir / "image", state = dir / "state";
  store::DirStore store(io::posix_file_io(), system_random(), place);
  DiskWorld world(kSize, &store);
  test::add_blind_key(store, world.keys(), kBlindKey);
  std::ofstream(key).write(reinterpret_cast<const char*>(kBlindKey.data()), static_cast<std::streamsize>(kBlindKey.size()));
  ASSERT_EQ(::chmod(key.c_str(), 0600), 0);
  const Bytes content = image_of(all_different());
  std::ofstream(image).write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
  const std::string url = "file://" + place;
  const auto run = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "s3crate-blk");
    words.insert(words.end(), {"--key-file", key});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    return cli::run_program(static_cast<int>(argv.size()), argv.data());
  };
  EXPECT_EQ(run({"import", image, url, "--state-dir", state}), cli::kDone);
  EXPECT_EQ(run({"export", url, dir / "out"}), cli::kWrongKey);
  EXPECT_EQ(run({"compare", image, url}), cli::kWrongKey);
  EXPECT_EQ(run({"check", "--read-data", url}), cli::kWrongKey);
  ASSERT_EQ(::mkdir((dir / "mnt").c_str(), 0700), 0);
  EXPECT_EQ(run({"mount", "--foreground", url, dir / "mnt", "--state-dir", state}), cli::kWrongKey);
  EXPECT_EQ(run({"rollback", url + "@3", "--state-dir", state}), cli::kWrongKey);
  EXPECT_EQ(run({"fork", url, "file://" + (dir / "fork"), "--state-dir", state}), cli::kWrongKey);
  EXPECT_EQ(run({"resize", url, "8M", "--state-dir", state}), cli::kWrongKey);
  EXPECT_EQ(run({"check", url}), cli::kDone);
  EXPECT_EQ(run({"info", url}), cli::kDone);
}

}  // namespace
}  // namespace s3crate
