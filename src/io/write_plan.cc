// SPDX-License-Identifier: GPL-3.0-or-later
#include "io/write_plan.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::io {

void advance(Chunk& chunk, std::size_t done) {
  CHECK(done <= chunk.length);
  chunk.offset += done;
  chunk.length -= done;
  while (done > 0) {
    iovec& front = chunk.parts.front();
    std::size_t step = std::min(done, front.iov_len);
    front.iov_base = static_cast<std::uint8_t*>(front.iov_base) + step;
    front.iov_len -= step;
    done -= step;
    if (front.iov_len == 0) chunk.parts = chunk.parts.subspan(1);
  }
}

WritePlan::WritePlan(std::span<const WriteOp> ops) {
  std::size_t parts = 0;
  for (const WriteOp& op : ops) parts += op.parts.size();
  iovecs_.reserve(parts);
  for (const WriteOp& op : ops) {
    std::uint64_t offset = op.offset;
    bool open = false;  // whether the last chunk is this op's and has room
    for (ByteView part : op.parts) {
      if (part.empty()) continue;
      iovecs_.push_back({const_cast<std::uint8_t*>(part.data()), part.size()});
      if (!open || chunks_.back().parts.size() == kMaxParts) {
        chunks_.push_back({offset, 0, {&iovecs_.back(), 0}});
        open = true;
      }
      Chunk& chunk = chunks_.back();
      chunk.length += part.size();
      chunk.parts = {chunk.parts.data(), chunk.parts.size() + 1};
      offset += part.size();
    }
  }
}

}  // namespace s3crate::io
