// SPDX-License-Identifier: GPL-3.0-or-later
// The overlay: what was written and acknowledged, but is not encoded yet, batch by batch.
//
// A partial write never reads: its block notes which of its bytes are there. A write goes into the current batch alone, so a
// batch holds whole writes, and applied in order batches give exactly what was written. Not thread-safe: guarded by its owner.
#pragma once

#include <map>
#include <memory>

#include "base/bytes.h"
#include "base/clock.h"
#include "device/byte_set.h"
#include "volume/run_map.h"

namespace s3crate::device {

// Memory that blocks share.
struct Buffer {
  // `zeroed`, or of whatever content.
  Buffer(std::size_t n, bool zeroed)
      : size(n), bytes(zeroed ? std::make_unique<std::uint8_t[]>(n) : std::make_unique_for_overwrite<std::uint8_t[]>(n)) {}
  const std::size_t size;
  const std::unique_ptr<std::uint8_t[]> bytes;
};
using BufferPtr = std::shared_ptr<Buffer>;

// A block, or the part of one that was written. The buffer may be shared by neighbours, the block's part of it is not.
struct BlockData {
  BufferPtr buffer;
  std::uint32_t offset = 0;  // in the buffer
  bool full = false;
  ByteSet present;           // if not full
  [[nodiscard]] std::uint8_t* data() const { return buffer->bytes.get() + offset; }
};
// Lays `newer` over `older`, in older's buffer.
void lay_over(BlockData& older, const BlockData& newer, std::uint32_t block_size);

class Batch {
 public:
  explicit Batch(std::uint32_t block_size) : block_size_(block_size) {}

  // `buffer` holds the whole blocks that the write touches, with the written bytes in their place and zeros around them.
  // The batch takes the buffer over: nobody else keeps it.
  void write(std::uint64_t offset, std::uint64_t length, BufferPtr buffer);
  void discard(BlockIndex from, BlockIndex to);

  [[nodiscard]] bool empty() const { return blocks_.empty() && holes_.empty(); }
  // In memory (whole buffers, however little of them still counts), and at most about as much in the journal: a hole or a piece of
  // a block costs some bytes to describe.
  [[nodiscard]] std::uint64_t bytes() const { return held_ + holes_.size() * 64 + pieces_ * 32; }
  [[nodiscard]] const std::map<BlockIndex, BlockData>& blocks() const { return blocks_; }
  // Below the blocks: where a block is in both, the block counts.
  [[nodiscard]] const volume::RunMap& holes() const { return holes_; }

  Seq seq;                       // set when it is frozen
  std::uint64_t disk_bytes = 0;  // likewise: all of it lies within
  MonotonicTime first_change{};

 private:
  // Whether the buffer is kept.
  bool write_block(BlockIndex block, const BufferPtr& buffer, std::uint32_t buffer_offset, std::uint32_t from, std::uint32_t to);
  void let_go(const BufferPtr& buffer);
  const std::uint32_t block_size_;
  std::map<BlockIndex, BlockData> blocks_;
  std::uint64_t held_ = 0;    // bytes of all buffers
  std::uint64_t pieces_ = 0;  // partial writes, an upper bound of the ranges in all `present`
  volume::RunMap holes_;
};

}  // namespace s3crate::device
