// SPDX-License-Identifier: GPL-3.0-or-later
// DiskWorld: a volume in a memory store and a state directory, and disks opened on them, with tunables so small that every
// boundary is met. Ends of a disk: close(), or vanish() (the process is gone, what it wrote to its files stays).
#pragma once

#include "device/disk.h"
#include "io/file_io.h"
#include "store/memory_store.h"
#include "tests/support/temp_dir.h"
#include "volume/create.h"

namespace s3crate::test {

class DiskWorld {
 public:
  static constexpr std::uint32_t kBlock = 4096;

  explicit DiskWorld(std::uint64_t disk_bytes = 4 << 20, store::ObjectStore* store = nullptr)
      : DiskWorld(store != nullptr ? *store : memory_, Existing()) {
    volume::CreateOptions create;
    create.disk_bytes = disk_bytes;
    const auto slot = this->slot();
    auto made = volume::create(system_env(), *store_, create, {&slot, 1});
    if (!made) fmt::print(stderr, "create: {}\n", made.error().message());
    CHECK(made);
    vid = *made;
  }
  // A volume that is there already, or will be, with slot() as its key.
  struct Existing {};
  DiskWorld(store::ObjectStore& store, Existing) : store_(&store) {
    CHECK(crypto::initialise());
    options.state_dir = dir_ / "state";
    options.host = "testhost";
    options.home = {"testhost", "/somewhere"};
    options.url = "file:///somewhere";
    options.journal_bytes = 4 << 20;
    options.journal_slot_bytes = 256 << 10;
    options.dirty_max = 256 << 10;
    options.batch_bytes = 64 << 10;
    options.batch_delay = std::chrono::milliseconds(5);
    options.upload_delay = std::chrono::milliseconds(20);
    options.upload_threads = 2;
    options.block_cache_bytes = 256 << 10;
    options.map_cache_bytes = 64 << 10;
    options.segment_bytes = 64 << 10;
    options.checkpoint_runs = 64;
    options.delta_runs_max = 400;
    options.page_bytes = 1024;
  }
  ~DiskWorld() { vanish(); }

  Result<> open() {
    CHECK(!disk);
    volume_ = TRY(volume::Volume::open(system_env(), *store_, keys(), {}));
    auto opened = device::Disk::open(system_env(), io::posix_file_io(), *volume_, options);
    if (!opened) {
      volume_.reset();
      return fail(opened.error());
    }
    disk = std::move(*opened);
    return {};
  }
  Result<> close() {
    auto closed = disk->close(std::chrono::minutes(1));
    vanish();
    return closed;
  }
  void vanish() {
    disk.reset();
    volume_.reset();
  }
  void lose_state() { options.state_dir += "x"; }
  store::MemoryStore& memory() { return memory_; }
  [[nodiscard]] volume::KeySource keys() const {
    volume::KeySource keys;
    keys.key_file = crypto::Secret::copy_of(key_);
    return keys;
  }
  [[nodiscard]] volume::SlotRequest slot() const {
    volume::SlotRequest slot;
    slot.key_file = crypto::Secret::copy_of(key_);
    return slot;
  }
  volume::Volume& volume() { return *volume_; }

  device::DiskOptions options;
  segment::Vid vid{};
  std::unique_ptr<device::Disk> disk;

 private:
  TempDir dir_;
  store::MemoryStore memory_;
  store::ObjectStore* store_;
  Bytes key_ = Bytes(32, 7);
  std::unique_ptr<volume::Volume> volume_;
};

}  // namespace s3crate::test
