// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/filesystem.h"

#include <array>
#include <cstring>

namespace s3crate::cli {
namespace {

constexpr std::size_t kExtMagicAt = 1024 + 0x38;
constexpr std::size_t kBtrfsAt = 64 << 10, kBtrfsIdAt = kBtrfsAt + 0x20, kBtrfsMagicAt = kBtrfsAt + 0x40;

bool stands_at(ByteView bytes, std::size_t at, std::string_view magic) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

}  // namespace

std::string_view name_of(Filesystem type) {
  switch (type) {
    case Filesystem::kUnknown: return "";
    case Filesystem::kBtrfs: return "btrfs";
    case Filesystem::kExt4: return "ext4";
    case Filesystem::kXfs: return "xfs";
  }
  return "";
}

Filesystem filesystem_named(std::string_view name) {
  for (auto type : {Filesystem::kBtrfs, Filesystem::kExt4, Filesystem::kXfs}) {
    if (name == name_of(type)) return type;
  }
  return Filesystem::kUnknown;
}

Filesystem identify(ByteView beginning) {
  auto found = Filesystem::kUnknown;
  auto see = [&, seen = 0](bool there, Filesystem type) mutable {
    // One that was made over another, and left some of it: mount(8) knows more about that.
    if (there) found = ++seen == 1 ? type : Filesystem::kUnknown;
  };
  see(stands_at(beginning, kBtrfsMagicAt, "_BHRfS_M"), Filesystem::kBtrfs);
  see(stands_at(beginning, 0, "XFSB"), Filesystem::kXfs);
  see(stands_at(beginning, kExtMagicAt, "\x53\xEF"), Filesystem::kExt4);
  return found;
}

std::optional<std::string> btrfs_id(ByteView beginning) {
  if (identify(beginning) != Filesystem::kBtrfs) return std::nullopt;
  auto id = to_hex(beginning.subspan(kBtrfsIdAt, 16));
  for (std::size_t dash : {8, 13, 18, 23}) id.insert(dash, 1, '-');
  return id;
}

std::string mount_options(Filesystem type, MountFor purpose) {
  const bool as_is = purpose == MountFor::kReadingAsIs;
  switch (type) {
    case Filesystem::kUnknown: return purpose == MountFor::kWriting ? "" : "ro";
    case Filesystem::kBtrfs: return purpose == MountFor::kWriting ? "discard=async" : as_is ? "ro,rescue=nologreplay" : "ro";
    case Filesystem::kExt4: return purpose == MountFor::kWriting ? "discard" : as_is ? "ro,noload" : "ro";
    case Filesystem::kXfs: return purpose == MountFor::kWriting ? "discard,nouuid" : as_is ? "ro,nouuid,norecovery" : "ro,nouuid";
  }
  return "";
}

}  // namespace s3crate::cli
