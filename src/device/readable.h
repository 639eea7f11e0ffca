// SPDX-License-Identifier: GPL-3.0-or-later
// Readable: what can be read like a disk: the live one, and each of its pasts.
//
// Threading and errors: as of Disk (device/disk.h).
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::device {

class Readable {
 public:
  virtual ~Readable() = default;

  [[nodiscard]] virtual std::uint64_t size() const = 0;
  [[nodiscard]] virtual std::uint32_t block_size() const = 0;
  [[nodiscard]] virtual Result<> read(std::uint64_t offset, MutableByteView out) = 0;
  // The first byte >= offset that may be data (hole: that is certainly zero); size() if there is none (for a hole: the end).
  [[nodiscard]] virtual Result<std::uint64_t> seek(std::uint64_t offset, bool hole) = 0;
  // Bytes of blocks that are not holes: exact for a map of up to 64 leaves (at least 30,000 extents), else an estimate from as many.
  [[nodiscard]] virtual Result<std::uint64_t> allocated_bytes() = 0;
};

}  // namespace s3crate::device
