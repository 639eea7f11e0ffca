// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryDisk: a Disk that is plain memory: what FUSE costs without a disk below it. Blocks never written take no
// memory. With a journal, write() and flush() also do a pwrite and a fdatasync to a file: the least that any durable disk does. A flush
// may take a time, as if it waited for a store.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "device/disk.h"

namespace s3crate::test {

class MemoryDisk final : public device::Disk {
 public:
  static constexpr std::uint32_t kBlock = 4096;
  static constexpr std::uint64_t kJournalBytes = 1 << 30;

  // `size` is a multiple of kBlock. An empty `journal` is none.
  explicit MemoryDisk(std::uint64_t size, const std::string& journal = "", bool read_only = false,
                      std::chrono::milliseconds flush_takes = {})
      : size_(size), read_only_(read_only), flush_takes_(flush_takes), data_block_(size / kBlock) {
    CHECK(size > 0 && size % kBlock == 0);
    void* memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    bytes_ = static_cast<std::uint8_t*>(memory);
    if (!journal.empty()) {
      journal_fd_ = ::open(journal.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      CHECK(journal_fd_ >= 0 && ::posix_fallocate(journal_fd_, 0, kJournalBytes) == 0);
    }
  }
  ~MemoryDisk() override {
    ::munmap(bytes_, size_);
    if (journal_fd_ >= 0) ::close(journal_fd_);
  }

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] std::uint32_t block_size() const override { return kBlock; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] device::History* history() override { return nullptr; }

  [[nodiscard]] Result<> read(std::uint64_t offset, MutableByteView out) override {
    if (!inside(offset, out.size())) return fail(Code::kBadArgument, "outside the disk");
    MutexLock lock(mu_);
    std::memcpy(out.data(), bytes_ + offset, out.size());
    stats_.reads.count += 1;
    stats_.reads.bytes += out.size();
    return {};
  }

  [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data, device::StopFlag = nullptr) override {
    if (!inside(offset, data.size())) return fail(Code::kBadArgument, "outside the disk");
    std::uint64_t place;
    {
      MutexLock lock(mu_);
      std::memcpy(bytes_ + offset, data.data(), data.size());
      for (auto b = offset / kBlock; b * kBlock < offset + data.size(); ++b) data_block_[b] = true;
      stats_.writes.count += 1;
      stats_.writes.bytes += data.size();
      if (journal_at_ + data.size() > kJournalBytes) journal_at_ = 0;
      place = journal_at_;
      journal_at_ += data.size();
    }
    if (journal_fd_ < 0) return {};
    const auto n = ::pwrite(journal_fd_, data.data(), data.size(), static_cast<off_t>(place));
    if (n != static_cast<ssize_t>(data.size())) return fail(Code::kIo, "journal: {}", std::strerror(errno));
    return {};
  }

  [[nodiscard]] Result<> discard(std::uint64_t offset, std::uint64_t length, device::StopFlag = nullptr) override {
    if (!inside(offset, length)) return fail(Code::kBadArgument, "outside the disk");
    MutexLock lock(mu_);
    stats_.discards.count += 1;
    const auto first = (offset + kBlock - 1) / kBlock, last = (offset + length) / kBlock;  // whole blocks
    if (first >= last) {
      std::memset(bytes_ + offset, 0, length);
      return {};
    }
    std::memset(bytes_ + offset, 0, first * kBlock - offset);
    std::memset(bytes_ + last * kBlock, 0, offset + length - last * kBlock);
    CHECK(::madvise(bytes_ + first * kBlock, (last - first) * kBlock, MADV_DONTNEED) == 0);
    std::fill(data_block_.begin() + static_cast<std::ptrdiff_t>(first),
              data_block_.begin() + static_cast<std::ptrdiff_t>(last), false);
    return {};
  }

  [[nodiscard]] Result<> flush(device::StopFlag = nullptr) override {
    {
      MutexLock lock(mu_);
      stats_.flushes.count += 1;
    }
    if (flush_takes_.count() > 0) std::this_thread::sleep_for(flush_takes_);
    if (journal_fd_ >= 0 && ::fdatasync(journal_fd_) != 0) return fail(Code::kIo, "journal: {}", std::strerror(errno));
    return {};
  }

  [[nodiscard]] Result<std::uint64_t> seek(std::uint64_t offset, bool hole) override {
    MutexLock lock(mu_);
    for (auto block = offset / kBlock; block < data_block_.size(); ++block) {
      if (data_block_[block] != hole) return std::max(offset, block * kBlock);
    }
    return size_;
  }

  [[nodiscard]] Result<std::uint64_t> allocated_bytes() override {
    MutexLock lock(mu_);
    return kBlock * static_cast<std::uint64_t>(std::count(data_block_.begin(), data_block_.end(), true));
  }

  [[nodiscard]] Result<Generation> snapshot(const std::function<void()>& cut, device::StopFlag = nullptr) override {
    cut();
    return Generation(1);
  }
  [[nodiscard]] Result<Generation> sync(device::StopFlag = nullptr) override { return Generation(1); }
  [[nodiscard]] volume::Volume* spare_reader() override { return nullptr; }
  [[nodiscard]] Result<Generation> roll_back(const volume::View&, device::StopFlag = nullptr) override {
    return fail(Code::kUnsupported, "plain memory has no past");
  }
  [[nodiscard]] Result<Generation> resize(std::uint64_t, device::DiscardTail, device::StopFlag = nullptr) override {
    return fail(Code::kUnsupported, "plain memory stays as it is");
  }
  void upload_now() override {}
  [[nodiscard]] Result<> close(Duration) override { return {}; }
  void cancel() override {}

  [[nodiscard]] device::Stats stats() override {
    MutexLock lock(mu_);
    return stats_;
  }

 private:
  [[nodiscard]] bool inside(std::uint64_t offset, std::uint64_t length) const {
    return offset <= size_ && length <= size_ - offset;
  }

  const std::uint64_t size_;
  const bool read_only_;
  const std::chrono::milliseconds flush_takes_;
  int journal_fd_ = -1;
  std::uint8_t* bytes_ = nullptr;
  Mutex mu_;
  std::vector<bool> data_block_ GUARDED_BY(mu_);  // has it been written?
  std::uint64_t journal_at_ GUARDED_BY(mu_) = 0;
  device::Stats stats_ GUARDED_BY(mu_);
};

}  // namespace s3crate::test
