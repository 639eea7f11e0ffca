// SPDX-License-Identifier: GPL-3.0-or-later
// What the client's identity may see and sign: the rings of metadata and data keys that its grant opened, and the writers and
// admin keys that the chain of keys commits names. Constant after construction, so thread-safe.
#pragma once

#include <map>
#include <memory>

#include "base/wire.h"
#include "volume/tree.h"
#include "volume/volume_object.h"

namespace s3crate::volume {

class KeyRing final : public PageKeys {
 public:
  // From a verified keys commit (in force at and after its generation) and our grant in it; of a fork also the keys of its
  // origins, as commit 1 has them.
  [[nodiscard]] static Result<std::shared_ptr<const KeyRing>> make(const VolumeObject& volume, const Vid& vid,
                                                                   Generation keys_generation, const KeysPart& keys,
                                                                   std::span<const OriginKeys> origins,
                                                                   const GrantSecrets& grant, const Identity& identity);

  [[nodiscard]] const Vid& vid() const { return vid_; }
  [[nodiscard]] std::uint32_t ring() const { return ring_; }
  [[nodiscard]] Generation keys_generation() const { return keys_generation_; }
  [[nodiscard]] const crypto::PublicKey& data_key() const { return data_key_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] bool reads_data() const;
  // F; nullptr for a role that has none.
  [[nodiscard]] const crypto::Secret* fingerprint_key() const { return fingerprint_.empty() ? nullptr : &fingerprint_; }

  // Our own signer and its index among the writers; nullptr if this identity is not one of them.
  [[nodiscard]] const crypto::Signer* signer() const;
  [[nodiscard]] std::uint32_t writer() const { return writer_; }
  [[nodiscard]] bool may_sign(CommitKind kind) const;
  // nullptr for a role that has none.
  [[nodiscard]] const crypto::Signer* admin() const { return admin_ ? &*admin_ : nullptr; }

  // The key of a writer, before anything it signed is opened. kCorrupt if there is no such writer.
  [[nodiscard]] Result<crypto::VerifyKey> writer_key(std::uint32_t writer) const;
  // Once opened: whether that writer may sign a commit of this kind; kCorrupt if not.
  [[nodiscard]] Result<> check_capability(std::uint32_t writer, CommitKind kind, bool has_voids) const;
  [[nodiscard]] Result<crypto::VerifyKey> segment_signer(std::uint32_t writer) const;

  [[nodiscard]] const crypto::SealingKey& commit_sealing_key() const { return *commit_sealing_; }
  [[nodiscard]] const crypto::SealingKey& index_sealing_key() const { return *index_sealing_; }
  [[nodiscard]] const crypto::SealingKey& page_sealing_key() const { return *page_sealing_; }
  [[nodiscard]] const crypto::SealingKey& cache_sealing_key() const { return *cache_sealing_; }
  [[nodiscard]] Result<std::shared_ptr<const crypto::OpeningKey>> commit_opening_key(std::uint32_t ring) const;
  [[nodiscard]] Result<std::shared_ptr<const crypto::OpeningKey>> index_opening_key(std::uint32_t ring) const;
  [[nodiscard]] Result<std::shared_ptr<const crypto::OpeningKey>> cache_opening_key(std::uint32_t ring) const;
  [[nodiscard]] Result<std::shared_ptr<const crypto::OpeningKey>> page_opening_key(std::uint16_t origin,
                                                                                   std::uint32_t ring) const override;
  [[nodiscard]] Result<Vid> origin_vid(std::uint16_t origin) const override;
  // What opens the extents of a segment that the chain names, of an origin's too.
  [[nodiscard]] Result<crypto::OpeningKey> extent_key(const segment::ObjectInfo& segment) const;
  // What a fork of this volume has to know in its commit 1: the newest keys of this one and of its own origins, sealed under the
  // keys of the fork's first ring. kUnsupported if there are older rings as well; kBadKey for a role without data keys.
  [[nodiscard]] Result<std::vector<OriginKeys>> seal_for_fork(const Vid& fork, const crypto::Secret& metadata,
                                                              const crypto::Secret& data, Random& random) const;

  // Opens a box to the data key of `ring`: segment secrets, journal keys. kBadKey for a role without data keys.
  [[nodiscard]] Result<crypto::Secret> open_data_box(std::uint32_t ring, ByteView sealed) const;
  // Where the volume lives: KDF(Mk, "home", parts...), 16 bytes.
  [[nodiscard]] std::array<std::uint8_t, 16> home(const std::vector<std::string>& parts) const;

 private:
  struct Ring {
    crypto::Secret metadata;
    crypto::Secret data;  // empty for roles without
    std::shared_ptr<const crypto::OpeningKey> commit, index, page, cache;
  };
  KeyRing() = default;
  [[nodiscard]] Result<> add_ring(std::uint32_t number, crypto::Secret metadata, crypto::Secret data);
  [[nodiscard]] Result<> add_origin(const OriginKeys& keys);
  [[nodiscard]] static Result<crypto::Secret> open_box(const Ring& keys, ByteView sealed);
  [[nodiscard]] Result<const Ring*> find(std::uint32_t ring) const;
  [[nodiscard]] Result<const Ring*> find(std::uint16_t origin, std::uint32_t ring) const;

  Vid vid_{};
  std::vector<Origin> origins_;
  Generation keys_generation_;
  std::uint32_t ring_ = 0;
  Role role_ = Role::reader;
  crypto::PublicKey data_key_{};
  crypto::VerifyKey next_admin_{};
  std::vector<Writer> writers_;
  std::uint32_t writer_ = kAdminWriter;
  std::optional<crypto::Signer> signer_;
  std::optional<crypto::Signer> admin_;
  crypto::Secret fingerprint_;
  std::map<std::uint32_t, Ring> rings_;
  struct OriginRing {
    std::uint32_t number = 0;
    Ring keys;  // of pages and data; the rest is empty
  };
  std::map<std::uint16_t, OriginRing> origin_rings_;
  std::optional<crypto::SealingKey> commit_sealing_, index_sealing_, page_sealing_, cache_sealing_;
};

}  // namespace s3crate::volume
