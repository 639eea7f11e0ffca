// SPDX-License-Identifier: GPL-3.0-or-later
// CRC-32C (Castagnoli, RFC 3720, B.4): tells bytes that a disk or memory spoiled by accident, some ten times as fast as
// SHA-256. It tells nothing of what somebody made on purpose.
#pragma once

#include "base/bytes.h"

namespace s3crate {

// Of bytes behind others, with the CRC of those.
[[nodiscard]] std::uint32_t crc32c(ByteView bytes, std::uint32_t before = 0);

}  // namespace s3crate
