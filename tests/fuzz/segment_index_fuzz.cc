// SPDX-License-Identifier: GPL-3.0-or-later
// Indexes of segments, plain.
#include "segment/segment.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace segment;

std::vector<Bytes> seeds() {
  SegmentIndex index;
  index.seq_first = Seq(1);
  index.seq_last = index.needs_seq = Seq(4);
  index.disk_bytes = 1 << 30;
  index.abandoned = {{Seq(2), Seq(2)}};
  index.extents = {{.number = 0, .offset = 72, .length = 100, .digest = {}},
                   {.number = 3, .offset = 172, .length = 70, .digest = {}}};
  index.runs = {{.block = BlockIndex(5), .count = 2, .extent = 3, .first = 0, .written = Seq(1)},
                {.block = BlockIndex(9), .count = 1, .extent = 0, .first = 1, .written = Seq(3)}};
  index.holes = {{.block = BlockIndex(7), .count = 100, .written = Seq(4)}};
  index.extensions = {{3, false, {1, 2}}};
  return {encode_segment_index(index)};
}

void run(ByteView input) {
  (void)decode_segment_index(input, kBlockSizeMax);
  check_decoder(
      input, [](ByteView b) { return decode_segment_index(b, kBlockSizeMin); }, encode_segment_index);
}

const Target target("segment_index", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
