// SPDX-License-Identifier: GPL-3.0-or-later
// PastDisk: the disk as of one generation, for reading. It is what a head is that nobody writes to: the same layers, over the pages
// and the extents that the live disk uses. So it never changes, and what both have in common is in memory once; what reads it ahead is the same, too.
#pragma once

#include "cache/cache_file.h"
#include "device/failed_reads.h"
#include "device/head.h"
#include "device/read_ahead.h"
#include "device/readable.h"

namespace s3crate::device {

// Of the live disk, which outlives all its pasts.
struct SharedParts {
  cache::ExtentCache& extents;
  cache::SealedCache* file;  // may be null
  BufferPool& buffers;
  FailedReads& failed_reads;
  ReadAhead* read_ahead;  // may be null
};

class PastDisk final : public Readable {
 public:
  [[nodiscard]] static std::shared_ptr<PastDisk> make(Env env, const volume::Volume& volume, const SharedParts& parts, volume::View view);

  [[nodiscard]] std::uint64_t size() const override { return head_.disk_bytes(); }
  [[nodiscard]] std::uint32_t block_size() const override { return head_.block_size(); }
  [[nodiscard]] Result<> read(std::uint64_t offset, MutableByteView out) override;
  [[nodiscard]] Result<std::uint64_t> seek(std::uint64_t offset, bool hole) override;
  [[nodiscard]] Result<std::uint64_t> allocated_bytes() override;

  // Runs and objects in memory.
  [[nodiscard]] std::uint64_t weight() const { return weight_; }

 private:
  PastDisk(Env env, const volume::Volume& volume, const SharedParts& parts, volume::View view);
  [[nodiscard]] Result<> read_blocks(BlockIndex from, BlockIndex to, MutableByteView out);
  [[nodiscard]] Result<> read_bytes(std::uint64_t offset, MutableByteView out);

  Env env_;
  volume::PageLoader& pages_;
  cache::ExtentCache& extents_;
  FailedReads& failed_reads_;
  const std::string name_;  // in messages
  const std::uint64_t weight_;
  const std::unique_ptr<volume::ObjectTable> objects_;
  cache::StoreExtentSource source_;
  Head head_;
  ReadAhead* const read_ahead_;  // may be null
  ReadAhead::TargetPtr target_;  // of that
  Mutex mu_;
  std::optional<std::uint64_t> allocated_ GUARDED_BY(mu_);
};

}  // namespace s3crate::device
