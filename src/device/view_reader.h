// SPDX-License-Identifier: GPL-3.0-or-later
// ViewReader: the bytes of one generation, around what is damaged. For those who read a disk from end to end: nothing is read ahead
// or kept for long, callers read many pieces side by side instead.
#pragma once

#include <vector>

#include "base/executor.h"
#include "volume/check.h"

namespace s3crate::device {

using volume::ByteRange;

// Ranges in order; those that follow each other are one.
void add_range(std::vector<ByteRange>& ranges, std::uint64_t offset, std::uint64_t length);

class ViewReader {
 public:
  // `volume` outlives it.
  ViewReader(Env env, volume::Volume& volume, volume::View view, std::uint64_t cache_bytes);

  [[nodiscard]] const volume::View& view() const { return view_; }
  [[nodiscard]] std::uint64_t size() const { return view_.disk_bytes; }
  [[nodiscard]] std::uint32_t block_size() const { return block_size_; }

  // The first byte at or behind `offset` (of a block) that may be data or damaged; size(): none. Thread-safe, as is read().
  [[nodiscard]] Result<std::uint64_t> next_data(std::uint64_t offset);

  struct Piece {
    std::vector<ByteRange> data;     // what is stored
    std::vector<ByteRange> damaged;  // what cannot be read
    std::string why;                 // of the first damage
  };
  // Whole blocks into `out`, which is zeros: holes and damaged blocks leave it so. Only what is not damage is an error.
  [[nodiscard]] Result<Piece> read(std::uint64_t offset, MutableByteView out);

 private:
  volume::Volume& volume_;
  const volume::View view_;
  const std::uint32_t block_size_;
  volume::ObjectTable objects_;
  cache::ExtentCache cache_;
  BufferPool buffers_{cache::kBuffersKept};
  cache::StoreExtentSource source_;
};

}  // namespace s3crate::device
