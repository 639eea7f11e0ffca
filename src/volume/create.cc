// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/create.h"

#include <bit>

#include "volume/new_volume.h"

namespace s3crate::volume {

Result<> validate_size(std::uint64_t disk_bytes, std::uint32_t block_size) {
  if (disk_bytes == 0) return fail(Code::kBadArgument, "the size must not be zero");
  if (disk_bytes % block_size != 0)
    return fail(Code::kBadArgument, "the size must be a multiple of the block size: {} is not one of {}", disk_bytes, block_size);
  if (disk_bytes > segment::kDiskBytesMax) return fail(Code::kBadArgument, "the size must be at most 1 EiB");
  return {};
}

Result<> validate(const CreateOptions& o) {
  if (!std::has_single_bit(o.block_size) || o.block_size < segment::kBlockSizeMin || o.block_size > segment::kBlockSizeMax)
    return fail(Code::kBadArgument, "the block size must be a power of two from 4K to 64K, not {}", o.block_size);
  TRY(validate_size(o.disk_bytes, o.block_size));
  if (o.segment_bytes < segment::kSegmentSizeMin || o.segment_bytes > segment::kSegmentSizeMax)
    return fail(Code::kBadArgument, "the segment size must be from 64K to 64M");
  if (o.extent_bytes < o.block_size || o.extent_bytes > segment::kExtentBytesMax || o.extent_bytes % o.block_size != 0)
    return fail(Code::kBadArgument, "the extent size must be a multiple of the block size, at most 64K");
  return {};
}

Result<Vid> create(Env env, store::ObjectStore& store, const CreateOptions& options, std::span<const SlotRequest> slots) {
  TRY(validate(options));
  if (slots.empty()) return fail(Code::kBadArgument, "a volume needs at least one key");
  TRY(refuse_if_taken(store));
  const NewVolume made = TRY(NewVolume::make(env, options));
  TRY(made.put_first(store));
  TRY(made.put_slots(env, store, options.argon2, slots));
  TRY(made.put_volume(store));
  return made.vid();
}

}  // namespace s3crate::volume
