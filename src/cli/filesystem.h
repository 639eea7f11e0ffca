// SPDX-License-Identifier: GPL-3.0-or-later
// The filesystems that attach knows how to make and to mount.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::cli {

enum class Filesystem { kUnknown, kBtrfs, kExt4, kXfs };

// The name that mount -t and mkfs. know; "" of kUnknown.
[[nodiscard]] std::string_view name_of(Filesystem type);
[[nodiscard]] Filesystem filesystem_named(std::string_view name);

// By what stands at the beginning of a disk: kSuperblockBytes of it, or what there is. Of ext2 and ext3 it says ext4, whose driver
// mounts them; of what looks like two at once it says nothing.
inline constexpr std::size_t kSuperblockBytes = 68 << 10;
[[nodiscard]] Filesystem identify(ByteView beginning);
// The id of a btrfs, as /sys/fs/btrfs calls it; nullopt: this is none.
[[nodiscard]] std::optional<std::string> btrfs_id(ByteView beginning);

// kWriting: freed blocks are given back. The others change nothing for good, and take a second filesystem of one id. kReading: the log
// is played back, for which the disk has room in memory (device/scratch_disk.h); only then is all there that was fsynced. kReadingAsIs:
// on a disk that takes no writes at all, without what only the log holds.
enum class MountFor { kWriting, kReading, kReadingAsIs };
[[nodiscard]] std::string mount_options(Filesystem type, MountFor purpose);

}  // namespace s3crate::cli
