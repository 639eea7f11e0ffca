// SPDX-License-Identifier: GPL-3.0-or-later
// The stored form of an extent, in memory of its own.
#pragma once

#include "segment/extent.h"

namespace s3crate::test {

inline Bytes sealed_extent(const crypto::SealingKey& key, Random& random, std::uint32_t number, ByteView raw, std::uint32_t block_size,
                           int compression_level = 1) {
  Bytes out(segment::sealed_extent_max(raw.size()));
  out.resize(segment::seal_extent(key, random, number, raw, block_size, compression_level, out));
  return out;
}

}  // namespace s3crate::test
