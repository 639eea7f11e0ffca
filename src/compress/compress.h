// SPDX-License-Identifier: GPL-3.0-or-later
// Compression of extents: zstd, preceded by a quick test for data that does not shrink. Thread-safe; the
// contexts are kept one a thread.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::compress {

enum class Codec : std::uint8_t { none = 0, zstd = 1 };  // never renumbered: stands in extents

// Appends `raw` in compressed form to `out` and answers zstd; or answers none and leaves `out` alone if that would
// save less than 1/32 of it, or if a quick look says so. Level 1 to 19; 0 compresses nothing.
[[nodiscard]] Codec compress(ByteView raw, int level, Bytes& out);

// Fills `raw` by what zstd has compressed; kCorrupt if that is anything but exactly so many bytes in one frame.
[[nodiscard]] Result<> decompress(ByteView packed, MutableByteView raw);

}  // namespace s3crate::compress
