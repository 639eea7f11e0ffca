// SPDX-License-Identifier: GPL-3.0-or-later
// Another id for a btrfs, as `btrfstune -m` gives one, but without the transaction that it makes: that would leave the log of the
// filesystem behind, and with it what was fsynced last.
//
// The id that users see stands in the superblocks alone. The one in the blocks of its trees stays; since Linux 5.0 a superblock may name it
// apart (incompatible feature METADATA_UUID).
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::cli {

inline constexpr std::size_t kBtrfsSuperBytes = 4096;
// Those that a disk is large enough for are there.
inline constexpr std::array<std::uint64_t, 3> kBtrfsSuperOffsets = {64ull << 10, 64ull << 20, 256ull << 30};

// Changes one superblock. kNotFound: this is none; kUnsupported: its checksum is not CRC-32C.
[[nodiscard]] Result<> change_btrfs_id(MutableByteView superblock, const std::array<std::uint8_t, 16>& id);

}  // namespace s3crate::cli
