// SPDX-License-Identifier: GPL-3.0-or-later
// WritePlan: what a File::write() asks for, cut into pieces that one pwritev(2) or one io_uring
// entry takes.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <vector>

#include "io/file_io.h"

namespace s3crate::io {

struct Chunk {
  std::uint64_t offset = 0;
  std::size_t length = 0;  // of all parts; never 0 in a plan
  std::span<iovec> parts;  // at most kMaxParts, none of them empty
};

// Takes `done` <= chunk.length bytes off the front: what a short write leaves to do.
void advance(Chunk& chunk, std::size_t done);

class WritePlan {
 public:
  static constexpr std::size_t kMaxParts = 1024;  // IOV_MAX

  explicit WritePlan(std::span<const WriteOp> ops);
  WritePlan(const WritePlan&) = delete;
  WritePlan& operator=(const WritePlan&) = delete;

  [[nodiscard]] std::span<Chunk> chunks() { return chunks_; }

 private:
  std::vector<iovec> iovecs_;  // never resized once chunks_ point into it
  std::vector<Chunk> chunks_;
};

}  // namespace s3crate::io
