// SPDX-License-Identifier: GPL-3.0-or-later
// Forks against plain arrays of bytes, one for each generation of each volume: whatever is written to a volume, to its fork, and to
// the fork of that, each generation of each reads as it was. What becomes of a fork whose origin is damaged or gone, and of an
// origin when a fork of it stops halfway.
#include "volume/fork.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "segment/object_names.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/read_generation.h"
#include "tests/support/seed.h"
#include "volume/check.h"
#include "volume/guest.h"
#include "volume/rebuild.h"

namespace s3crate {
namespace {

using test::DiskWorld;
using test::open_volume;
using test::read_generation;
using testing::HasSubstr;
using testing::IsEmpty;
using volume::Commit;
using volume::CommitBody;
using volume::CommitKind;
using volume::Forked;

constexpr std::uint64_t kBlock = DiskWorld::kBlock;
constexpr std::uint64_t kBlocks = 160;

// A store that takes so many objects, and then is gone.
class ShortLivedStore final : public store::ObjectStore {
 public:
  explicit ShortLivedStore(store::ObjectStore& inner) : inner_(inner) {}
  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    if (puts_left == 0) return fail(Code::kTransient, "gone");
    --puts_left;
    return inner_.put(name, parts);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max) override { return inner_.get(name, max); }
  Result<> get_range(const std::string& name, std::uint64_t at, MutableByteView out) override { return inner_.get_range(name, at, out); }
  Result<store::ObjectInfo> head(const std::string& name) override { return inner_.head(name); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after, std::size_t max) override {
    return inner_.list(prefix, after, max);
  }
  Result<> remove(const std::string& name) override { return inner_.remove(name); }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }

  std::size_t puts_left = 1 << 20;

 private:
  store::ObjectStore& inner_;
};

// A volume, and what it has to show.
struct Crate {
  Crate() : world(kBlocks * kBlock, &stores), now(kBlocks * kBlock) {}
  // To be forked into.
  enum class Empty { yes };
  explicit Crate(Empty) : world(stores, DiskWorld::Existing()) {}

  store::MemoryStore memory;
  ShortLivedStore line{memory};
  store::OriginStores stores{line};
  DiskWorld world;
  Bytes now;
  std::map<Generation, Bytes> states;
};

std::vector<store::ObjectInfo> objects_in(Crate& crate, const std::string& prefix = "") {
  return crate.memory.list(prefix, "", 1000).value().objects;
}

