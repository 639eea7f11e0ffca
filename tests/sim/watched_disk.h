// SPDX-License-Identifier: GPL-3.0-or-later
// WatchedDisk: a disk as tests use it: ThreadSanitizer looks at what is done for them, and not at them (sim_fiber.h).
#pragma once

#include <memory>

#include "device/disk.h"
#include "tests/sim/sim_fiber.h"

namespace s3crate::sim {

class WatchedDisk final : public device::Disk {
 public:
  explicit WatchedDisk(std::unique_ptr<device::Disk> disk) : disk_(std::move(disk)) {}
  ~WatchedDisk() override {
    const Watch watch(Watch::Of::product);
    disk_.reset();
  }

  std::uint64_t size() const override { return watched()->size(); }
  std::uint32_t block_size() const override { return watched()->block_size(); }
  bool read_only() const override { return watched()->read_only(); }
  device::History* history() override { return watched()->history(); }
  Result<> read(std::uint64_t offset, MutableByteView out) override { return watched()->read(offset, out); }
  Result<> write(std::uint64_t offset, ByteView data, device::StopFlag stop) override { return watched()->write(offset, data, stop); }
  Result<> discard(std::uint64_t offset, std::uint64_t length, device::StopFlag stop) override { return watched()->discard(offset, length, stop); }
  Result<> flush(device::StopFlag stop) override { return watched()->flush(stop); }
  Result<std::uint64_t> seek(std::uint64_t offset, bool hole) override { return watched()->seek(offset, hole); }
  Result<std::uint64_t> allocated_bytes() override { return watched()->allocated_bytes(); }
  Result<Generation> sync(device::StopFlag stop) override { return watched()->sync(stop); }
  Result<Generation> snapshot(const std::function<void()>& cut, device::StopFlag stop) override { return watched()->snapshot(cut, stop); }
  volume::Volume* spare_reader() override { return disk_->spare_reader(); }
  Result<Generation> roll_back(const volume::View& past, device::StopFlag stop) override { return watched()->roll_back(past, stop); }
  Result<Generation> resize(std::uint64_t bytes, device::DiscardTail tail, device::StopFlag stop) override { return watched()->resize(bytes, tail, stop); }
  void upload_now() override { watched()->upload_now(); }
  Result<> close(Duration drain) override { return watched()->close(drain); }
  // By the end of a simulated process, which no lock orders.
  void cancel() override { disk_->cancel(); }
  device::Stats stats() override { return watched()->stats(); }

 private:
  struct Call {
    device::Disk* disk;
    const Watch watch{Watch::Of::product};
    device::Disk* operator->() const { return disk; }
  };
  [[nodiscard]] Call watched() const { return {disk_.get()}; }

  std::unique_ptr<device::Disk> disk_;
};

}  // namespace s3crate::sim
