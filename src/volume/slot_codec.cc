// SPDX-License-Identifier: GPL-3.0-or-later
// Key slots and the identities in them.
#include <algorithm>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kSealedSize = sizeof(wire::SlotSecrets) + crypto::kSealOverhead;

using Check = std::array<std::uint8_t, 16>;

Check check_of(const crypto::Secret& key, const Vid& vid, const Uuid& slot) {
  const crypto::Secret full = crypto::derive(key, "slot check", {vid, slot});
  Check check;
  std::ranges::copy(full.view().first(check.size()), check.begin());
  return check;
}

crypto::Secret seal_key(const crypto::Secret& key, const Vid& vid, const Uuid& slot) {
  return crypto::derive(key, "slot seal", {vid, slot});
}

// Wiped when it goes.
struct PlainSecrets {
  wire::SlotSecrets wire;
  PlainSecrets() = default;
  PlainSecrets(const PlainSecrets&) = delete;
  PlainSecrets& operator=(const PlainSecrets&) = delete;
  ~PlainSecrets() { crypto::wipe({reinterpret_cast<std::uint8_t*>(&wire), sizeof wire}); }
};

bool is_sound(const wire::Slot& w) {
  if (w.reserved != 0 || w.reserved2 != 0 || w.sealed_length != kSealedSize) return false;
  if (w.kind == static_cast<std::uint8_t>(SlotKind::passphrase))
    return crypto::is_valid(crypto::Argon2Cost{w.argon2_operations, w.argon2_memory_kib});
  return (w.kind == static_cast<std::uint8_t>(SlotKind::key_file) ||
          w.kind == static_cast<std::uint8_t>(SlotKind::public_slot)) &&
         w.argon2_operations == 0 && w.argon2_memory_kib == 0;
}

Bytes encode_plain(const SlotHeader& header) {
  Bytes extensions;
  ByteWriter extension_writer(extensions);
  segment::put_extensions(extension_writer, header.extensions);
  wire::Slot w;
  w.kind = static_cast<std::uint8_t>(header.kind);
  w.sealed_length = kSealedSize;
  w.vid = header.vid;
  w.slot = header.slot;
  w.identity = header.identity;
  w.check = header.check;
  if (header.kind == SlotKind::passphrase) {
    w.argon2_operations = header.cost.operations;
    w.argon2_memory_kib = header.cost.memory_kib;
  }
  w.extensions_length = static_cast<std::uint32_t>(extensions.size());
  CHECK(is_sound(w));
  Bytes out;
  ByteWriter writer(out);
  writer.wire(w);
  writer.raw(extensions);
  return out;
}

}  // namespace

Uuid Identity::id() const {
  const ByteView parts[] = {box.public_key, signer.verify_key()};
  const Hash hash = crypto::blake2b(parts);
  Uuid id;
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

Identity make_identity(Random& random) {
  return {crypto::box_key_pair(random), crypto::Signer(crypto::Secret(random))};
}

Bytes seal_slot(SlotHeader header, const crypto::Secret& key, const Identity& identity,
                const CommitRef& anchor, Random& random) {
  CHECK(header.identity == identity.id());
  header.check = check_of(key, header.vid, header.slot);
  Bytes out = encode_plain(header);
  const Bytes plain = out;
  PlainSecrets secrets;
  std::ranges::copy(identity.box.secret.view(), secrets.wire.box_secret.begin());
  std::ranges::copy(identity.signer.seed().view(), secrets.wire.sign_seed.begin());
  secrets.wire.vid = header.vid;
  secrets.wire.anchor_generation = anchor.generation.value;
  secrets.wire.anchor_hash = anchor.hash;
  crypto::SealingKey(seal_key(key, header.vid, header.slot))
      .seal(random, wire_bytes(secrets.wire), plain, out);
  CHECK(out.size() <= kSlotObjectMax);
#ifndef NDEBUG
  const auto opened = open_slot(out, key);
  CHECK(opened ? opened->identity.id() == header.identity && opened->anchor == anchor
               : is(opened, Code::kUnsupported));
#endif
  return out;
}

Result<SlotHeader> parse_slot(ByteView object) {
  ByteReader reader(object);
  const auto w = reader.wire<wire::Slot>();
  if (!reader.ok() || object.size() > kSlotObjectMax || w.magic != wire::kSlotMagic)
    return fail(Code::kCorrupt, "this is no key slot");
  if (w.version != wire::kVersion)
    return fail(Code::kUnsupported,
                "a key slot of version {} needs a newer version of this program",
                static_cast<std::uint16_t>(w.version));
  if (!is_sound(w) || object.size() != sizeof w + std::uint64_t{w.extensions_length} + kSealedSize)
    return fail(Code::kCorrupt, "the key slot is malformed");
  SlotHeader header;
  header.vid = w.vid;
  header.slot = w.slot;
  header.kind = SlotKind{w.kind};
  if (header.kind == SlotKind::passphrase) header.cost = {w.argon2_operations, w.argon2_memory_kib};
  header.identity = w.identity;
  header.check = w.check;
  ByteReader extensions(reader.raw(w.extensions_length));
  header.extensions = TRY(segment::get_extensions(extensions, "the key slot"));
  return header;
}

Result<UnlockedSlot> open_slot(ByteView object, const crypto::Secret& key) {
  const SlotHeader header = TRY(parse_slot(object));
  if (!crypto::same(header.check, check_of(key, header.vid, header.slot)))
    return fail(Code::kBadKey, "another key is needed for this slot");
  const ByteView sealed = object.last(kSealedSize);
  Bytes plain;
  plain.reserve(sizeof(wire::SlotSecrets));
  TRY(crypto::OpeningKey(seal_key(key, header.vid, header.slot))
          .open(sealed, object.first(object.size() - kSealedSize), plain));
  PlainSecrets secrets;
  secrets.wire = ByteReader(plain).wire<wire::SlotSecrets>();
  crypto::wipe(plain);
  UnlockedSlot out;
  out.identity.box.secret = crypto::Secret::copy_of(secrets.wire.box_secret);
  out.identity.box.public_key = crypto::box_public_key(out.identity.box.secret);
  out.identity.signer = crypto::Signer(crypto::Secret::copy_of(secrets.wire.sign_seed));
  out.anchor = {Generation(secrets.wire.anchor_generation), secrets.wire.anchor_hash};
  if (secrets.wire.vid != header.vid || out.identity.id() != header.identity ||
      out.anchor.generation.value > kNumberMax)
    return fail(Code::kCorrupt, "the key slot holds something else than it says");
  return out;
}

}  // namespace s3crate::volume
