// SPDX-License-Identifier: GPL-3.0-or-later
// The plain form of a segment's index.
#include <algorithm>

#include "base/check.h"
#include "segment/codec.h"
#include "segment/segment.h"
#include "segment/wire_format.h"

namespace s3crate::segment {
namespace {

constexpr std::size_t kExtentSizeMin = 3 + sizeof(Digest);
constexpr std::size_t kRunSizeMin = 5;
constexpr std::size_t kHoleSizeMin = 3;

void put_extents(ByteWriter& writer, const std::vector<IndexedExtent>& extents) {
  writer.varint(extents.size());
  std::uint64_t number = 0;
  std::uint64_t end = 0;
  for (const IndexedExtent& e : extents) {
    CHECK(e.number >= number && e.offset >= end);
    writer.varint(e.number - number);
    writer.varint(e.offset - end);
    writer.varint(e.length);
    writer.raw(e.digest);
    number = std::uint64_t{e.number} + 1;
    end = std::uint64_t{e.offset} + e.length;
  }
}

std::vector<IndexedExtent> get_extents(ByteReader& reader) {
  std::vector<IndexedExtent> out(get_count(reader, kExtentSizeMin, kExtentsPerSegmentMax));
  std::uint64_t number = 0;
  std::uint64_t end = 0;
  for (IndexedExtent& e : out) {
    e.number = static_cast<std::uint32_t>(get_above(reader, number, UINT32_MAX));
    e.offset = static_cast<std::uint32_t>(get_above(reader, end, kObjectBytesMax));
    e.length = static_cast<std::uint32_t>(get_up_to(reader, kSealedExtentMax));
    e.digest = reader.array<sizeof(Digest)>();
    number = std::uint64_t{e.number} + 1;
    end = std::uint64_t{e.offset} + e.length;
    if (e.length < kSealedExtentMin || end > kObjectBytesMax) reader.fail();
    if (!reader.ok()) return {};
  }
  return out;
}

void put_runs(ByteWriter& writer, const std::vector<IndexedRun>& runs) {
  writer.varint(runs.size());
  IndexedRun previous;
  for (const IndexedRun& r : runs) {
    CHECK(r.written >= previous.written);
    put_delta(writer, r.block.value, previous.block.value + previous.count);
    writer.varint(r.count);
    put_delta(writer, r.extent, previous.extent);
    writer.varint(r.first);
    writer.varint(r.written - previous.written);
    previous = r;
  }
}

void put_holes(ByteWriter& writer, const std::vector<IndexedHole>& holes) {
  writer.varint(holes.size());
  IndexedHole previous;
  for (const IndexedHole& h : holes) {
    CHECK(h.written >= previous.written);
    put_delta(writer, h.block.value, previous.block.value + previous.count);
    writer.varint(h.count);
    writer.varint(h.written - previous.written);
    previous = h;
  }
}

// All runs are of extents in the index and within the disk.
void get_runs(ByteReader& reader, std::uint32_t block_size, SegmentIndex& index) {
  index.runs.resize(get_count(reader, kRunSizeMin, kRunsPerSegmentMax));
  const std::uint64_t disk_blocks = index.disk_bytes / block_size;
  IndexedRun previous;
  for (IndexedRun& r : index.runs) {
    r.block = BlockIndex(get_delta(reader, previous.block.value + previous.count));
    r.count = get_number<std::uint32_t>(reader);
    const std::uint64_t extent = get_delta(reader, previous.extent);
    r.extent = static_cast<std::uint32_t>(extent);
    r.first = get_number<std::uint16_t>(reader);
    r.written = Seq(get_above(reader, previous.written.value, index.seq_last.value));
    if (!reader.ok() || extent != r.extent ||
        !is_block_range(r.block.value, r.count, disk_blocks) ||
        !is_extent_range(r.first, r.count, block_size) ||
        !std::ranges::binary_search(index.extents, r.extent, {}, &IndexedExtent::number))
      return reader.fail();
    previous = r;
  }
}

void get_holes(ByteReader& reader, std::uint32_t block_size, SegmentIndex& index) {
  index.holes.resize(get_count(reader, kHoleSizeMin, kRunsPerSegmentMax));
  IndexedHole previous;
  for (IndexedHole& h : index.holes) {
    h.block = BlockIndex(get_delta(reader, previous.block.value + previous.count));
    h.count = reader.varint();
    h.written = Seq(get_above(reader, previous.written.value, index.seq_last.value));
    if (!reader.ok() || !is_block_range(h.block.value, h.count, kDiskBytesMax / block_size))
      return reader.fail();
    previous = h;
  }
}

bool is_sound(const SegmentIndex& i, std::uint32_t block_size) {
  return i.epoch <= ObjectId::kEpochMax && i.continues_epoch <= i.epoch && i.seq_first.value >= 1 &&
         i.continues_seq < i.seq_first && i.seq_last.value <= kNumberMax &&
         i.seq_first.value <= i.seq_last.value + 1 && i.needs_seq >= i.seq_last &&
         i.needs_seq.value <= kNumberMax && i.disk_bytes <= kDiskBytesMax &&
         i.disk_bytes % block_size == 0;
}

}  // namespace

void put_seq_ranges(ByteWriter& writer, const std::vector<SeqRange>& ranges) {
  CHECK(ranges.size() <= kSeqRangesMax);
  writer.varint(ranges.size());
  std::uint64_t next = 0;
  for (const SeqRange& r : ranges) {
    CHECK(r.first.value >= next && r.last >= r.first);
    writer.varint(r.first.value - next);
    writer.varint(r.last - r.first);
    next = r.last.value + 1;
  }
}

std::vector<SeqRange> get_seq_ranges(ByteReader& reader) {
  std::vector<SeqRange> out(get_count(reader, 2, kSeqRangesMax));
  std::uint64_t next = 0;
  for (SeqRange& r : out) {
    r.first = Seq(get_above(reader, next, kNumberMax));
    r.last = Seq(get_above(reader, r.first.value, kNumberMax));
    next = r.last.value + 1;
  }
  return out;
}

Bytes encode_segment_index(const SegmentIndex& index) {
  wire::IndexHead head;
  head.epoch = index.epoch;
  head.continues_epoch = index.continues_epoch;
  head.continues_seq = index.continues_seq.value;
  head.seq_first = index.seq_first.value;
  head.seq_last = index.seq_last.value;
  head.needs_seq = index.needs_seq.value;
  head.disk_bytes = index.disk_bytes;
  head.sealed_secret = index.sealed_secret;
  Bytes out;
  ByteWriter writer(out);
  writer.wire(head);
  put_seq_ranges(writer, index.abandoned);
  put_extents(writer, index.extents);
  put_runs(writer, index.runs);
  put_holes(writer, index.holes);
  put_extensions(writer, index.extensions);
#ifndef NDEBUG
  const auto decoded = decode_segment_index(out, kBlockSizeMin);
  CHECK(decoded ? *decoded == index : is(decoded, Code::kUnsupported));
#endif
  return out;
}

Result<SegmentIndex> decode_segment_index(ByteView plain, std::uint32_t block_size) {
  ByteReader reader(plain);
  const auto head = reader.wire<wire::IndexHead>();
  SegmentIndex index;
  index.epoch = head.epoch;
  index.continues_epoch = head.continues_epoch;
  index.continues_seq = Seq(head.continues_seq);
  index.seq_first = Seq(head.seq_first);
  index.seq_last = Seq(head.seq_last);
  index.needs_seq = Seq(head.needs_seq);
  index.disk_bytes = head.disk_bytes;
  index.sealed_secret = head.sealed_secret;
  if (plain.size() > kIndexBytesMax || !reader.ok() || !is_sound(index, block_size))
    return fail(Code::kCorrupt, "a segment's index has a malformed head");
  index.abandoned = get_seq_ranges(reader);
  index.extents = get_extents(reader);
  if (reader.ok()) get_runs(reader, block_size, index);
  if (reader.ok()) get_holes(reader, block_size, index);
  if (!reader.ok()) return fail(Code::kCorrupt, "a segment's index is malformed");
  index.extensions = TRY(get_extensions(reader, "a segment's index"));
  return index;
}

}  // namespace s3crate::segment
