// SPDX-License-Identifier: GPL-3.0-or-later
// The ends of segments: an input is the index's offset and the index that is to be sealed.
#include "segment/segment.h"
#include "segment/wire_format.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace segment;

std::vector<Bytes> seeds() {
  SegmentIndex index;
  index.seq_first = index.seq_last = index.needs_seq = Seq(1);
  index.disk_bytes = 1 << 30;
  index.extents = {{.number = 0, .offset = 72, .length = 100, .digest = {}}};
  return {joined(wire_bytes(Le64(172)), encode_segment_index(index))};
}

void run(ByteView input) {
  ByteReader reader(input);
  wire::Footer footer;
  footer.index_offset = reader.u64();
  footer.index_length = static_cast<std::uint32_t>(reader.rest().size() + crypto::kSealOverhead);
  const SegmentHeader header{{}, ObjectId::of(1, 1), 0, Generation(1), 0, 0};
  const Bytes head = encode_segment_header(header);
  const Bytes index = sealed(
      reader.rest(), joined(head, wire_bytes(footer).first(sizeof(Le64) + sizeof(Le32))));
  const ByteView parts[] = {head, index, wire_bytes(footer).first(wire::kFooterSignedBytes)};
  footer.signature = signer().sign("segment", parts);
  const auto opened = open_segment_index(
      header, index, wire_bytes(footer), footer.index_offset + index.size() + sizeof footer,
      signer().verify_key(), sealing_key().opening_key(), kBlockSizeMin);
  if (!opened) return CHECK(is_refusal(opened.error()));
  for (const IndexedExtent& e : opened->extents)
    CHECK(e.offset >= head.size() && std::uint64_t{e.offset} + e.length <= footer.index_offset);
}

const Target target("segment_end", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