class ForkTest : public testing::Test {
 protected:
  static void write_blocks(Crate& crate, std::uint64_t from, std::uint64_t count, std::uint8_t seed) {
    Bytes data(count * kBlock);
    for (std::size_t i = 0; i < data.size(); i += 512) data[i] = static_cast<std::uint8_t>(seed + i / 512 % 7 + 1);
    ASSERT_OK(crate.world.disk->write(from * kBlock, data));
    std::ranges::copy(data, crate.now.begin() + static_cast<std::ptrdiff_t>(from * kBlock));
  }
  static void write_some(Crate& crate, std::mt19937_64& random) {
    for (int n = 1 + static_cast<int>(random() % 10); n > 0; --n) {
      const std::uint64_t from = random() % kBlocks, count = 1 + random() % std::min<std::uint64_t>(5, kBlocks - from);
      if (random() % 6 == 0) {
        ASSERT_OK(crate.world.disk->discard(from * kBlock, count * kBlock));
        std::fill_n(crate.now.begin() + static_cast<std::ptrdiff_t>(from * kBlock), count * kBlock, std::uint8_t{0});
      } else {
        write_blocks(crate, from, count, static_cast<std::uint8_t>(random() % 200));
      }
    }
  }
  static void note(Crate& crate) {
    const auto generation = crate.world.disk->sync();
    ASSERT_OK(generation);
    crate.states[*generation] = crate.now;
  }
  static void live_on(Crate& crate, std::mt19937_64& random, int rounds) {
    for (int i = 0; i < rounds; ++i) {
      write_some(crate, random);
      note(crate);
      if (random() % 8 == 0) {
        ASSERT_OK(crate.world.close());
        ASSERT_OK(crate.world.open());
      }
    }
  }
  static volume::PutGuest guests_of(volume::Volume& origin) {
    return [&origin](const CommitBody& body) -> Result<> {
      volume::Guest guest(system_env(), origin, {}, [](const Error&) {});
      TRY(guest.append(TRY(origin.load_head()), body, [](const Commit&) -> Result<> { return {}; }));
      return {};
    };
  }
  static Result<Forked> fork(Crate& origin, Generation generation, Crate& target, const volume::PutGuest& put_guest = {}) {
    const auto volume = open_volume(origin.stores, origin.world);
    const Commit point = TRY(volume->load_commit(generation));
    target.stores = store::OriginStores(target.line);
    target.stores.attach_all_of(origin.stores, "the origin");
    volume::ForkOptions options;
    options.origin_url = "memory://origin";
    options.note = "memory://fork";
    options.page_bytes = 1024;
    const auto slot = target.world.slot();
    return volume::fork(system_env(), *volume, point, target.stores, options, {&slot, 1}, put_guest ? put_guest : guests_of(*volume));
  }
  // And opened, in the state that it begins in.
  static void begin(Crate& origin, Generation generation, Crate& target) {
    const auto done = fork(origin, generation, target);
    ASSERT_OK(done);
    EXPECT_EQ(done->origin_generation, generation);
    target.world.vid = done->vid;
    target.now = origin.states.at(generation);
    target.states[Generation(2)] = target.now;
    ASSERT_OK(target.world.open());
  }
  static Generation any_state(const Crate& crate, std::mt19937_64& random) {
    auto it = crate.states.begin();
    std::advance(it, random() % crate.states.size());
    return it->first;
  }
  static void expect_all_states(Crate& crate) {
    const auto volume = open_volume(crate.stores, crate.world);
    for (const auto& [generation, bytes] : crate.states) {
      const auto read = read_generation(*volume, generation);
      ASSERT_TRUE(read) << "generation " << generation.value << ": " << read.error().message();
      EXPECT_TRUE(*read == bytes) << "generation " << generation.value;
    }
    if (!crate.world.disk) return;
    Bytes read(crate.now.size());
    ASSERT_OK(crate.world.disk->read(0, read));
    EXPECT_TRUE(read == crate.now) << "the disk itself";
  }
  static Result<volume::CheckReport> check(Crate& crate) {
    const auto volume = open_volume(crate.stores, crate.world);
    return volume::check(system_env(), *volume, {.read_data = true});
  }
  static void expect_sound(Crate& crate) {
    const auto report = check(crate);
    ASSERT_OK(report);
    for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
    EXPECT_EQ(report->orphans, 0u);
  }
  // Blocks that a mounted disk cannot read are those that check tells; all others are right.
  static std::size_t expect_exact(Crate& crate) {
    const auto report = check(crate);
    EXPECT_TRUE(report) << report.error().message();
    if (!report) return 0;
    std::vector<bool> told(kBlocks);
    for (const auto& range : report->damaged_ranges())
      for (std::uint64_t at = range.offset; at < range.offset + range.length; at += kBlock) told[at / kBlock] = true;
    std::size_t lost = 0;
    for (std::uint64_t block = 0; block < kBlocks; ++block) {
      Bytes read(kBlock);
      const auto done = crate.world.disk->read(block * kBlock, read);
      EXPECT_EQ(!done, told[block]) << "block " << block << ": " << (done ? "it can be read" : done.error().message());
      EXPECT_TRUE(!done || std::ranges::equal(read, std::span(crate.now).subspan(block * kBlock, kBlock))) << "block " << block;
      lost += !done;
    }
    return lost;
  }
};

TEST_F(ForkTest, EveryGenerationOfAVolumeItsForkAndTheForkOfThatReadsAsItWas) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 3; ++round) {
    Crate first, second(Crate::Empty::yes), third(Crate::Empty::yes);
    ASSERT_OK(first.world.open());
    note(first);
    live_on(first, random, 12);
    begin(first, any_state(first, random), second);
    live_on(first, random, 4);  // it was not fenced by the pin
    live_on(second, random, 10);
    begin(second, any_state(second, random), third);
    live_on(third, random, 8);
    live_on(second, random, 4);
    live_on(first, random, 4);
    for (Crate* crate : {&first, &second, &third}) {
      expect_all_states(*crate);
      ASSERT_OK(crate->world.close());
      expect_sound(*crate);
    }
  }
}

