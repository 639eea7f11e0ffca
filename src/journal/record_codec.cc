// SPDX-License-Identifier: GPL-3.0-or-later
// Records: the plain header, and the plain form of the sealed body.
#include <algorithm>

#include "base/check.h"
#include "journal/format.h"
#include "journal/wire_format.h"
#include "segment/codec.h"

namespace s3crate::journal {
namespace {

using segment::get_above;
using segment::get_count;
using segment::get_delta;
using segment::get_number;
using segment::get_up_to;
using segment::kNumberMax;
using segment::put_delta;

constexpr std::size_t kListMax = 1 << 22;
constexpr std::size_t kSegmentSizeMin = 2 + sizeof(SealedSecret);
constexpr std::size_t kExtentSizeMin = 4 + sizeof(Digest);
constexpr std::size_t kHoleSizeMin = 2;
constexpr std::size_t kRunSizeMin = 4;
constexpr std::size_t kPatchSizeMin = 4;  // at least one byte of data

void put_segments(ByteWriter& writer, const std::vector<NewSegment>& segments) {
  writer.varint(segments.size());
  for (const NewSegment& s : segments) {
    writer.varint(s.ordinal);
    writer.varint(s.ring);
    writer.raw(s.sealed_secret);
  }
}

std::vector<NewSegment> get_segments(ByteReader& reader) {
  std::vector<NewSegment> list(get_count(reader, kSegmentSizeMin, kListMax));
  std::uint32_t previous = 0;
  for (NewSegment& s : list) {
    s.ordinal = get_number<std::uint32_t>(reader);
    s.ring = get_number<std::uint32_t>(reader);
    s.sealed_secret = reader.array<sizeof(SealedSecret)>();
    if (s.ordinal <= previous) reader.fail();
    if (!reader.ok()) return {};
    previous = s.ordinal;
  }
  return list;
}

void put_extents(ByteWriter& writer, const std::vector<RecordExtent>& extents) {
  writer.varint(extents.size());
  std::uint64_t end = 0;
  for (const RecordExtent& e : extents) {
    CHECK(e.offset >= end);
    writer.varint(e.segment);
    writer.varint(e.number);
    writer.varint(e.offset - end);
    writer.varint(e.length);
    writer.raw(e.digest);
    end = std::uint64_t{e.offset} + e.length;
  }
}

std::vector<RecordExtent> get_extents(ByteReader& reader, std::uint32_t extents_length) {
  std::vector<RecordExtent> list(get_count(reader, kExtentSizeMin, kListMax));
  std::uint64_t end = 0;
  for (RecordExtent& e : list) {
    e.segment = get_number<std::uint32_t>(reader);
    e.number = get_number<std::uint32_t>(reader);
    e.offset = static_cast<std::uint32_t>(get_above(reader, end, extents_length));
    e.length = static_cast<std::uint32_t>(get_up_to(reader, segment::kSealedExtentMax));
    e.digest = reader.array<sizeof(Digest)>();
    end = std::uint64_t{e.offset} + e.length;
    if (e.segment == 0 || e.length < segment::kSealedExtentMin || end > extents_length)
      reader.fail();
    if (!reader.ok()) return {};
  }
  return list;
}

void put_holes(ByteWriter& writer, const std::vector<RecordHole>& holes) {
  writer.varint(holes.size());
  std::uint64_t end = 0;
  for (const RecordHole& h : holes) {
    put_delta(writer, h.block.value, end);
    writer.varint(h.count);
    end = h.block.value + h.count;
  }
}

std::vector<RecordHole> get_holes(ByteReader& reader, std::uint64_t disk_blocks_max) {
  std::vector<RecordHole> list(get_count(reader, kHoleSizeMin, kListMax));
  std::uint64_t end = 0;
  for (RecordHole& h : list) {
    h.block = BlockIndex(get_delta(reader, end));
    h.count = reader.varint();
    if (!segment::is_block_range(h.block.value, h.count, disk_blocks_max)) reader.fail();
    if (!reader.ok()) return {};
    end = h.block.value + h.count;
  }
  return list;
}

void put_runs(ByteWriter& writer, const std::vector<RecordRun>& runs) {
  writer.varint(runs.size());
  std::uint64_t end = 0;
  std::uint32_t extent = 0;
  for (const RecordRun& r : runs) {
    put_delta(writer, r.block.value, end);
    writer.varint(r.count);
    put_delta(writer, r.extent, extent);
    writer.varint(r.first);
    end = r.block.value + r.count;
    extent = r.extent;
  }
}

bool overlap(const std::vector<RecordRun>& runs) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  ranges.reserve(runs.size());
  for (const RecordRun& r : runs) ranges.emplace_back(r.block.value, r.block.value + r.count);
  std::ranges::sort(ranges);
  return std::ranges::adjacent_find(ranges, [](const auto& a, const auto& b) {
           return a.second > b.first;
         }) != ranges.end();
}

std::vector<RecordRun> get_runs(ByteReader& reader, std::size_t extents, std::uint32_t block_size) {
  std::vector<RecordRun> list(get_count(reader, kRunSizeMin, kListMax));
  std::uint64_t end = 0;
  std::uint64_t extent = 0;
  for (RecordRun& r : list) {
    r.block = BlockIndex(get_delta(reader, end));
    r.count = get_number<std::uint32_t>(reader);
    extent = get_delta(reader, extent);
    r.extent = static_cast<std::uint32_t>(extent);
    r.first = get_number<std::uint16_t>(reader);
    if (extent >= extents || !segment::is_extent_range(r.first, r.count, block_size) ||
        !segment::is_block_range(r.block.value, r.count, segment::kDiskBytesMax / block_size))
      reader.fail();
    if (!reader.ok()) return {};
    end = r.block.value + r.count;
  }
  if (overlap(list)) reader.fail();
  return list;
}

void put_patches(ByteWriter& writer, const std::vector<RecordPatch>& patches) {
  writer.varint(patches.size());
  std::uint64_t previous = 0;
  for (const RecordPatch& p : patches) {
    put_delta(writer, p.block.value, previous);
    writer.varint(p.offset);
    segment::put_bytes(writer, p.data);
    previous = p.block.value;
  }
}

std::vector<RecordPatch> get_patches(ByteReader& reader, std::uint32_t block_size) {
  std::vector<RecordPatch> list(get_count(reader, kPatchSizeMin, kListMax));
  std::uint64_t previous = 0;
  for (RecordPatch& p : list) {
    p.block = BlockIndex(get_delta(reader, previous));
    p.offset = static_cast<std::uint32_t>(get_up_to(reader, block_size - 1));
    const ByteView data = segment::get_bytes(reader, block_size - p.offset);
    p.data.assign(data.begin(), data.end());
    if (data.empty() || p.block.value >= segment::kDiskBytesMax / block_size) reader.fail();
    if (!reader.ok()) return {};
    previous = p.block.value;
  }
  return list;
}

}  // namespace

