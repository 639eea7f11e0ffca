// SPDX-License-Identifier: GPL-3.0-or-later
// Crate: a volume, and beside it plain arrays of bytes: what its disk has to show, and what each of its generations has. Whatever
// makes a generation is an Attempt: if it is done the disk is as the attempt says; if the process was killed in it, as before
// or as that.
#pragma once

#include <atomic>
#include <map>
#include <random>

#include "device/history.h"
#include "device/import.h"
#include "tests/support/assert_ok.h"
#include "tests/support/blind_key.h"
#include "tests/support/disk_world.h"
#include "tests/support/memory_image.h"
#include "tests/support/read_generation.h"
#include "volume/check.h"
#include "volume/fork.h"
#include "volume/guest.h"

namespace s3crate::test {

// The store as a process sees it that ends after so many puts: from then on nothing gets through.
class MortalStore final : public store::ObjectStore {
 public:
  explicit MortalStore(store::ObjectStore& inner) : inner_(inner) {}
  void die_after(std::int64_t puts) { puts_left_ = puts; }
  [[nodiscard]] bool dead() const { return dead_; }
  // Only while nobody uses it.
  void live() {
    puts_left_ = kEver;
    dead_ = false;
  }

  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    if (puts_left_-- <= 0) dead_ = true;
    TRY(alive());
    return inner_.put(name, parts);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max) override {
    TRY(alive());
    return inner_.get(name, max);
  }
  Result<> get_range(const std::string& name, std::uint64_t at, MutableByteView out) override {
    TRY(alive());
    return inner_.get_range(name, at, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override {
    TRY(alive());
    return inner_.head(name);
  }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after, std::size_t max) override {
    TRY(alive());
    return inner_.list(prefix, after, max);
  }
  Result<> remove(const std::string& name) override {
    TRY(alive());
    return inner_.remove(name);
  }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }

 private:
  static constexpr std::int64_t kEver = 1 << 30;
  Result<> alive() const { return dead_ ? Result<>(fail(Code::kCancelled, "the process was killed")) : Result<>(); }

  store::ObjectStore& inner_;
  std::atomic<std::int64_t> puts_left_ = kEver;
  std::atomic<bool> dead_ = false;
};

class Crate {
 public:
  static constexpr std::uint64_t kBlock = DiskWorld::kBlock;
  using States = std::map<Generation, Bytes>;
  struct Attempt {
    Result<Generation> done;
    Bytes after;
  };

  explicit Crate(std::uint64_t blocks) : world(blocks * kBlock, &stores), now(blocks * kBlock) {}
  // To be forked into.
  enum class Empty { yes };
  explicit Crate(Empty) : world(stores, DiskWorld::Existing()) {}

  // As another process does, which is not killed with the disk's.
  [[nodiscard]] std::unique_ptr<volume::Volume> open_volume() { return test::open_volume(others, world); }
  [[nodiscard]] std::uint64_t blocks() const { return now.size() / kBlock; }
  [[nodiscard]] Generation any_state(std::mt19937_64& random) const { return std::next(states.begin(), static_cast<std::ptrdiff_t>(random() % states.size()))->first; }

