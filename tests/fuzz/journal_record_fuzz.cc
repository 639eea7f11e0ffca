// SPDX-License-Identifier: GPL-3.0-or-later
// Records of the journal: headers, and the bodies that are sealed.
#include "journal/format.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace journal;

constexpr std::uint32_t kExtents = 1 << 20;
constexpr std::uint32_t kBlock = 4096;

std::vector<Bytes> seeds() {
  RecordHeader header;
  header.seq = Seq(2);
  header.durable_through = Seq(1);
  header.sealed_length = 100;
  RecordBody body;
  body.disk_bytes = 1 << 30;
  body.segments = {{.ordinal = 1, .ring = 0, .sealed_secret = {}}};
  body.extents = {{.segment = 1, .number = 0, .offset = 0, .length = 4144, .digest = {}}};
  body.holes = {{.block = BlockIndex(9), .count = 100}};
  body.runs = {{.block = BlockIndex(5), .count = 2, .extent = 0, .first = 0}};
  body.patches = {{.block = BlockIndex(7), .offset = 4000, .data = Bytes(96, 1)}};
  body.extensions = {{3, false, {1, 2}}};
  return {choice(0, encode_record_header(header)), choice(1, encode_record_body(body))};
}

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView bytes = input.subspan(1);
  if (input[0] % 2 == 0) return check_decoder(bytes, decode_record_header, encode_record_header);
  check_decoder(
      bytes, [](ByteView b) { return decode_record_body(b, kExtents, kBlock); }, encode_record_body);
}

const Target target("journal_record", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