TEST_F(ForkTest, NothingIsCopiedAndTheOriginKnowsWhoNeedsIt) {
  Crate origin, target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  write_blocks(origin, 0, kBlocks, 1);
  note(origin);
  const Generation point = origin.states.rbegin()->first;
  write_blocks(origin, 5, 1, 99);
  note(origin);
  begin(origin, point, target);
  EXPECT_EQ(objects_in(target, "segments/").size(), 0u);
  const auto volume = open_volume(origin.stores, origin.world);
  const auto head = volume->load_head();
  ASSERT_OK(head);
  ASSERT_EQ(head->body.kind, CommitKind::pin);
  ASSERT_EQ(head->body.pins.size(), 1u);
  EXPECT_EQ(head->body.pins[0], (volume::Pin{target.world.vid, point, "memory://fork"}));
  const auto fork = open_volume(target.stores, target.world);
  const auto second = fork->load_commit(Generation(2));
  ASSERT_OK(second);
  EXPECT_EQ(volume::fork_point(second->body), (volume::CommitRef{point, volume->load_commit(point)->hash}));
  EXPECT_EQ(fork->object().origins, (std::vector<volume::Origin>{{origin.world.vid, "memory://origin"}}));
  ASSERT_OK(origin.world.disk->write(0, Bytes(kBlock, 7)));
  ASSERT_OK(origin.world.disk->sync());
}

TEST_F(ForkTest, AnOriginThatIsGoneCostsWhatItHoldsAndNothingElse) {
  Crate origin, target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  std::mt19937_64 random(3);
  live_on(origin, random, 10);
  begin(origin, origin.states.rbegin()->first, target);
  write_blocks(target, 10, 40, 77);
  note(target);
  ASSERT_OK(target.world.close());
  target.stores = store::OriginStores(target.line);
  target.stores.attach_missing(Error(Code::kNotFound, "origin 0123: there is no volume"));
  ASSERT_OK(target.world.open());
  const std::size_t lost = expect_exact(target);
  EXPECT_GT(lost, 0u);
  EXPECT_LT(lost, kBlocks);
  Bytes read(kBlock);
  for (std::uint64_t block = 0; block < kBlocks; ++block) {
    const auto done = target.world.disk->read(block * kBlock, read);
    if (!done) {
      EXPECT_THAT(done.error().message(), HasSubstr("there is no volume"));
    }
  }
  write_blocks(target, 60, 60, 55);  // more than a checkpoint's worth
  note(target);
  for (std::uint64_t block = 60; block < 120; block += 2) write_blocks(target, block, 1, 11);
  note(target);
  EXPECT_LT(expect_exact(target), lost);
  ASSERT_OK(target.world.close());
  // And when it is back, so is all that it holds.
  target.stores = store::OriginStores(target.line);
  target.stores.attach_all_of(origin.stores, "the origin");
  ASSERT_OK(target.world.open());
  expect_all_states(target);
  ASSERT_OK(target.world.close());
  expect_sound(target);
}

TEST_F(ForkTest, ADamagedObjectOfAnOriginCostsTheForkTheBlocksInItThatItShares) {
  Crate origin, target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  for (std::uint64_t from = 0; from < kBlocks; from += 20) {
    write_blocks(origin, from, 20, static_cast<std::uint8_t>(from));
    note(origin);
  }
  ASSERT_OK(origin.world.close());
  begin(origin, origin.states.rbegin()->first, target);
  write_blocks(target, 25, 30, 3);
  note(target);
  for (const auto& object : objects_in(origin)) {
    const bool segment = object.name.starts_with(segment::kSegmentsPrefix), map = object.name.starts_with(segment::kMapPrefix);
    if (!segment && !map) continue;
    SCOPED_TRACE(object.name);
    const Bytes sound = *origin.memory.get(object.name, 1 << 20);
    Bytes changed = sound;
    changed[changed.size() / 3] ^= 1;
    ASSERT_OK(origin.memory.remove(object.name));
    for (const bool gone : {true, false}) {
      if (!gone) ASSERT_OK(origin.memory.put(object.name, changed));
      ASSERT_OK(target.world.close());  // what is in memory is as good
      ASSERT_OK(target.world.open());
      (void)expect_exact(target);
    }
    ASSERT_OK(origin.memory.remove(object.name));
    ASSERT_OK(origin.memory.put(object.name, sound));
  }
  ASSERT_OK(target.world.close());
  ASSERT_OK(target.world.open());
  EXPECT_EQ(expect_exact(target), 0u);
}

