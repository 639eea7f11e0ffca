// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/btrfs_id.h"

#include <cstddef>
#include <cstring>

#include "base/wire.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kMetadataUuid = 1 << 10;
constexpr std::uint16_t kCrc32c = 0;

// Of the kernel's struct btrfs_super_block, what is needed here.
struct Super {
  std::array<std::uint8_t, 32> checksum;  // of all behind it
  std::array<std::uint8_t, 16> id;
  std::array<std::uint8_t, 16> before_magic;
  std::array<std::uint8_t, 8> magic;
  std::array<std::uint8_t, 0x74> before_features;
  Le64 incompatible;
  Le16 checksum_type;
  std::array<std::uint8_t, 0x175> before_tree_id;
  std::array<std::uint8_t, 16> tree_id;  // with kMetadataUuid; else it is `id`
  std::array<std::uint8_t, kBtrfsSuperBytes - 0x24b> rest;
};
static_assert(sizeof(Super) == kBtrfsSuperBytes && alignof(Super) == 1);
static_assert(offsetof(Super, magic) == 0x40 && offsetof(Super, incompatible) == 0xbc && offsetof(Super, checksum_type) == 0xc4);
static_assert(offsetof(Super, tree_id) == 0x23b);

std::uint32_t crc32c(ByteView bytes) {
  std::uint32_t crc = ~0u;
  for (const auto byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

}  // namespace

Result<> change_btrfs_id(MutableByteView superblock, const std::array<std::uint8_t, 16>& id) {
  Super super;
  if (superblock.size() != sizeof super) return fail(Code::kNotFound, "no superblock of btrfs");
  std::memcpy(&super, superblock.data(), sizeof super);
  if (as_chars(super.magic) != "_BHRfS_M") return fail(Code::kNotFound, "no superblock of btrfs");
  if (super.checksum_type != kCrc32c) return fail(Code::kUnsupported, "its checksums are no CRC-32C");
  if ((super.incompatible & kMetadataUuid) == 0) super.tree_id = super.id;
  super.incompatible = super.incompatible | kMetadataUuid;
  super.id = id;
  super.checksum = {};
  const Le32 checksum = crc32c(ByteView(reinterpret_cast<const std::uint8_t*>(&super), sizeof super).subspan(sizeof super.checksum));
  std::memcpy(super.checksum.data(), &checksum, sizeof checksum);
  std::memcpy(superblock.data(), &super, sizeof super);
  return {};
}

}  // namespace s3crate::cli
