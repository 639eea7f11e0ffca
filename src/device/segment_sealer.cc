// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>

#include "base/crc32c.h"
#include "device/encoder.h"

namespace s3crate::device {

Result<> SegmentSealer::open_segment() {
  auto segment = std::make_shared<PendingSegment>();
  segment->id = TRY(chain_.new_object_id());
  segment->ring = keys_.ring();
  crypto::Secret secret(env_.random);
  Bytes sealed = crypto::box_seal(env_.random, keys_.data_key(), secret.view());
  CHECK(sealed.size() == segment->sealed_secret.size());
  std::ranges::copy(sealed, segment->sealed_secret.begin());
  crypto::SealingKey key = segment::extent_sealing_key(secret, keys_.vid());
  segment->key = std::make_shared<const crypto::OpeningKey>(key.opening_key());
  open_ = std::make_shared<Open>(Open{std::move(segment), next_ordinal_++, std::move(key), 0, 0});
  return {};
}

// `seal_as` appends the stored form of the extent of that number.
Result<SegmentSealer::Sealed> SegmentSealer::seal_with(std::uint64_t blocks, Bytes& out,
                                                       const std::function<void(std::uint32_t)>& seal_as) {
  // With a little more than it should have, so that batches that are just too big for it do not each leave a tiny one.
  if (!open_ || open_->bytes >= options_.segment_bytes + options_.segment_bytes / 16) TRY(open_segment());
  std::size_t start = out.size();
  std::uint32_t number = open_->next_number++;
  seal_as(number);
  PendingExtent extent;
  extent.offset = static_cast<std::uint32_t>(start);
  extent.length = static_cast<std::uint32_t>(out.size() - start);
  extent.number = number;
  extent.blocks = static_cast<std::uint16_t>(blocks);
  const ByteView sealed = ByteView(out).subspan(start);
  extent.digest = crypto::digest(sealed);
  extent.crc = crc32c(sealed);
  open_->bytes += extent.length;
  counters_.extents++;
  counters_.bytes_before += blocks * options_.block_size;
  counters_.bytes_after += extent.length;
  return Sealed{open_->segment, std::move(extent)};
}

Result<SegmentSealer::Sealed> SegmentSealer::seal(ByteView raw, Bytes& out) {
  return seal_with(raw.size() / options_.block_size, out, [&](std::uint32_t number) {
    segment::seal_extent(open_->key, env_.random, number, raw, options_.block_size, options_.compression_level, out);
  });
}

Result<SegmentSealer::Sealed> SegmentSealer::seal_lost(Bytes& out) {
  return seal_with(1, out, [&](std::uint32_t number) {
    segment::seal_lost_extent(open_->key, env_.random, number, 1, options_.block_size, out);
  });
}

Result<PendingSegmentPtr> SegmentSealer::empty_segment() {
  TRY(open_segment());
  PendingSegmentPtr segment = open_->segment;
  close_segment();
  return segment;
}

volume::Run run_of(BlockIndex block, std::uint64_t blocks, const SegmentSealer::Sealed& sealed) {
  volume::Run run;
  run.block = block;
  run.count = blocks;
  run.hole = false;
  run.extent = {.object = {0, sealed.segment->id}, .number = sealed.extent.number, .offset = 0,
                .length = sealed.extent.length, .digest = sealed.extent.digest};
  return run;
}

void for_each_extent(const std::map<BlockIndex, BlockData>& blocks, std::uint32_t block_size, std::uint32_t extent_bytes,
                     const std::function<void(BlockIndex, ByteView)>& data,
                     const std::function<void(BlockIndex, std::uint64_t)>& zeros) {
  const std::uint64_t extent_blocks = extent_bytes / block_size;
  Bytes copy;               // of a stretch whose blocks do not lie behind each other in memory
  ByteView stretch;
  BlockIndex first;
  auto flush = [&] {
    if (!stretch.empty()) data(first, stretch);
    stretch = {};
  };
  for (const auto& [block, content] : blocks) {
    if (!content.full) {
      flush();
      continue;
    }
    ByteView bytes(content.data(), block_size);
    if (all_zero(bytes)) {
      flush();
      zeros(block, 1);
      continue;
    }
    std::uint64_t length = stretch.size() / block_size;
    bool goes_on = !stretch.empty() && block == first + length && block.value % extent_blocks != 0;
    if (!goes_on) {
      flush();
      first = block;
      stretch = bytes;
    } else if (stretch.data() + stretch.size() == bytes.data()) {
      stretch = {stretch.data(), stretch.size() + block_size};
    } else {
      if (stretch.data() != copy.data()) copy.assign(stretch.begin(), stretch.end());
      append(copy, bytes);
      stretch = copy;
    }
  }
  flush();
}

}  // namespace s3crate::device
