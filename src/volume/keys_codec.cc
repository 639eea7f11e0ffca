// SPDX-License-Identifier: GPL-3.0-or-later
// The plain part of a keys commit.
#include "base/check.h"
#include "volume/codec.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kListMax = 4096;
constexpr std::size_t kGrantBytesMin = sizeof(wire::GrantHead) + crypto::kBoxOverhead;
constexpr std::size_t kGrantBytesMax = 8192;
constexpr std::size_t kGrantSizeMin = sizeof(Uuid) + sizeof(crypto::PublicKey) + 2 + kGrantBytesMin;
constexpr std::size_t kSealedPairBytes =
    sizeof(crypto::PublicKey) + 2 * wire::kSealedSecretBytes;

template <typename Ring>  // OlderRing or OriginKeys
void put_ring_keys(ByteWriter& writer, const Ring& ring) {
  CHECK(ring.sealed_metadata_key.size() == wire::kSealedSecretBytes &&
        ring.sealed_data_secret.size() == wire::kSealedSecretBytes);
  writer.u32(ring.ring);
  writer.raw(ring.data_key);
  writer.raw(ring.sealed_metadata_key);
  writer.raw(ring.sealed_data_secret);
}

template <typename Ring>
void get_ring_keys(ByteReader& reader, Ring& ring) {
  ring.ring = reader.u32();
  ring.data_key = reader.array<sizeof(crypto::PublicKey)>();
  const ByteView metadata_key = reader.raw(wire::kSealedSecretBytes);
  ring.sealed_metadata_key.assign(metadata_key.begin(), metadata_key.end());
  const ByteView data_secret = reader.raw(wire::kSealedSecretBytes);
  ring.sealed_data_secret.assign(data_secret.begin(), data_secret.end());
}

std::vector<Writer> get_writers(ByteReader& reader) {
  std::vector<Writer> list(get_count(reader, sizeof(wire::KeysWriter), kListMax));
  for (Writer& writer : list) {
    const auto w = reader.wire<wire::KeysWriter>();
    writer = {w.verify_key, w.identity, w.capabilities, Generation(w.from)};
    if ((w.capabilities & ~wire::kKnownCapabilities) != 0 || w.from < 1 || w.from > kNumberMax)
      reader.fail();
  }
  return list;
}

std::vector<Grant> get_grants(ByteReader& reader) {
  std::vector<Grant> list(get_count(reader, kGrantSizeMin, kListMax));
  for (Grant& grant : list) {
    grant.identity = reader.array<sizeof(Uuid)>();
    grant.box_key = reader.array<sizeof(crypto::PublicKey)>();
    const std::uint8_t role = reader.u8();
    grant.role = Role{role};
    const ByteView sealed = get_bytes(reader, kGrantBytesMax);
    grant.sealed.assign(sealed.begin(), sealed.end());
    if (role < static_cast<std::uint8_t>(Role::owner) ||
        role > static_cast<std::uint8_t>(Role::public_reader) || sealed.size() < kGrantBytesMin)
      reader.fail();
    if (!reader.ok()) return {};
  }
  return list;
}

std::vector<OlderRing> get_older(ByteReader& reader) {
  std::vector<OlderRing> list(get_count(reader, 4 + kSealedPairBytes, kListMax));
  for (std::size_t i = 0; i < list.size(); ++i) {
    get_ring_keys(reader, list[i]);
    if (i > 0 && list[i].ring >= list[i - 1].ring) reader.fail();
    if (!reader.ok()) return {};
  }
  return list;
}

std::vector<OriginKeys> get_origins(ByteReader& reader) {
  std::vector<OriginKeys> list(get_count(reader, 6 + kSealedPairBytes, kOriginsMax));
  std::uint16_t previous = 0;
  for (OriginKeys& keys : list) {
    keys.origin = reader.u16();
    get_ring_keys(reader, keys);
    if (keys.origin <= previous || keys.origin > kOriginsMax) reader.fail();
    if (!reader.ok()) return {};
    previous = keys.origin;
  }
  return list;
}

}  // namespace

Bytes encode_keys_part(const KeysPart& keys) {
  Bytes out;
  ByteWriter writer(out);
  wire::KeysHead head;
  head.next_admin = keys.next_admin;
  head.data_key = keys.data_key;
  head.previous_keys = keys.previous_keys.value;
  writer.wire(head);
  writer.varint(keys.writers.size());
  for (const Writer& w : keys.writers)
    writer.wire(wire::KeysWriter{w.verify_key, w.identity, w.capabilities, w.from.value});
  writer.varint(keys.revoked.size());
  for (const Uuid& identity : keys.revoked) writer.raw(identity);
  writer.varint(keys.grants.size());
  for (const Grant& grant : keys.grants) {
    writer.raw(grant.identity);
    writer.raw(grant.box_key);
    writer.u8(static_cast<std::uint8_t>(grant.role));
    put_bytes(writer, grant.sealed);
  }
  writer.varint(keys.older.size());
  for (const OlderRing& ring : keys.older) put_ring_keys(writer, ring);
  writer.varint(keys.origins.size());
  for (const OriginKeys& origin : keys.origins) {
    writer.u16(origin.origin);
    put_ring_keys(writer, origin);
  }
  segment::put_extensions(writer, keys.extensions);
#ifndef NDEBUG
  const auto decoded = decode_keys_part(out);
  CHECK(decoded ? *decoded == keys : is(decoded, Code::kUnsupported));
#endif
  return out;
}

Result<KeysPart> decode_keys_part(ByteView plain) {
  ByteReader reader(plain);
  const auto head = reader.wire<wire::KeysHead>();
  KeysPart keys;
  keys.next_admin = head.next_admin;
  keys.data_key = head.data_key;
  keys.previous_keys = Generation(head.previous_keys);
  keys.writers = get_writers(reader);
  keys.revoked.resize(get_count(reader, sizeof(Uuid), kListMax));
  for (Uuid& identity : keys.revoked) identity = reader.array<sizeof(Uuid)>();
  keys.grants = get_grants(reader);
  keys.older = get_older(reader);
  keys.origins = get_origins(reader);
  if (!reader.ok() || head.previous_keys > kNumberMax)
    return fail(Code::kCorrupt, "the plain part of a keys commit is malformed");
  keys.extensions = TRY(segment::get_extensions(reader, "the plain part of a keys commit"));
  return keys;
}

}  // namespace s3crate::volume
