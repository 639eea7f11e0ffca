// SPDX-License-Identifier: GPL-3.0-or-later
// Sectors of the files on the local disk, journal and cache file: zeros up to a hash of all before it, so that one that was torn
// or is something else is found.
#pragma once

#include <string_view>

#include "base/result.h"
#include "segment/types.h"

namespace s3crate::segment {

inline constexpr std::uint32_t kSectorBytes = 4096;
inline constexpr std::size_t kSectorContent = kSectorBytes - sizeof(Hash);
static_assert(kSectorContent == 4064);

// Makes a sector of what is to stand in it.
void finish_sector(Bytes& content);
// What stands in it, zeros at the end included. kCorrupt if it is none; `what` is for the message.
[[nodiscard]] Result<ByteView> sector_content(ByteView sector, std::string_view what);

}  // namespace s3crate::segment
