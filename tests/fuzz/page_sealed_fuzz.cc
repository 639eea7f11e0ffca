// SPDX-License-Identifier: GPL-3.0-or-later
// Pages as they are stored: an input is the ring and the page that is to be sealed.
#include "tests/fuzz/fuzz.h"
#include "volume/page.h"

namespace s3crate::fuzz {
namespace {

using namespace volume;

Result<Page> open(ByteView stored) {
  const MapObjectHeader header{{}, ObjectId::of(1, 1), 0};
  PageRef ref{{0, header.id}, {}, static_cast<std::uint32_t>(map_object_header_size()), 0, {}};
  ref.length = static_cast<std::uint32_t>(stored.size());
  ref.hash = crypto::blake2b(stored);
  return open_page(header, ref, stored, sealing_key().opening_key());
}

std::vector<Bytes> seeds() { return {joined(Bytes(sizeof(Le32)), encode_page({}))}; }

void run(ByteView input) {
  const auto unsealed = open(input);
  CHECK(!unsealed && is_refusal(unsealed.error()));
  if (input.size() < sizeof(Le32)) return;
  const ByteView ring = input.first(sizeof(Le32)), plain = input.subspan(sizeof(Le32));
  const std::size_t length = input.size() + crypto::kSealOverhead;
  Bytes additional = encode_map_object_header({{}, ObjectId::of(1, 1), 0});
  append(additional, wire_bytes(Le32(static_cast<std::uint32_t>(map_object_header_size()))));
  append(additional, wire_bytes(Le32(static_cast<std::uint32_t>(length))));
  append(additional, ring);
  const auto page = open(joined(ring, sealed(plain, additional)));
  if (page) CHECK(equal(encode_page(*page), plain));
  else CHECK(is_refusal(page.error()));
}

const Target target("page_sealed", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
