// SPDX-License-Identifier: GPL-3.0-or-later
// DamageWorld: a volume with a history and checkpoints, whose objects can be damaged one by one,
// and the three witnesses of what that does: a check, the blocks that a disk opened for reading can
// and cannot read, and the bytes that it should hold.
#pragma once

#include <ostream>

#include "store/memory_store.h"
#include "tests/support/disk_world.h"
#include "tests/support/fault_store.h"
#include "volume/check.h"

namespace s3crate::volume {

inline void PrintTo(const ByteRange& range, std::ostream* out) {
  *out << "[" << range.offset / 4096 << "+" << range.length / 4096 << " blocks]";
}

}  // namespace s3crate::volume

namespace s3crate::test {

class DamageWorld {
 public:
  static constexpr std::uint64_t kDiskBytes = 1 << 20;
  static constexpr std::uint64_t kBlocks = kDiskBytes / DiskWorld::kBlock;

  // Writes until there are `checkpoints` checkpoints, then, in another epoch, changes on top of
  // them, and closes.
  explicit DamageWorld(std::uint64_t seed, std::uint64_t checkpoints = 2)
      : random_(seed), world_(kDiskBytes, &faults) {
    world_.options.checkpoint_runs = 24;
    world_.options.page_bytes = 600;
    world_.options.segment_bytes = 32 << 10;
    must(world_.open());
    for (int i = 0; i < 1000 && world_.disk->stats().checkpoints < checkpoints; ++i) write_some();
    CHECK(world_.disk->stats().checkpoints >= checkpoints);
    // Another one may be under way, with runs that count until it is done: cut off, it would leave an object that nothing names.
    for (int i = 0; i < 6000 && world_.disk->stats().delta_runs >= world_.options.checkpoint_runs; ++i)
      nap(system_clock(), thread_executor(), std::chrono::milliseconds(10));
    must(world_.close());
    world_.options.checkpoint_runs = 100'000;  // what follows stays in the commits
    must(world_.open());
    for (int i = 0; i < 3; ++i) write_some();
    must(world_.close());
    seen_ = head();
  }

  // A few writes and discards, and a generation of them.
  void write_some() {
    for (int i = 0; i < 6; ++i) {
      const std::uint64_t offset = random_() % kDiskBytes & ~(random_() % 2 * 4095);
      const std::uint64_t length =
          std::min<std::uint64_t>(kDiskBytes - offset, random_() % 20000 + 1);
      if (random_() % 6 == 0) {
        must(world_.disk->discard(offset, length));
        std::fill_n(model.begin() + static_cast<std::ptrdiff_t>(offset), length, 0);
        continue;
      }
      Bytes data(length);
      for (auto& byte : data) byte = static_cast<std::uint8_t>(random_());
      must(world_.disk->write(offset, data));
      std::ranges::copy(data, model.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    must(world_.disk->sync());
  }

  [[nodiscard]] std::vector<std::string> names(const std::string& prefix = "") {
    std::vector<std::string> out;
    for (std::string after;;) {
      auto page = faults.list(prefix, after, 1000);
      CHECK(page);
      for (const auto& info : page->objects) out.push_back(info.name);
      if (!page->more) return out;
      after = out.back();
    }
  }
  [[nodiscard]] Bytes stored(const std::string& name) {
    auto bytes = world_memory_.get(name, ~std::uint64_t{0});
    CHECK(bytes);
    return *bytes;
  }

  [[nodiscard]] Result<std::unique_ptr<volume::Volume>> open_volume() {
    return volume::Volume::open(system_env(), faults, world_.keys(), {});
  }
  [[nodiscard]] Result<volume::CheckReport> check(volume::CheckOptions options) {
    auto volume = TRY(open_volume());
    return volume::check(system_env(), *volume, options);
  }
  // With all data, and with what this machine has seen.
  [[nodiscard]] Result<volume::CheckReport> full_check() {
    return check({.read_data = true, .seen = seen_});
  }

  // The ranges that a disk opened for reading does not give. Wrong bytes are `wrong`.
  struct Reads {
    std::vector<volume::ByteRange> failed;
    bool opened = false;
    bool wrong = false;
  };
  [[nodiscard]] Reads read_blocks() {
    Reads out;
    out.failed = {{0, kDiskBytes}};
    auto volume = open_volume();
    if (!volume) return out;
    device::DiskOptions options = world_.options;
    options.read_only = true;
    options.accept_rollback = true;  // what is there to be read, though it be older
    auto disk = device::Disk::open(system_env(), io::posix_file_io(), **volume, options);
    if (!disk) return out;
    out.opened = true;
    out.failed.clear();
    Bytes block(DiskWorld::kBlock);
    for (std::uint64_t at = 0; at < kDiskBytes; at += block.size()) {
      if ((*disk)->read(at, block)) {
        out.wrong |= !equal(block, ByteView(model).subspan(at, block.size()));
      } else if (!out.failed.empty() && out.failed.back().offset + out.failed.back().length == at) {
        out.failed.back().length += block.size();
      } else {
        out.failed.push_back({at, block.size()});
      }
    }
    return out;
  }

  [[nodiscard]] volume::CommitRef head() {
    auto volume = open_volume();
    CHECK(volume);
    auto head = (*volume)->load_head();
    CHECK(head);
    return {head->header.generation, head->hash};
  }

  // Puts the objects as readers see them now, damage and all, into another store.
  void copy_to(store::MemoryStore& to) {
    for (const std::string& name : names())
      must(to.put(name, *faults.get(name, ~std::uint64_t{0})));
  }

  static void must(const auto& result) {
    if (!result) fmt::print(stderr, "{}\n", result.error().message());
    CHECK(result);
  }

 private:
  store::MemoryStore world_memory_;

 public:
  FaultStore faults{world_memory_};
  Bytes model = Bytes(kDiskBytes);

 private:
  std::mt19937_64 random_;
  DiskWorld world_;
  volume::CommitRef seen_;

 public:
  [[nodiscard]] DiskWorld& world() { return world_; }
  [[nodiscard]] const volume::CommitRef& seen() const { return seen_; }
};

}  // namespace s3crate::test
