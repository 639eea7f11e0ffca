// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/key_ring.h"

#include <algorithm>

namespace s3crate::volume {

using crypto::OpeningKey;
using crypto::SealingKey;
using crypto::Secret;

Result<> KeyRing::add_ring(std::uint32_t number, Secret metadata, Secret data) {
  Ring ring;
  auto opening = [&](std::string_view purpose) {
    return std::make_shared<const OpeningKey>(crypto::derive(metadata, purpose, {vid_}));
  };
  ring.commit = opening("commit");
  ring.index = opening("segment index");
  ring.page = opening("map page");
  ring.cache = opening("cache table");
  ring.metadata = std::move(metadata);
  ring.data = std::move(data);
  rings_.emplace(number, std::move(ring));
  return {};
}

Result<std::shared_ptr<const KeyRing>> KeyRing::make(const VolumeObject& volume, const Vid& vid, Generation keys_generation,
                                                     const KeysPart& keys, const GrantSecrets& grant,
                                                     const Identity& identity) {
  if (grant.vid != vid) return fail(Code::kCorrupt, "the grant is of another volume");
  std::shared_ptr<KeyRing> out(new KeyRing);
  out->vid_ = vid;
  out->origins_ = volume.origins;
  out->keys_generation_ = keys_generation;
  out->ring_ = grant.ring;
  out->role_ = grant.role;
  out->data_key_ = keys.data_key;
  out->next_admin_ = keys.next_admin;
  out->writers_ = keys.writers;
  if (!grant.data_secret.empty() && crypto::box_public_key(grant.data_secret) != keys.data_key)
    return fail(Code::kCorrupt, "the grant's data key is not the one that the keys commit names");
  for (std::size_t i = 0; i < keys.writers.size(); ++i) {
    if (keys.writers[i].verify_key != identity.signer.verify_key()) continue;
    out->writer_ = static_cast<std::uint32_t>(i);
    out->signer_.emplace(identity.signer.seed().clone());
  }
  if (!grant.admin_seed.empty()) out->admin_.emplace(grant.admin_seed.clone());

  const Secret& mk = grant.metadata_key;
  out->commit_sealing_.emplace(crypto::derive(mk, "commit", {vid}));
  out->index_sealing_.emplace(crypto::derive(mk, "segment index", {vid}));
  out->page_sealing_.emplace(crypto::derive(mk, "map page", {vid}));
  out->cache_sealing_.emplace(crypto::derive(mk, "cache table", {vid}));
  TRY(out->add_ring(grant.ring, mk.clone(), grant.data_secret.clone()));

  // Newest first: each ring opens the one before it.
  std::vector<OlderRing> older = keys.older;
  std::ranges::sort(older, std::ranges::greater{}, &OlderRing::ring);
  for (const OlderRing& ring : older) {
    auto newer = out->rings_.find(ring.ring + 1);
    if (newer == out->rings_.end()) return fail(Code::kCorrupt, "the rings have a gap before {}", ring.ring);
    Bytes context = Bytes(vid.begin(), vid.end());
    ByteWriter(context).u32(ring.ring);
    auto open = [&](const Secret& key, std::string_view purpose, ByteView sealed) -> Result<Secret> {
      Bytes plain;
      TRY(OpeningKey(crypto::derive(key, purpose, {vid})).open(sealed, context, plain));
      if (plain.size() != crypto::kSecretSize) return fail(Code::kCorrupt, "an older key has the wrong length");
      Secret secret = Secret::copy_of(plain);
      crypto::wipe(plain);
      return secret;
    };
    Secret metadata = TRY(open(newer->second.metadata, "older metadata key", ring.sealed_metadata_key));
    Secret data;
    if (!newer->second.data.empty()) data = TRY(open(newer->second.data, "older data key", ring.sealed_data_secret));
    TRY(out->add_ring(ring.ring, std::move(metadata), std::move(data)));
  }
  return std::shared_ptr<const KeyRing>(std::move(out));
}

bool KeyRing::reads_data() const { return !rings_.at(ring_).data.empty(); }

const crypto::Signer* KeyRing::signer() const { return signer_ ? &*signer_ : nullptr; }

bool KeyRing::may_sign(CommitKind kind) const {
  return writer_ < writers_.size() && volume::may_sign(writers_[writer_].capabilities, kind);
}

Result<crypto::VerifyKey> KeyRing::writer_key(std::uint32_t writer) const {
  if (writer == kAdminWriter) return next_admin_;
  if (writer >= writers_.size()) return fail(Code::kCorrupt, "writer {} of {}", writer, writers_.size());
  return writers_[writer].verify_key;
}

Result<> KeyRing::check_capability(std::uint32_t writer, CommitKind kind, bool has_voids) const {
  if (writer == kAdminWriter) return {};
  bool admin_only = has_voids || kind == CommitKind::keys || kind == CommitKind::stores || kind == CommitKind::config;
  if (!admin_only && writer < writers_.size() && volume::may_sign(writers_[writer].capabilities, kind)) return {};
  return fail(Code::kCorrupt, "writer {} may not sign a commit of kind {}", writer, kind_name(kind));
}

Result<crypto::VerifyKey> KeyRing::segment_signer(std::uint32_t writer) const {
  if (writer >= writers_.size() || (writers_[writer].capabilities & kAppend) == 0)
    return fail(Code::kCorrupt, "writer {} may not sign segments", writer);
  return writers_[writer].verify_key;
}

Result<const KeyRing::Ring*> KeyRing::find(std::uint32_t ring) const {
  auto it = rings_.find(ring);
  if (it == rings_.end()) return fail(Code::kBadKey, "no key for ring {} (this identity was granted ring {})", ring, ring_);
  return &it->second;
}

Result<std::shared_ptr<const OpeningKey>> KeyRing::commit_opening_key(std::uint32_t ring) const {
  return TRY(find(ring))->commit;
}

Result<std::shared_ptr<const OpeningKey>> KeyRing::index_opening_key(std::uint32_t ring) const {
  return TRY(find(ring))->index;
}

Result<std::shared_ptr<const OpeningKey>> KeyRing::cache_opening_key(std::uint32_t ring) const {
  return TRY(find(ring))->cache;
}

Result<std::shared_ptr<const OpeningKey>> KeyRing::page_opening_key(std::uint16_t origin, std::uint32_t ring) const {
  if (origin != 0) return fail(Code::kUnsupported, "pages of an origin volume need a newer version of this program");
  return TRY(find(ring))->page;
}

Result<Vid> KeyRing::origin_vid(std::uint16_t origin) const {
  if (origin == 0) return vid_;
  if (origin > origins_.size()) return fail(Code::kCorrupt, "origin {} of {}", origin, origins_.size());
  return origins_[origin - 1].vid;
}

Result<Secret> KeyRing::open_data_box(std::uint32_t ring, ByteView sealed) const {
  const Ring* keys = TRY(find(ring));
  if (keys->data.empty()) return fail(Code::kBadKey, "this identity may not read data");
  Bytes plain;
  TRY(crypto::box_open(keys->data, sealed, plain));
  if (plain.size() != crypto::kSecretSize) return fail(Code::kCorrupt, "a sealed secret has the wrong length");
  Secret secret = Secret::copy_of(plain);
  crypto::wipe(plain);
  return secret;
}

std::array<std::uint8_t, 16> KeyRing::home(const std::vector<std::string>& parts) const {
  Bytes joined;
  ByteWriter writer(joined);
  for (const std::string& part : parts) writer.bytes32(as_bytes(part));
  Secret full = crypto::derive(rings_.at(ring_).metadata, "home", {joined});
  std::array<std::uint8_t, 16> out;
  std::memcpy(out.data(), full.view().data(), out.size());
  return out;
}

}  // namespace s3crate::volume
