// SPDX-License-Identifier: GPL-3.0-or-later
// Grants: what an identity is given, in a box to its X25519 key.
#include <algorithm>

#include "base/check.h"
#include "volume/codec.h"
#include "volume/volume_object.h"
#include "volume/wire_format.h"

namespace s3crate::volume {
namespace {

// 0 for what is no role.
std::uint8_t allowed(std::uint8_t role) {
  using namespace wire;
  switch (Role{role}) {
    case Role::owner: return kGivesMetadata | kGivesData | kGivesFingerprint | kGivesAdmin;
    case Role::writer: return kGivesMetadata | kGivesData | kGivesFingerprint;
    case Role::reader:
    case Role::public_reader: return kGivesMetadata | kGivesData;
    case Role::blind: return kGivesMetadata | kGivesFingerprint;
    case Role::maintainer: return kGivesMetadata;
  }
  return 0;
}

std::uint8_t given_by(const GrantSecrets& s) {
  return static_cast<std::uint8_t>((s.metadata_key.empty() ? 0 : wire::kGivesMetadata) |
                                   (s.data_secret.empty() ? 0 : wire::kGivesData) |
                                   (s.fingerprint_key.empty() ? 0 : wire::kGivesFingerprint) |
                                   (s.admin_seed.empty() ? 0 : wire::kGivesAdmin));
}

bool is_sound(const wire::GrantHead& w) {
  return w.reserved == 0 && w.reserved2 == 0 && (w.given & ~allowed(w.role)) == 0 &&
         (w.given & wire::kGivesMetadata) != 0 &&
         (w.capabilities & ~wire::kKnownCapabilities) == 0 && w.anchor_generation <= kNumberMax;
}

crypto::Secret take_secret(ByteReader& reader, std::uint8_t given, std::uint8_t which) {
  if ((given & which) == 0) return {};
  const ByteView bytes = reader.raw(crypto::kSecretSize);
  return reader.ok() ? crypto::Secret::copy_of(bytes) : crypto::Secret();
}

Result<GrantSecrets> decode_grant(ByteView plain) {
  ByteReader reader(plain);
  const auto w = reader.wire<wire::GrantHead>();
  if (!reader.ok() || !is_sound(w)) return fail(Code::kCorrupt, "a grant is malformed");
  GrantSecrets out;
  out.vid = w.vid;
  out.role = Role{w.role};
  out.capabilities = w.capabilities;
  out.ring = w.ring;
  out.anchor = {Generation(w.anchor_generation), w.anchor_hash};
  out.metadata_key = take_secret(reader, w.given, wire::kGivesMetadata);
  out.data_secret = take_secret(reader, w.given, wire::kGivesData);
  out.fingerprint_key = take_secret(reader, w.given, wire::kGivesFingerprint);
  out.admin_seed = take_secret(reader, w.given, wire::kGivesAdmin);
  out.extensions = TRY(segment::get_extensions(reader, "a grant"));
  return out;
}

}  // namespace

Bytes seal_grant(const GrantSecrets& secrets, const crypto::PublicKey& to, Random& random) {
  wire::GrantHead w;
  w.vid = secrets.vid;
  w.role = static_cast<std::uint8_t>(secrets.role);
  w.given = given_by(secrets);
  w.capabilities = secrets.capabilities;
  w.ring = secrets.ring;
  w.anchor_generation = secrets.anchor.generation.value;
  w.anchor_hash = secrets.anchor.hash;
  CHECK(is_sound(w));
  Bytes extensions;
  ByteWriter extension_writer(extensions);
  segment::put_extensions(extension_writer, secrets.extensions);
  Bytes plain;
  // So that it never moves and leaves secrets behind.
  plain.reserve(sizeof w + 4 * crypto::kSecretSize + extensions.size());
  ByteWriter writer(plain);
  writer.wire(w);
  writer.raw(secrets.metadata_key.view());
  writer.raw(secrets.data_secret.view());
  writer.raw(secrets.fingerprint_key.view());
  writer.raw(secrets.admin_seed.view());
  writer.raw(extensions);
#ifndef NDEBUG
  const auto decoded = decode_grant(plain);
  CHECK(decoded ? given_by(*decoded) == w.given : is(decoded, Code::kUnsupported));
#endif
  Bytes out = crypto::box_seal(random, to, plain);
  crypto::wipe(plain);
  return out;
}

Result<GrantSecrets> open_grant(ByteView sealed, const crypto::Secret& box_secret) {
  Bytes plain;
  plain.reserve(sealed.size());
  TRY(crypto::box_open(box_secret, sealed, plain));
  auto out = decode_grant(plain);
  crypto::wipe(plain);
  return out;
}

}  // namespace s3crate::volume
