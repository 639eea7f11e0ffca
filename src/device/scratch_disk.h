// SPDX-License-Identifier: GPL-3.0-or-later
// ScratchDisk: a read-only disk that takes writes, keeps them in memory, and forgets them at its end. A filesystem that was cut off in
// the middle of its work, as every past generation of a mounted one was, can so play its log back, which it must before what was
// fsynced can be read; and it can be given another id beside its live self.
#pragma once

#include <map>
#include <memory>

#include "base/mutex.h"
#include "device/disk.h"

namespace s3crate::device {

class ScratchDisk final : public Disk {
 public:
  // At most `bytes_max` of blocks are kept, and a little for each; then writes end with kNoSpace. `below` is read-only, outlives this,
  // and never changes.
  ScratchDisk(Disk& below, std::uint64_t bytes_max);

  [[nodiscard]] std::uint64_t size() const override { return below_.size(); }
  [[nodiscard]] std::uint32_t block_size() const override { return below_.block_size(); }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] History* history() override { return below_.history(); }

  [[nodiscard]] Result<> read(std::uint64_t offset, MutableByteView out) override;
  // What stood in a block that is written in part is read first.
  [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data, StopFlag stop = nullptr) override;
  // kUnsupported: there is nothing to be saved by it.
  [[nodiscard]] Result<> discard(std::uint64_t offset, std::uint64_t length, StopFlag stop = nullptr) override;
  [[nodiscard]] Result<> flush(StopFlag) override { return {}; }

  [[nodiscard]] Result<std::uint64_t> seek(std::uint64_t offset, bool hole) override;
  [[nodiscard]] Result<std::uint64_t> allocated_bytes() override { return below_.allocated_bytes(); }

  [[nodiscard]] Result<Generation> sync(StopFlag stop) override { return below_.sync(stop); }
  [[nodiscard]] Result<Generation> resize(std::uint64_t bytes, DiscardTail tail, StopFlag stop) override { return below_.resize(bytes, tail, stop); }
  [[nodiscard]] Result<Generation> snapshot(const std::function<void()>& cut, StopFlag stop) override { return below_.snapshot(cut, stop); }
  [[nodiscard]] Result<Generation> roll_back(const volume::View& past, StopFlag stop) override { return below_.roll_back(past, stop); }
  [[nodiscard]] volume::Volume* spare_reader() override { return below_.spare_reader(); }
  void upload_now() override { below_.upload_now(); }
  [[nodiscard]] Result<> close(Duration drain) override { return below_.close(drain); }
  void cancel() override { below_.cancel(); }
  [[nodiscard]] Stats stats() override { return below_.stats(); }

 private:
  using Block = std::unique_ptr<std::uint8_t[]>;
  // Copies what is kept of this block into `out`; false: nothing is.
  [[nodiscard]] bool read_kept(std::uint64_t index, std::size_t within, MutableByteView out);
  [[nodiscard]] Result<> write_block(std::uint64_t index, std::size_t within, ByteView data);

  Disk& below_;
  const std::uint64_t blocks_max_;
  Mutex mu_;
  std::map<std::uint64_t, Block> blocks_ GUARDED_BY(mu_);  // by index
};

}  // namespace s3crate::device
