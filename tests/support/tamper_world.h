// SPDX-License-Identifier: GPL-3.0-or-later
// TamperWorld: a small volume that holds every kind of object, the content of each of its
// generations, and a plain model of what depends on what: a block depends on the bytes that were
// read to open its generation and to read it, once, while all was sound.
//
// look() then says what somebody sees who finds the objects changed: which blocks of the newest
// disk and of an older generation can be read, and what a check finds. Nothing waits: the clock is
// a fake one, and tasks run where they are started.
#pragma once

#include <random>
#include <set>

#include "device/gather.h"
#include "tests/support/disk_world.h"
#include "tests/support/fake_clock.h"
#include "tests/support/shelf_store.h"
#include "volume/check.h"

namespace s3crate::test {

// Whoever starts a task has it done.
class InlineExecutor final : public Executor {
 public:
  explicit InlineExecutor(FakeClock& clock) : clock_(clock) {}
  std::unique_ptr<Task> spawn(std::string, std::function<void()> body) override {
    body();
    return std::make_unique<Task>();
  }
  std::unique_ptr<CondVar> cond_var() override { return std::make_unique<FakeCondVar>(clock_); }
  std::size_t processors() const override { return 1; }

 private:
  FakeClock& clock_;
};

class TamperWorld {
 public:
  static constexpr std::uint64_t kBlock = DiskWorld::kBlock, kBlocks = 40, kBlocksGrown = 48;
  using Blocks = std::vector<bool>;  // that cannot be read

  explicit TamperWorld(std::uint64_t seed);

  // As it was left, and what was noted of it then.
  [[nodiscard]] const Shelf& shelf() const { return shelf_; }
  [[nodiscard]] Generation newest() const { return seen_.generation; }
  [[nodiscard]] const volume::CommitRef& seen() const { return seen_; }
  [[nodiscard]] const Bytes& content(Generation g) const {
    return generations_.at(g.value).content;
  }
  [[nodiscard]] const std::string& own_slot() const { return own_slot_; }
  [[nodiscard]] DiskWorld& disk_world() { return world_; }
  [[nodiscard]] volume::KeySource readers_keys() const {
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(readers_key_);
    return keys;
  }
  [[nodiscard]] const volume::Identity& reader() const { return *reader_; }
  // Before the last of three mounts: where another history may begin.
  [[nodiscard]] const Shelf& before_last_mount() const { return before_last_mount_; }
  // Mounts what is in `store` on a machine of its own, writes `value` here and there, and closes:
  // that many generations of data, and a checkpoint. The content that this leaves.
  Bytes continue_in(store::ObjectStore& store, const std::string& state, std::uint8_t value,
                    int generations);

  // The spans of an object that are read at a time, by whomever; without repetition.
  [[nodiscard]] std::vector<Span> spans_of(const std::string& object) const;
  // Whether it is read for some block, and not to open a generation.
  [[nodiscard]] bool holds_blocks(const Span& span) const;
  // What of generation `g` cannot be read when the store shows `shelf`; nullopt: it does not open.
  [[nodiscard]] std::optional<Blocks> model(Generation g, const Shelf& shelf) const;

  struct Seen {
    std::optional<Blocks> blocks;  // of the newest disk, by a disk; nullopt: it does not open
    std::optional<volume::CheckReport> report;  // nullopt: no key opens the volume
    std::optional<Blocks> older;                // of the generation that was asked for
    std::string wrong;  // not empty: bytes that are not those of the generation shown
  };
  enum class Trust { seen, nothing };  // whether this machine remembers the newest generation
  [[nodiscard]] Seen look(const Shelf& shelf, Trust trust,
                          std::optional<Generation> older = {}) const;

  [[nodiscard]] Env env() const { return {clock_, system_random(), executor_}; }
  [[nodiscard]] device::DiskOptions reader_options(Trust trust) const;

 private:
  struct AsRead {
    Bytes content;
    std::vector<Span> opening;
    std::vector<std::vector<Span>> blocks;
    std::set<std::uint64_t> lost;  // of them, whatever is read
  };

  void write_history(std::mt19937_64& random);
  void write(std::uint64_t block, std::uint64_t blocks, std::mt19937_64& random);
  void sync();
  void wait_for_checkpoint(device::Disk& disk, std::uint64_t checkpoints);
  void let_readers_in();
  void lose_block();
  void add_slot(const volume::Volume& volume, volume::SlotKind kind, const Bytes& key,
                const volume::Identity& identity);
  void note_contents();
  void trace(const Bytes& content, Generation g);
  void trace_pages();
  [[nodiscard]] bool lost(const Span& span, const Shelf& shelf) const;
  [[nodiscard]] std::optional<Blocks> read_disk(volume::Volume& volume, Trust trust,
                                                std::string& wrong) const;
  [[nodiscard]] std::optional<Blocks> read_older(volume::Volume& volume, Generation g,
                                                 std::string& wrong) const;

  mutable FakeClock clock_;
  mutable InlineExecutor executor_{clock_};
  store::MemoryStore memory_;
  DiskWorld world_{kBlocks * kBlock, &memory_};
  const Bytes readers_key_ = Bytes(32, 9);
  std::optional<volume::Identity> reader_;
  std::string own_slot_;
  Bytes now_ = Bytes(kBlocks * kBlock);
  std::vector<Bytes> contents_;  // one after the other, as generations with changes left them
  std::map<std::uint64_t, AsRead> generations_;
  std::vector<Span> checked_;
  Shelf shelf_, before_last_mount_;
  volume::CommitRef seen_;
};

// One for all tests that leave it as it is.
TamperWorld& tamper_world();

}  // namespace s3crate::test
