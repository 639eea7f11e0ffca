// SPDX-License-Identifier: GPL-3.0-or-later
// Extents: an input is what is to be sealed: the head, and data compressed or not.
#include "segment/extent.h"
#include "segment/wire_format.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace segment;

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (int level : {1, 9}) {
    Bytes raw(kBlockSizeMin);
    for (std::size_t i = 0; i < raw.size(); ++i) raw[i] = static_cast<std::uint8_t>(i / 100);
    Bytes packed;
    wire::ExtentHead head;
    head.codec = static_cast<std::uint8_t>(compress::compress(raw, level, packed));
    head.blocks = 1;
    head.raw_length = kBlockSizeMin;
    out.push_back(to_bytes(wire_bytes(head)));
    append(out.back(), packed);
  }
  return out;
}

void run(ByteView input) {
  const Bytes stored = sealed(input, wire_bytes(Le32(7)));
  for (std::uint32_t block_size : {kBlockSizeMin, kBlockSizeMax}) {
    const auto raw = open_extent(sealing_key().opening_key(), 7, crypto::digest(stored), stored, block_size);
    if (raw) CHECK(!raw->empty() && raw->size() <= kExtentBytesMax && raw->size() % block_size == 0);
    else CHECK(is_refusal(raw.error()) || (raw.error().code() == Code::kLost && input[0] == wire::kLostCodec));
  }
}

const Target target("extent", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
