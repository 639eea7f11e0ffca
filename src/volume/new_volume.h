// SPDX-License-Identifier: GPL-3.0-or-later
// A volume in the making: what create() and fork() have in common. Its objects come into the store in this order: commit 1, of which
// two makers at once decide who goes on; its copy; whatever else; the slots; and the `volume` object last. Until that one is there,
// no volume is.
#pragma once

#include "volume/create.h"

namespace s3crate::volume {

// Whom it shares data with. `origins`: itself first.
struct ForkParent {
  const KeyRing& keys;
  std::vector<Origin> origins;
};

class NewVolume {
 public:
  // Draws all keys. Wants crypto::initialise().
  [[nodiscard]] static Result<NewVolume> make(Env env, const CreateOptions& options, const ForkParent* parent = nullptr);

  [[nodiscard]] const VolumeObject& object() const { return object_; }
  [[nodiscard]] const Vid& vid() const { return vid_; }
  [[nodiscard]] const Commit& first() const { return first_; }
  [[nodiscard]] const Identity& owner() const { return owner_; }
  // What the owner's grant opens.
  [[nodiscard]] Result<std::shared_ptr<const KeyRing>> owner_keys() const;

  [[nodiscard]] Result<> put_first(store::ObjectStore& store) const;
  [[nodiscard]] Result<> put_slots(Env env, store::ObjectStore& store, const crypto::Argon2Cost& argon2,
                                   std::span<const SlotRequest> slots) const;
  [[nodiscard]] Result<> put_volume(store::ObjectStore& store) const;

 private:
  NewVolume(Env env, const CreateOptions& options);
  [[nodiscard]] GrantSecrets grant() const;
  [[nodiscard]] Result<> make_first(Env env, const CreateOptions& options, const ForkParent* parent);

  crypto::Signer admin_;
  crypto::BoxKeyPair data_;
  crypto::Secret metadata_, fingerprint_;
  Identity owner_;
  VolumeObject object_;
  Bytes volume_bytes_;
  Vid vid_{};
  Commit first_;
  Bytes first_bytes_;
};

// kExists: a volume is there, or something else is.
[[nodiscard]] Result<> refuse_if_taken(store::ObjectStore& store);
// kExists only if others were faster: a reply may have been lost, and the put repeated below us.
[[nodiscard]] Result<> put_fresh(store::ObjectStore& store, const std::string& name, const Bytes& object);

}  // namespace s3crate::volume