  void write(std::uint64_t offset, ByteView data) {
    ASSERT_OK(world.disk->write(offset, data));
    std::ranges::copy(data, now.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void write_blocks(std::uint64_t from, std::uint64_t count, std::uint8_t seed) {
    Bytes data(count * kBlock);
    for (std::size_t i = 0; i < data.size(); i += 512) data[i] = static_cast<std::uint8_t>(seed + i / 512 % 7 + 1);
    write(from * kBlock, data);
  }
  // A few blocks each, some as zeros, some in part.
  void write_some(std::mt19937_64& random) {
    for (int n = 1 + static_cast<int>(random() % 10); n > 0; --n) {
      const std::uint64_t from = random() % blocks(), count = 1 + random() % std::min<std::uint64_t>(5, blocks() - from);
      const unsigned kind = random() % 6;
      if (kind == 0) {
        ASSERT_OK(world.disk->discard(from * kBlock, count * kBlock));
        std::fill_n(now.begin() + static_cast<std::ptrdiff_t>(from * kBlock), count * kBlock, std::uint8_t{0});
      } else if (kind == 1) {
        write(from * kBlock + random() % 1000, noise(1 + random() % (count * kBlock - 1000), random()));
      } else {
        write_blocks(from, count, static_cast<std::uint8_t>(random() % 200));
      }
    }
  }

  // ---- What makes generations -------------------------------------------------------------------

  [[nodiscard]] Attempt try_sync() { return {world.disk->sync(), now}; }
  [[nodiscard]] Attempt try_resize(std::mt19937_64& random) {
    Attempt attempt{fail(Code::kCancelled, ""), now};
    attempt.after.resize(any_size(random));
    attempt.done = world.disk->resize(attempt.after.size(), device::DiscardTail::yes);
    return attempt;
  }
  [[nodiscard]] Attempt try_roll_back(Generation point) {
    const auto volume = open_volume();
    const auto past = volume->load_view(volume->load_commit(point).value()).value();
    return {world.disk->roll_back(past), states.at(point)};
  }
  // Of more places, often, than the commit is to hold: like a rollback it is a checkpoint of its own. The disk must be closed, and is.
  [[nodiscard]] Attempt try_import(std::mt19937_64& random) {
    MemoryImage image(any_image(random));
    device::ImportOptions how;
    how.fit = device::Fit::resize;
    how.transfer.piece_bytes = 8 * kBlock;
    how.transfer.workers = 2;
    how.runs_max = 1 + random() % 6;
    how.window_blocks = 16;
    const auto volume = test::open_volume(stores, world);
    auto done = device::import_image(system_env(), io::posix_file_io(), *volume, world.options, image, how);
    if (!done) return {fail(std::move(done.error())), std::move(image.bytes)};
    imports_with_map += open_volume()->load_commit(done->generation)->body.kind == volume::CommitKind::rollback;
    return {done->generation, std::move(image.bytes)};
  }
  // By somebody who may read nothing.
  void let_blind_in() { test::add_blind_key(others, world.keys(), kBlindKey); }
  [[nodiscard]] Attempt try_blind_import(std::mt19937_64& random) {
    MemoryImage image(any_image(random));
    image.bytes.resize(now.size());
    device::ImportOptions how;
    how.transfer.piece_bytes = 32 * kBlock;
    how.transfer.workers = 2;
    how.window_blocks = 32;
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(kBlindKey);
    Attempt attempt{fail(Code::kCancelled, ""), image.bytes};
    auto volume = volume::Volume::open(system_env(), stores, keys, {});
    if (!volume) return {fail(volume.error()), std::move(attempt.after)};
    const auto done = device::import_image(system_env(), io::posix_file_io(), **volume, world.options, image, how);
    attempt.done = done ? Result<Generation>(done->generation) : fail(done.error());
    blind_imports += done.has_value();
    return attempt;
  }
  void take(Attempt attempt) {
    ASSERT_OK(attempt.done);
    now = std::move(attempt.after);
    states[*attempt.done] = now;
    if (!world.disk) ASSERT_OK(world.open());
  }
  void note() { take(try_sync()); }
  // The attempt was made with a line that dies. All that came before it is flushed.
  void survive(Attempt attempt) {
    world.vanish();
    line.live();
    ASSERT_OK(world.open());
    Bytes found(world.disk->size());
    ASSERT_OK(world.disk->read(0, found));
    ASSERT_TRUE(found == attempt.after || (!attempt.done && found == now)) << (attempt.done ? "what was done is not there" : "neither as before nor as after");
    now = std::move(found);
    if (attempt.done) states[*attempt.done] = now;
    note();
  }

  // Without a disk, beside one that is mounted or not.
  [[nodiscard]] Result<> put_guest(const volume::CommitBody& body) {
    const auto volume = open_volume();
    return guests_of(*volume)(body);
  }
  static volume::PutGuest guests_of(volume::Volume& volume) {
    return [&volume](const volume::CommitBody& body) -> Result<> {
      volume::Guest guest(system_env(), volume, {}, [](const Error&) {});
      TRY(guest.append(TRY(volume.load_head()), body, [](const volume::Commit&) -> Result<> { return {}; }));
      return {};
    };
  }
  void tag(const std::string& name, Generation generation) {
    volume::CommitBody body;
    body.kind = volume::CommitKind::tag;
    body.tags = {{name, generation}};
    ASSERT_OK(put_guest(body));
    tags[name] = generation;
  }
  void untag(const std::string& name) {
    volume::CommitBody body;
    body.kind = volume::CommitKind::untag;
    body.tags = {{name, tags.at(name)}};
    ASSERT_OK(put_guest(body));
    tags.erase(name);
  }

  [[nodiscard]] Result<volume::Forked> fork_to(Crate& target, Generation generation, const volume::PutGuest& put_guest = {}) {
    const auto volume = open_volume();
    const volume::Commit point = TRY(volume->load_commit(generation));
    target.origins = origins;
    target.origins.insert(target.origins.begin(), &memory);
    target.attach_origins();
    volume::ForkOptions options;
    options.origin_url = "memory://origin";
    options.note = "memory://fork";
    options.page_bytes = 1024;
    const auto slot = target.world.slot();
    return volume::fork(system_env(), *volume, point, target.stores, options, {&slot, 1}, put_guest ? put_guest : guests_of(*volume));
  }
  void attach_origins() {
    stores = store::OriginStores(line);
    others = store::OriginStores(memory);
    for (store::MemoryStore* origin : origins) stores.attach(*origin, "the origin"), others.attach(*origin, "the origin");
  }
  void lose_origin(const Error& why) {
    stores = store::OriginStores(line);
    others = store::OriginStores(memory);
    stores.attach_missing(why);
    others.attach_missing(why);
  }
  // And opened, in the state that it begins in.
  void begin_as_fork_of(Crate& origin, Generation generation) {
    const auto done = origin.fork_to(*this, generation);
    ASSERT_OK(done);
    EXPECT_EQ(done->origin_generation, generation);
    world.vid = done->vid;
    now = origin.states.at(generation);
    states[Generation(2)] = now;
    ASSERT_OK(world.open());
  }

  // ---- What must be found -----------------------------------------------------------------------

  void expect_states(store::ObjectStore& store, const States& expected) {
    const auto volume = test::open_volume(store, world);
    for (const auto& [generation, bytes] : expected) {
      const auto read = read_generation(*volume, generation);
      ASSERT_TRUE(read) << "generation " << generation.value << ": " << read.error().message();
      EXPECT_TRUE(*read == bytes) << "generation " << generation.value;
    }
  }
  // By a reader of its own; and the disk itself, if it is open.
  void expect_all_states() {
    expect_states(others, states);
    if (world.disk) expect_disk();
  }
  void expect_disk() {
    Bytes read(now.size());
    ASSERT_EQ(world.disk->size(), now.size());
    ASSERT_OK(world.disk->read(0, read));
    EXPECT_TRUE(read == now) << "the disk itself";
  }
  // As the live disk shows them beside itself.
  void expect_in_history(Generation generation) {
    const auto past = world.disk->history()->open(generation);
    ASSERT_OK(past);
    Bytes read((**past).size());
    ASSERT_OK((**past).read(0, read));
    EXPECT_TRUE(read == states.at(generation)) << "generation " << generation.value << " beside the live disk";
  }
  [[nodiscard]] Result<volume::CheckReport> check(store::ObjectStore* store = nullptr) {
    const auto volume = test::open_volume(store != nullptr ? *store : others, world);
    return volume::check(system_env(), *volume, {.read_data = true});
  }
  void expect_sound(store::ObjectStore* store = nullptr) {
    const auto report = check(store);
    ASSERT_OK(report);
    for (const auto& damage : report->damages) ADD_FAILURE() << damage.what;
  }

 private:
  static std::uint64_t any_size(std::mt19937_64& random) { return (32 + random() % 96) * kBlock; }
  // The disk with other bytes here and there, places of which some are equal to others, and perhaps another size.
  [[nodiscard]] Bytes any_image(std::mt19937_64& random) const {
    Bytes image = now;
    for (int n = 1 + static_cast<int>(random() % 12); n > 0; --n) {
      const std::uint64_t from = random() % blocks(), count = 1 + random() % std::min<std::uint64_t>(6, blocks() - from);
      for (std::uint64_t at = from * kBlock; at < (from + count) * kBlock; at += 512) image[at] = static_cast<std::uint8_t>(random() % 5);
    }
    for (std::uint64_t place = random() % 2; place + 16 <= blocks(); place += 16 * (1 + random() % 4)) {
      place = place / 16 * 16;  // one of three contents
      for (std::uint64_t at = 0, content = random() % 3; at < 16 * kBlock; at += 512) image[place * kBlock + at] = static_cast<std::uint8_t>(content * 40 + at / 512);
    }
    if (random() % 3 == 0) image.resize(any_size(random), 7);
    return image;
  }

 public:
  store::MemoryStore memory;
  MortalStore line{memory};
  store::OriginStores stores{line}, others{memory};
  std::vector<store::MemoryStore*> origins;  // nearest first
  DiskWorld world;
  Bytes now;
  States states;
  std::map<std::string, Generation> tags;
  int imports_with_map = 0, blind_imports = 0;
  static inline const Bytes kBlindKey = Bytes(32, 9);
};

}  // namespace s3crate::test
