// SPDX-License-Identifier: GPL-3.0-or-later
// Headers of map objects, and pages as they are stored in them.
#include "base/check.h"
#include "volume/codec.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kRingSize = 4;

Bytes page_additional(const MapObjectHeader& header, std::uint32_t offset, std::uint32_t length,
                      std::uint32_t ring) {
  Bytes out = encode_map_object_header(header);
  ByteWriter writer(out);
  writer.u32(offset);
  writer.u32(length);
  writer.u32(ring);
  return out;
}

}  // namespace

std::size_t map_object_header_size() { return sizeof(wire::MapObject); }

Bytes encode_map_object_header(const MapObjectHeader& header) {
  CHECK(segment::is_valid(header.id) && header.flags == 0);
  wire::MapObject w;
  w.flags = header.flags;
  w.vid = header.vid;
  w.id = header.id.value;
  const ByteView bytes = wire_bytes(w);
  return {bytes.begin(), bytes.end()};
}

Result<MapObjectHeader> decode_map_object_header(ByteView bytes) {
  ByteReader reader(bytes);
  const auto w = reader.wire<wire::MapObject>();
  if (!reader.done() || w.magic != wire::kMapMagic)
    return fail(Code::kCorrupt, "this is no map object");
  if (w.version != wire::kVersion || w.flags != 0)
    return fail(Code::kUnsupported,
                "a map object of version {} needs a newer version of this program",
                static_cast<std::uint16_t>(w.version));
  if (w.reserved != 0 || !segment::is_valid(ObjectId{w.id}))
    return fail(Code::kCorrupt, "a map object's header is malformed");
  return MapObjectHeader{w.vid, ObjectId{w.id}, w.flags};
}

PageRef seal_page(const MapObjectHeader& header, const ObjectNonce& nonce, std::uint32_t ring,
                  const Page& page, const crypto::SealingKey& page_key, Random& random,
                  Bytes& object) {
  CHECK(object.size() >= sizeof(wire::MapObject));
  const Bytes plain = encode_page(page);
  PageRef ref;
  ref.object = {0, header.id};
  ref.nonce = nonce;
  ref.offset = static_cast<std::uint32_t>(object.size());
  ref.length = static_cast<std::uint32_t>(kRingSize + plain.size() + crypto::kSealOverhead);
  CHECK(std::uint64_t{object.size()} + ref.length <= segment::kObjectBytesMax);
  ByteWriter(object).u32(ring);
  page_key.seal(random, plain, page_additional(header, ref.offset, ref.length, ring), object);
  const ByteView stored = ByteView(object).subspan(ref.offset);
  CHECK(stored.size() == ref.length);
  ref.hash = crypto::blake2b(stored);
#ifndef NDEBUG
  const auto opened = open_page(header, ref, stored, page_key.opening_key());
  CHECK(opened ? *opened == page : is(opened, Code::kUnsupported));
#endif
  return ref;
}

Result<std::uint32_t> sealed_page_ring(ByteView stored) {
  ByteReader reader(stored);
  const std::uint32_t ring = reader.u32();
  if (!reader.ok() || reader.rest().size() < crypto::kSealOverhead)
    return fail(Code::kCorrupt, "a stored page of {} bytes", stored.size());
  return ring;
}

Result<Page> open_page(const MapObjectHeader& header, const PageRef& ref, ByteView stored,
                       const crypto::OpeningKey& page_key) {
  CHECK(header.id == ref.object.id);
  if (stored.size() != ref.length || crypto::blake2b(stored) != ref.hash)
    return fail(Code::kCorrupt, "a page is not what its hash says");
  const std::uint32_t ring = TRY(sealed_page_ring(stored));
  Bytes plain;
  TRY(page_key.open(stored.subspan(kRingSize),
                    page_additional(header, ref.offset, ref.length, ring), plain));
  return decode_page(plain);
}

}  // namespace s3crate::volume
