// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/key_ring.h"

#include <algorithm>

#include "segment/extent.h"

namespace s3crate::volume {

using crypto::OpeningKey;
using crypto::SealingKey;
using crypto::Secret;

namespace {

constexpr std::string_view kOlderMetadataKey = "older metadata key", kOlderDataKey = "older data key";

// The additional data of a key that is sealed under a newer one: whose it is.
Bytes older_additional(const Vid& vid, std::uint32_t ring) {
  Bytes out(vid.begin(), vid.end());
  ByteWriter(out).u32(ring);
  return out;
}

Result<Secret> open_older(const Secret& key, std::string_view purpose, const Vid& volume, ByteView additional, ByteView sealed) {
  Bytes plain;
  TRY(OpeningKey(crypto::derive(key, purpose, {volume})).open(sealed, additional, plain));
  if (plain.size() != crypto::kSecretSize) return fail(Code::kCorrupt, "an older key has the wrong length");
  Secret secret = Secret::copy_of(plain);
  crypto::wipe(plain);
  return secret;
}

Bytes seal_older(const Secret& key, std::string_view purpose, const Vid& volume, ByteView additional, const Secret& secret,
                 Random& random) {
  Bytes out;
  SealingKey(crypto::derive(key, purpose, {volume})).seal(random, secret.view(), additional, out);
  return out;
}

}  // namespace

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
                                                     const KeysPart& keys, std::span<const OriginKeys> origins,
                                                     const GrantSecrets& grant, const Identity& identity) {
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
  if (!grant.fingerprint_key.empty()) out->fingerprint_ = grant.fingerprint_key.clone();

  const Secret& mk = grant.metadata_key;
  out->commit_sealing_.emplace(crypto::derive(mk, "commit", {vid}));
  out->index_sealing_.emplace(crypto::derive(mk, "segment index", {vid}));
  out->page_sealing_.emplace(crypto::derive(mk, "map page", {vid}));
  out->cache_sealing_.emplace(crypto::derive(mk, "cache table", {vid}));
  TRY(out->add_ring(grant.ring, mk.clone(), grant.data_secret.empty() ? Secret() : grant.data_secret.clone()));

  // Newest first: each ring opens the one before it.
  std::vector<OlderRing> older = keys.older;
  std::ranges::sort(older, std::ranges::greater{}, &OlderRing::ring);
  for (const OlderRing& ring : older) {
    auto newer = out->rings_.find(ring.ring + 1);
    if (newer == out->rings_.end()) return fail(Code::kCorrupt, "the rings have a gap before {}", ring.ring);
    const Bytes additional = older_additional(vid, ring.ring);
    Secret metadata = TRY(open_older(newer->second.metadata, kOlderMetadataKey, vid, additional, ring.sealed_metadata_key));
    Secret data;
    if (!newer->second.data.empty())
      data = TRY(open_older(newer->second.data, kOlderDataKey, vid, additional, ring.sealed_data_secret));
    TRY(out->add_ring(ring.ring, std::move(metadata), std::move(data)));
  }
  for (const OriginKeys& origin : origins) TRY(out->add_origin(origin));
  return std::shared_ptr<const KeyRing>(std::move(out));
}

// They are sealed under the fork's first ring.
Result<> KeyRing::add_origin(const OriginKeys& keys) {
  const Vid vid = TRY(origin_vid(keys.origin));
  const auto first = rings_.find(1);
  if (first == rings_.end()) return fail(Code::kCorrupt, "the ring that opens the keys of origin {} is missing", keys.origin);
  const Bytes additional = older_additional(vid, keys.ring);
  OriginRing& out = origin_rings_[keys.origin];
  out.number = keys.ring;
  out.keys.metadata = TRY(open_older(first->second.metadata, kOlderMetadataKey, vid_, additional, keys.sealed_metadata_key));
  out.keys.page = std::make_shared<const OpeningKey>(crypto::derive(out.keys.metadata, "map page", {vid}));
  if (first->second.data.empty()) return {};
  out.keys.data = TRY(open_older(first->second.data, kOlderDataKey, vid_, additional, keys.sealed_data_secret));
  return {};
}

Result<std::vector<OriginKeys>> KeyRing::seal_for_fork(const Vid& fork, const Secret& metadata, const Secret& data,
                                                       Random& random) const {
  if (rings_.size() > 1)
    return fail(Code::kUnsupported, "the keys of the volume were rotated: a newer version of this program can fork it");
  std::vector<OriginKeys> out;
  const auto seal = [&](const Vid& vid, std::uint32_t ring, const Ring& keys) -> Result<> {
    if (keys.data.empty()) return fail(Code::kBadKey, "this key may not read data, and so not fork the volume");
    const Bytes additional = older_additional(vid, ring);
    OriginKeys& sealed = out.emplace_back();
    sealed.origin = static_cast<std::uint16_t>(out.size());
    sealed.ring = ring;
    sealed.data_key = crypto::box_public_key(keys.data);
    sealed.sealed_metadata_key = seal_older(metadata, kOlderMetadataKey, fork, additional, keys.metadata, random);
    sealed.sealed_data_secret = seal_older(data, kOlderDataKey, fork, additional, keys.data, random);
    return {};
  };
  TRY(seal(vid_, ring_, rings_.at(ring_)));
  for (std::uint16_t n = 1; n <= origins_.size(); ++n) {
    const auto keys = origin_rings_.find(n);
    if (keys == origin_rings_.end()) return fail(Code::kCorrupt, "commit 1 has no keys of origin {}", n);
    TRY(seal(origins_[n - 1].vid, keys->second.number, keys->second.keys));
  }
  return out;
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

Result<const KeyRing::Ring*> KeyRing::find(std::uint16_t origin, std::uint32_t ring) const {
  if (origin == 0) return find(ring);
  const auto it = origin_rings_.find(origin);
  if (it == origin_rings_.end() || it->second.number != ring)
    return fail(Code::kBadKey, "no key for ring {} of origin {}", ring, origin);
  return &it->second.keys;
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
  return TRY(find(origin, ring))->page;
}

Result<Vid> KeyRing::origin_vid(std::uint16_t origin) const {
  if (origin == 0) return vid_;
  if (origin > origins_.size()) return fail(Code::kCorrupt, "origin {} of {}", origin, origins_.size());
  return origins_[origin - 1].vid;
}

Result<Secret> KeyRing::open_data_box(std::uint32_t ring, ByteView sealed) const { return open_box(*TRY(find(ring)), sealed); }

Result<Secret> KeyRing::open_box(const Ring& keys, ByteView sealed) {
  if (keys.data.empty()) return fail(Code::kBadKey, "this identity may not read data");
  Bytes plain;
  TRY(crypto::box_open(keys.data, sealed, plain));
  if (plain.size() != crypto::kSecretSize) return fail(Code::kCorrupt, "a sealed secret has the wrong length");
  Secret secret = Secret::copy_of(plain);
  crypto::wipe(plain);
  return secret;
}

Result<OpeningKey> KeyRing::extent_key(const segment::ObjectInfo& segment) const {
  const Vid vid = TRY(origin_vid(segment.key.origin));
  return segment::extent_opening_key(TRY(open_box(*TRY(find(segment.key.origin, segment.ring)), segment.sealed_secret)), vid);
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
