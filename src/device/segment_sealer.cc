// SPDX-License-Identifier: GPL-3.0-or-later
#include <algorithm>
#include <array>
#include <utility>

#include "base/crc32c.h"
#include "device/encoder.h"

namespace s3crate::device {

namespace {
// To wake the others for less costs more than they save.
constexpr std::size_t kSharedMin = 128 << 10;
}  // namespace

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
  open_.emplace(Open{std::move(segment), next_ordinal_++, std::move(key), 0, 0});
  return {};
}

// With a little more than it should have, so that batches that are just too big for it do not each leave a tiny one.
std::uint64_t SegmentSealer::room() const {
  const std::uint64_t full = options_.segment_bytes + options_.segment_bytes / 16;
  return open_ && open_->bytes < full ? full - open_->bytes : 0;
}

Result<> SegmentSealer::see_to_segment() {
  if (room() == 0) TRY(open_segment());
  return {};
}

// But for its number.
SegmentSealer::Sealed SegmentSealer::describe(ByteView stored, const crypto::Digest& digest, std::size_t offset, std::uint64_t blocks) const {
  Sealed sealed{open_->segment, {}, open_->ordinal};
  sealed.extent.offset = static_cast<std::uint32_t>(offset);
  sealed.extent.length = static_cast<std::uint32_t>(stored.size());
  sealed.extent.blocks = static_cast<std::uint16_t>(blocks);
  sealed.extent.digest = digest;
  sealed.extent.crc = crc32c(stored);
  return sealed;
}

void SegmentSealer::take(Sealed& sealed) {
  sealed.extent.number = open_->next_number++;
  open_->bytes += sealed.extent.length;
  counters_.extents++;
  counters_.bytes_before += std::uint64_t{sealed.extent.blocks} * options_.block_size;
  counters_.bytes_after += sealed.extent.length;
}

// All into the open segment. Each is sealed where it will be if none of them shrinks.
void SegmentSealer::seal_some(std::span<const ByteView> raws, std::size_t bytes_max, Bytes& out, std::vector<Sealed>& sealed) {
  const std::size_t start = out.size(), first = sealed.size();
  out.resize(start + bytes_max);
  sealed.resize(first + raws.size());
  std::vector<std::size_t> places(raws.size());
  for (std::size_t i = 0, at = start; i < raws.size(); at += segment::sealed_extent_max(raws[i++].size())) places[i] = at;
  const auto seal_one = [&](std::size_t i) {
    const MutableByteView to = MutableByteView(out).subspan(places[i], segment::sealed_extent_max(raws[i].size()));
    return ByteView(to.first(segment::seal_extent(open_->key, env_.random, open_->next_number + static_cast<std::uint32_t>(i), raws[i],
                                                  options_.block_size, options_.compression_level, to)));
  };
  // As many at a time as their digests are made at once, if that leaves work for the whole crew.
  const bool shared = crew_ != nullptr && bytes_max >= kSharedMin;
  const std::size_t at_once = shared && raws.size() < 4 * crew_->size() ? 1 : crypto::kDigestsAtOnce;
  const auto seal_few = [&](std::size_t turn) {
    const std::size_t from = turn * at_once, count = std::min(at_once, raws.size() - from);
    std::array<ByteView, crypto::kDigestsAtOnce> stored;
    for (std::size_t k = 0; k < count; ++k) stored[k] = seal_one(from + k);
    std::array<crypto::Digest, crypto::kDigestsAtOnce> found;
    crypto::digests(std::span(stored).first(count), std::span(found).first(count));
    for (std::size_t k = 0; k < count; ++k)
      sealed[first + from + k] = describe(stored[k], found[k], places[from + k], raws[from + k].size() / options_.block_size);
  };
  const std::size_t turns = (raws.size() + at_once - 1) / at_once;
  if (shared) crew_->run(turns, seal_few);
  else for (std::size_t i = 0; i < turns; ++i) seal_few(i);
  std::size_t end = start;
  for (std::size_t i = 0; i < raws.size(); ++i) {
    PendingExtent& extent = sealed[first + i].extent;
    if (places[i] != end) std::memmove(out.data() + end, out.data() + places[i], extent.length);
    extent.offset = static_cast<std::uint32_t>(end);
    end += extent.length;
    take(sealed[first + i]);
  }
  out.resize(end);
}

// Together as many as are sure to be begun while there is room.
Result<std::vector<SegmentSealer::Sealed>> SegmentSealer::seal(std::span<const ByteView> raws, Bytes& out) {
  std::vector<Sealed> sealed;
  while (!raws.empty()) {
    TRY(see_to_segment());
    std::size_t n = 0, bytes = 0;
    for (; n < raws.size() && bytes < room(); ++n) bytes += segment::sealed_extent_max(raws[n].size());
    seal_some(raws.first(n), bytes, out, sealed);
    raws = raws.subspan(n);
  }
  return sealed;
}

Result<SegmentSealer::Sealed> SegmentSealer::seal(ByteView raw, Bytes& out) {
  auto sealed = TRY(seal({&raw, 1}, out));
  // It is kept, and counted by what is in it.
  if (out.capacity() - out.size() > out.size() / 8) out.shrink_to_fit();
  return std::move(sealed[0]);
}

Result<SegmentSealer::Sealed> SegmentSealer::seal_lost(Bytes& out) {
  TRY(see_to_segment());
  const std::size_t start = out.size();
  segment::seal_lost_extent(open_->key, env_.random, open_->next_number, 1, options_.block_size, out);
  Sealed sealed = describe(ByteView(out).subspan(start), crypto::digest(ByteView(out).subspan(start)), start, 1);
  take(sealed);
  return sealed;
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
                     std::deque<Bytes>& joined, const std::function<void(BlockIndex, ByteView)>& data,
                     const std::function<void(BlockIndex, std::uint64_t)>& zeros) {
  const std::uint64_t extent_blocks = extent_bytes / block_size;
  ByteView stretch;
  bool is_joined = false;
  BlockIndex first;
  auto flush = [&] {
    if (!stretch.empty()) data(first, stretch);
    stretch = {};
    is_joined = false;
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
      if (!std::exchange(is_joined, true)) {
        joined.emplace_back(stretch.begin(), stretch.end());
      }
      append(joined.back(), bytes);
      stretch = joined.back();
    }
  }
  flush();
}

}  // namespace s3crate::device
