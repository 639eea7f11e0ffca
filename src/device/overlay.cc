// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/overlay.h"

#include <algorithm>

namespace s3crate::device {

void lay_over(BlockData& older, const BlockData& newer, std::uint32_t block_size) {
  if (newer.full) {
    older = newer;
    return;
  }
  for (const ByteSet::Range& range : newer.present.ranges())
    std::memcpy(older.data() + range.from, newer.data() + range.from, range.to - range.from);
  if (older.full) return;
  older.present.add(newer.present);
  older.full = older.present.covers(block_size);
}

// One of its blocks counts no more.
void Batch::let_go(const BufferPtr& buffer) {
  if (buffer.use_count() == 1) held_ -= buffer->size;
}

bool Batch::write_block(BlockIndex block, const BufferPtr& buffer, std::uint32_t buffer_offset, std::uint32_t from,
                        std::uint32_t to) {
  BlockData data;
  data.buffer = buffer;
  data.offset = buffer_offset;
  data.full = from == 0 && to == block_size_;
  if (!data.full) {
    data.present.add(from, to);
    pieces_++;
  }
  auto it = blocks_.lower_bound(block);
  if (it != blocks_.end() && it->first == block) {
    if (data.full) let_go(it->second.buffer);
    lay_over(it->second, data, block_size_);
    return data.full;
  }
  if (!data.full) {
    // Around a write into a fresh hole there are zeros, and so there are in the buffer.
    holes_.visit(block, block.next(), [&](const volume::Run&) { data.full = true; });
  }
  blocks_.emplace_hint(it, block, std::move(data));
  return true;
}

void Batch::write(std::uint64_t offset, std::uint64_t length, BufferPtr buffer) {
  bool kept = false;
  std::uint64_t end = offset + length;
  std::uint64_t first = offset / block_size_;
  for (std::uint64_t block = first; block * block_size_ < end; ++block) {
    std::uint64_t start = block * block_size_;
    kept |= write_block(BlockIndex(block), buffer, static_cast<std::uint32_t>((block - first) * block_size_),
                        static_cast<std::uint32_t>(std::max(offset, start) - start),
                        static_cast<std::uint32_t>(std::min<std::uint64_t>(end - start, block_size_)));
  }
  if (kept) held_ += buffer->size;
}

void Batch::discard(BlockIndex from, BlockIndex to) {
  if (from >= to) return;
  const auto end = blocks_.lower_bound(to);
  for (auto it = blocks_.lower_bound(from); it != end; it = blocks_.erase(it)) let_go(it->second.buffer);
  holes_.put({.block = from, .count = to - from, .hole = true, .first = 0, .extent = {}});
}

}  // namespace s3crate::device