TEST_F(ForkTest, AForkThatStopsAtAnyPutHarmsNobodyAndCanBeMadeAgain) {
  Crate origin;
  ASSERT_OK(origin.world.open());
  std::mt19937_64 random(5);
  live_on(origin, random, 6);
  const Generation point = any_state(origin, random);
  bool made = false;
  for (std::size_t puts = 0; !made; ++puts) {
    SCOPED_TRACE(fmt::format("{} puts", puts));
    ASSERT_LT(puts, 50u);
    Crate target(Crate::Empty::yes);
    target.line.puts_left = puts;
    const auto done = fork(origin, point, target);
    made = done.has_value();
    EXPECT_EQ(made, target.memory.head(std::string(segment::kVolumeName)).has_value());
    live_on(origin, random, 1);
    expect_all_states(origin);
    if (made) break;
    // What is left there is nobody's.
    target.line.puts_left = 1 << 20;
    if (puts > 0) {
      const auto again = fork(origin, point, target);
      ASSERT_FALSE(again);
      EXPECT_EQ(again.error().code(), Code::kExists) << again.error().message();
    }
    for (const auto& object : objects_in(target)) ASSERT_OK(target.memory.remove(object.name));
    begin(origin, point, target);
    expect_all_states(target);
  }
  ASSERT_OK(origin.world.close());
  const auto report = check(origin);
  ASSERT_OK(report);
  EXPECT_THAT(report->damages, IsEmpty());
}

TEST_F(ForkTest, WithoutAPinThereIsNoFork) {
  Crate origin, target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  note(origin);
  write_blocks(origin, 1, 2, 3);
  note(origin);
  const auto done = fork(origin, origin.states.rbegin()->first, target, [](const CommitBody&) { return fail(Code::kDenied, "no"); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kDenied);
  EXPECT_THAT(done.error().message(), HasSubstr("could not be pinned"));
  EXPECT_EQ(objects_in(target).size(), 0u);
}

TEST_F(ForkTest, AForkThatFailsTakesItsPinAway) {
  Crate origin, target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  write_blocks(origin, 1, 2, 3);
  note(origin);
  target.line.puts_left = 3;
  ASSERT_FALSE(fork(origin, origin.states.rbegin()->first, target));
  const auto volume = open_volume(origin.stores, origin.world);
  const auto head = volume->load_head();
  ASSERT_OK(head);
  EXPECT_EQ(head->body.kind, CommitKind::unpin);
  const auto pin = volume->load_commit(Generation(head->header.generation.value - 1));
  ASSERT_OK(pin);
  EXPECT_EQ(pin->body.kind, CommitKind::pin);
  EXPECT_EQ(pin->body.pins, head->body.pins);
}

TEST_F(ForkTest, AVolumeIsNotForkedOver) {
  Crate origin, target;
  ASSERT_OK(origin.world.open());
  note(origin);
  const auto before = objects_in(target).size();
  const auto done = fork(origin, Generation(1), target);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kExists);
  EXPECT_EQ(objects_in(target).size(), before);
}

// Its commits alone are not what it is: taken for that, all that it shares would read as zeros.
TEST_F(ForkTest, IsNotRebuiltWithoutTheCheckpointThatItBeganWith) {
  Crate origin, target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  write_blocks(origin, 0, 90, 5);
  note(origin);
  begin(origin, origin.states.rbegin()->first, target);
  write_blocks(target, 3, 2, 9);
  note(target);
  ASSERT_OK(target.world.close());
  auto volume = open_volume(target.stores, target.world);
  const auto sound = volume::rebuild(*volume, volume->load_head().value(), {});
  ASSERT_OK(sound);
  EXPECT_TRUE(sound->report.sound);
  for (const auto& object : objects_in(target, "map/")) ASSERT_OK(target.memory.remove(object.name));
  volume = open_volume(target.stores, target.world);
  const auto rebuilt = volume::rebuild(*volume, volume->load_head().value(), {});
  ASSERT_FALSE(rebuilt);
  EXPECT_EQ(rebuilt.error().code(), Code::kCorrupt);
  EXPECT_THAT(rebuilt.error().message(), HasSubstr("this volume is a fork"));
}

TEST_F(ForkTest, KeysOfTheOriginAreNoKeysOfTheForkAndTheOtherWayRound) {
  Crate origin, target(Crate::Empty::yes);
  ASSERT_OK(origin.world.open());
  write_blocks(origin, 0, 9, 5);
  note(origin);
  ASSERT_OK(origin.world.close());
  begin(origin, origin.states.rbegin()->first, target);
  ASSERT_OK(target.world.close());
  const auto a = open_volume(origin.stores, origin.world), b = open_volume(target.stores, target.world);
  EXPECT_NE(a->identity().id(), b->identity().id());
  EXPECT_NE(a->keys()->data_key(), b->keys()->data_key());
  EXPECT_FALSE(a->open_commit_object(*target.memory.get(segment::commit_name(Generation(2)), 1 << 20), Generation(2)));
  EXPECT_FALSE(b->open_commit_object(*origin.memory.get(segment::commit_name(Generation(2)), 1 << 20), Generation(2)));
}

}  // namespace
}  // namespace s3crate
