// SPDX-License-Identifier: GPL-3.0-or-later
// Headers and footers of segments, and the seal and signature of their indexes.
#include "base/check.h"
#include "segment/codec.h"
#include "segment/segment.h"
#include "segment/wire_format.h"

namespace s3crate::segment {
namespace {

constexpr std::string_view kSignatureType = "segment";

Bytes index_additional(ByteView header, std::uint64_t offset, std::uint32_t length) {
  Bytes out(header.begin(), header.end());
  ByteWriter writer(out);
  writer.u64(offset);
  writer.u32(length);
  return out;
}

bool all_within(const std::vector<IndexedExtent>& extents, std::uint64_t index_offset) {
  // Ascending, without overlaps: the first and the last stand for all.
  return extents.empty() ||
         (extents.front().offset >= segment_header_size() &&
          std::uint64_t{extents.back().offset} + extents.back().length <= index_offset);
}

}  // namespace

std::size_t segment_header_size() { return sizeof(wire::Header); }
std::size_t segment_footer_size() { return sizeof(wire::Footer); }

Bytes encode_segment_header(const SegmentHeader& header) {
  CHECK(is_valid(header.id) && header.flags == 0);
  wire::Header w;
  w.flags = header.flags;
  w.vid = header.vid;
  w.id = header.id.value;
  w.keys_generation = header.keys_generation.value;
  w.ring = header.ring;
  w.writer = header.writer;
  const ByteView bytes = wire_bytes(w);
  return {bytes.begin(), bytes.end()};
}

Result<SegmentHeader> decode_segment_header(ByteView bytes) {
  ByteReader reader(bytes);
  const auto w = reader.wire<wire::Header>();
  if (!reader.done() || w.magic != wire::kHeaderMagic)
    return fail(Code::kCorrupt, "this is no segment");
  if (w.version != wire::kVersion || w.flags != 0)
    return fail(Code::kUnsupported, "a segment of version {} needs a newer version of this program",
                static_cast<std::uint16_t>(w.version));
  SegmentHeader header;
  header.vid = w.vid;
  header.id = ObjectId{w.id};
  header.keys_generation = Generation(w.keys_generation);
  header.ring = w.ring;
  header.writer = w.writer;
  header.flags = w.flags;
  if (w.reserved != 0 || !is_valid(header.id) || header.keys_generation == Generation(0) ||
      header.keys_generation.value > kNumberMax)
    return fail(Code::kCorrupt, "a segment's header is malformed");
  return header;
}

FinishedSegment finish_segment(const SegmentHeader& header, std::uint64_t extents_end,
                               const SegmentIndex& index, const crypto::SealingKey& index_key,
                               const crypto::Signer& signer, Random& random) {
  CHECK(extents_end >= segment_header_size() && all_within(index.extents, extents_end));
  const Bytes header_bytes = encode_segment_header(header);
  const Bytes plain = encode_segment_index(index);
  FinishedSegment out;
  out.index_offset = extents_end;
  out.index_length = static_cast<std::uint32_t>(plain.size() + crypto::kSealOverhead);
  CHECK(out.index_length <= kIndexBytesMax);
  index_key.seal(random, plain, index_additional(header_bytes, out.index_offset, out.index_length),
                 out.tail);
  out.index_hash = crypto::blake2b(out.tail);

  wire::Footer footer;
  footer.index_offset = out.index_offset;
  footer.index_length = out.index_length;
  const ByteView parts[] = {header_bytes, out.tail,
                            wire_bytes(footer).first(wire::kFooterSignedBytes)};
  footer.signature = signer.sign(kSignatureType, parts);
  append(out.tail, wire_bytes(footer));
  CHECK(extents_end + out.tail.size() <= kObjectBytesMax);
#ifndef NDEBUG
  const auto opened = open_segment_index(header, ByteView(out.tail).first(out.index_length),
                                         ByteView(out.tail).subspan(out.index_length),
                                         extents_end + out.tail.size(), signer.verify_key(),
                                         index_key.opening_key(), kBlockSizeMin);
  CHECK(opened ? *opened == index : is(opened, Code::kUnsupported));
#endif
  return out;
}

Result<SegmentTail> decode_segment_footer(ByteView footer, std::uint64_t object_length) {
  ByteReader reader(footer);
  const auto w = reader.wire<wire::Footer>();
  if (!reader.done() || w.magic != wire::kFooterMagic)
    return fail(Code::kCorrupt, "a segment without its footer: it is truncated or damaged");
  const SegmentTail tail{w.index_offset, w.index_length};
  if (w.reserved != 0 || object_length > kObjectBytesMax ||
      tail.index_offset < segment_header_size() || tail.index_offset > object_length ||
      tail.index_length < crypto::kSealOverhead || tail.index_length > kIndexBytesMax ||
      tail.index_offset + tail.index_length + sizeof w != object_length)
    return fail(Code::kCorrupt, "a segment's footer is malformed, or the segment truncated");
  return tail;
}

Result<SegmentIndex> open_segment_index(const SegmentHeader& header, ByteView sealed_index,
                                        ByteView footer, std::uint64_t object_length,
                                        const crypto::VerifyKey& writer_key,
                                        const crypto::OpeningKey& index_key,
                                        std::uint32_t block_size) {
  const SegmentTail tail = TRY(decode_segment_footer(footer, object_length));
  if (sealed_index.size() != tail.index_length)
    return fail(Code::kCorrupt, "a segment's index has the wrong length");
  const Bytes header_bytes = encode_segment_header(header);
  const ByteView parts[] = {header_bytes, sealed_index, footer.first(wire::kFooterSignedBytes)};
  crypto::Signature signature;
  std::ranges::copy(footer.subspan(wire::kFooterSignedBytes, signature.size()), signature.begin());
  TRY(crypto::verify(writer_key, kSignatureType, parts, signature));
  Bytes plain;
  TRY(index_key.open(sealed_index,
                     index_additional(header_bytes, tail.index_offset, tail.index_length), plain));
  SegmentIndex index = TRY(decode_segment_index(plain, block_size));
  if (!all_within(index.extents, tail.index_offset))
    return fail(Code::kCorrupt, "a segment's index names extents outside of it");
  return index;
}

}  // namespace s3crate::segment
