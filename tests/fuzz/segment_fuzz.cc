// SPDX-License-Identifier: GPL-3.0-or-later
// Headers and footers of segments.
#include "segment/segment.h"
#include "segment/wire_format.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace segment;

std::vector<Bytes> seeds() {
  const SegmentHeader header{{}, ObjectId::of(1, 1), 0, Generation(1), 0, 0};
  wire::Footer footer;
  footer.index_offset = 1000 - sizeof footer - 100;
  footer.index_length = 100;
  return {choice(0, encode_segment_header(header)), choice(1, wire_bytes(footer))};
}

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView bytes = input.subspan(1);
  if (input[0] % 2 == 0) return check_decoder(bytes, decode_segment_header, encode_segment_header);
  for (std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1000}, kObjectBytesMax, ~std::uint64_t{0}}) {
    const auto tail = decode_segment_footer(bytes, length);
    if (tail) CHECK(tail->index_offset + tail->index_length + segment_footer_size() == length);
    else CHECK(is_refusal(tail.error()));
  }
}

const Target target("segment", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
