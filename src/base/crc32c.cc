// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace s3crate {

std::uint32_t crc32c(ByteView bytes, std::uint32_t before) {
  constexpr std::size_t kAtOnce = 1 << 30;  // ISA-L counts with an int
  std::uint32_t crc = ~before;
  while (!bytes.empty()) {
    const ByteView piece = bytes.first(std::min(bytes.size(), kAtOnce));
    // It only reads.
    crc = crc32_iscsi(const_cast<unsigned char*>(piece.data()), static_cast<int>(piece.size()), crc);
    bytes = bytes.subspan(piece.size());
  }
  return ~crc;
}

}  // namespace s3crate