std::size_t record_header_size() { return sizeof(wire::Record); }

Bytes encode_record_header(const RecordHeader& header) {
  wire::Record w;
  w.part = header.part;
  w.parts = header.parts;
  w.journal = header.journal;
  w.incarnation = header.incarnation;
  w.sealed_length = header.sealed_length;
  w.extents_length = header.extents_length;
  w.slot_sequence = header.slot_sequence;
  w.seq = header.seq.value;
  w.durable_through = header.durable_through.value;
  w.previous_tag = header.previous_tag;
  const ByteView bytes = wire_bytes(w);
#ifndef NDEBUG
  const auto decoded = decode_record_header(bytes);
  CHECK(decoded && *decoded == header);
#endif
  return {bytes.begin(), bytes.end()};
}

Result<RecordHeader> decode_record_header(ByteView bytes) {
  ByteReader reader(bytes);
  const auto w = reader.wire<wire::Record>();
  if (!reader.done() || w.magic != wire::kRecordMagic)
    return fail(Code::kCorrupt, "this is no record of a journal");
  if (w.version != wire::kVersion)
    return fail(Code::kUnsupported, "a journal's record needs another version of this program");
  if (w.reserved != 0 || w.reserved2 != 0 || w.parts < 1 || w.part >= w.parts || w.seq < 1 ||
      w.seq > kNumberMax || w.durable_through >= w.seq || w.sealed_length < crypto::kSealOverhead ||
      w.sealed_length > kRecordBodyMax + crypto::kSealOverhead ||
      w.extents_length > kRecordExtentsMax)
    return fail(Code::kCorrupt, "a record's header is malformed");
  RecordHeader header;
  header.journal = w.journal;
  header.incarnation = w.incarnation;
  header.slot_sequence = w.slot_sequence;
  header.seq = Seq(w.seq);
  header.part = w.part;
  header.parts = w.parts;
  header.previous_tag = w.previous_tag;
  header.durable_through = Seq(w.durable_through);
  header.sealed_length = w.sealed_length;
  header.extents_length = w.extents_length;
  return header;
}

Bytes encode_record_body(const RecordBody& body) {
  Bytes out;
  ByteWriter writer(out);
  writer.u64(body.disk_bytes);
  put_segments(writer, body.segments);
  put_extents(writer, body.extents);
  put_holes(writer, body.holes);
  put_runs(writer, body.runs);
  put_patches(writer, body.patches);
  segment::put_extensions(writer, body.extensions);
  CHECK(out.size() <= kRecordBodyMax);
#ifndef NDEBUG
  // The block size is not known here; the smallest bounds the most, but for patches of larger
  // blocks.
  const bool small = std::ranges::all_of(body.patches, [](const RecordPatch& p) {
    return p.offset + p.data.size() <= segment::kBlockSizeMin;
  });
  const auto decoded = decode_record_body(out, kRecordExtentsMax, segment::kBlockSizeMin);
  CHECK(!small || (decoded ? *decoded == body : is(decoded, Code::kUnsupported)));
#endif
  return out;
}

Result<RecordBody> decode_record_body(ByteView plain, std::uint32_t extents_length,
                                      std::uint32_t block_size) {
  if (plain.size() > kRecordBodyMax) return fail(Code::kCorrupt, "a record is too large");
  ByteReader reader(plain);
  RecordBody body;
  body.disk_bytes = reader.u64();
  body.segments = get_segments(reader);
  body.extents = get_extents(reader, extents_length);
  body.holes = get_holes(reader, segment::kDiskBytesMax / block_size);
  body.runs = get_runs(reader, body.extents.size(), block_size);
  body.patches = get_patches(reader, block_size);
  if (!reader.ok() || body.disk_bytes > segment::kDiskBytesMax || body.disk_bytes % block_size != 0)
    return fail(Code::kCorrupt, "a record is malformed");
  body.extensions = TRY(segment::get_extensions(reader, "a journal's record"));
  return body;
}

}  // namespace s3crate::journal
