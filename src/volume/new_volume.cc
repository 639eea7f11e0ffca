// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/new_volume.h"

#include <algorithm>
#include <bit>

#include "segment/object_names.h"
#include "volume/commit_put.h"
#include "volume/line_place.h"

namespace s3crate::volume {

namespace {
constexpr std::uint32_t kOwner = kAppend | kChange | kMaintain;
}  // namespace

Result<> refuse_if_taken(store::ObjectStore& store) {
  auto volume = store.head(std::string(segment::kVolumeName));
  if (volume) return fail(Code::kExists, "there is a volume at {} already: nothing was changed", store.describe());
  if (!is(volume, Code::kNotFound)) return fail(volume.error());
  const auto page = TRY(store.list("", "", 3));
  const auto taken = std::ranges::find_if(page.objects, [](const auto& object) { return !segment::is_proof_name(object.name); });
  if (taken != page.objects.end())
    return fail(Code::kExists, "{} is not empty (it holds {}): choose an empty place, or delete what a format or fork that "
                "was interrupted left there", store.describe(), taken->name);
  return {};
}

Result<> put_fresh(store::ObjectStore& store, const std::string& name, const Bytes& object) {
  auto done = store.put(name, object);
  if (!is(done, Code::kExists)) return done;
  const Bytes there = TRY(store.get(name, std::max(object.size(), kCommitBytesMax)));
  return equal(there, object) ? Result<>() : done;
}

NewVolume::NewVolume(Env env, const CreateOptions& options)
    : admin_(crypto::Secret(env.random)), data_(crypto::box_key_pair(env.random)), metadata_(env.random), fingerprint_(env.random),
      owner_(make_identity(env.random)) {
  object_.uuid = env.random.array<16>();
  object_.created = env.clock.wall_now();
  object_.log2_block = static_cast<std::uint8_t>(std::countr_zero(options.block_size));
  object_.extent_bytes = options.extent_bytes;
  object_.segment_bytes = options.segment_bytes;
  object_.salt = env.random.array<16>();
  object_.admin = admin_.verify_key();
  object_.single_writer = options.single_writer;
}

Result<NewVolume> NewVolume::make(Env env, const CreateOptions& options, const ForkParent* parent) {
  NewVolume made(env, options);
  if (parent != nullptr) made.object_.origins = parent->origins;
  made.volume_bytes_ = encode_volume(made.object_, made.admin_);
  made.vid_ = crypto::blake2b(made.volume_bytes_);
  TRY(made.make_first(env, options, parent));
  return made;
}

GrantSecrets NewVolume::grant() const {
  GrantSecrets grant;
  grant.vid = vid_;
  grant.role = Role::owner;
  grant.capabilities = kOwner;
  grant.ring = 1;
  grant.metadata_key = metadata_.clone();
  grant.data_secret = data_.secret.clone();
  grant.fingerprint_key = fingerprint_.clone();
  grant.admin_seed = admin_.seed().clone();
  return grant;
}

Result<> NewVolume::make_first(Env env, const CreateOptions& options, const ForkParent* parent) {
  first_.header = {.vid = vid_, .generation = Generation(1), .parent = {}, .keys_generation = Generation(1), .ring = 1,
                   .writer = kAdminWriter};
  KeysPart part;
  part.next_admin = admin_.verify_key();
  part.data_key = data_.public_key;
  part.writers.push_back({owner_.signer.verify_key(), owner_.id(), kOwner, Generation(1)});
  part.grants.push_back({owner_.id(), owner_.box.public_key, Role::owner, seal_grant(grant(), owner_.box.public_key, env.random)});
  if (parent != nullptr) part.origins = TRY(parent->keys.seal_for_fork(vid_, metadata_, data_.secret, env.random));
  first_.keys = std::move(part);
  first_.body.kind = CommitKind::keys;
  first_.body.host = options.host;
  first_.body.time = env.clock.wall_now();
  first_.body.disk_bytes = options.disk_bytes;
  put_line_place(first_.body, {});
  const crypto::SealingKey body_key(crypto::derive(metadata_, "commit", {vid_}));
  first_bytes_ = TRY(seal_commit(first_, body_key, admin_, env.random));
  return {};
}

Result<std::shared_ptr<const KeyRing>> NewVolume::owner_keys() const {
  return KeyRing::make(object_, vid_, Generation(1), *first_.keys, first_.keys->origins, grant(), owner_);
}

// Of two makers at once one wins commit 1, and only that one goes on.
Result<> NewVolume::put_first(store::ObjectStore& store) const {
  auto first = put_fresh(store, segment::commit_name(Generation(1)), first_bytes_);
  if (is(first, Code::kExists)) return fail(Code::kExists, "another format or fork of {} is under way", store.describe());
  if (is(first, Code::kUnsupported) && !object_.single_writer) return fail(needs_single_writer(first.error().message()));
  TRY(first);
  return put_fresh(store, segment::keys_copy_name(Generation(1)), first_bytes_);
}

Result<> NewVolume::put_slots(Env env, store::ObjectStore& store, const crypto::Argon2Cost& argon2,
                              std::span<const SlotRequest> slots) const {
  for (const SlotRequest& slot : slots) {
    SlotHeader header;
    header.vid = vid_;
    header.slot = env.random.array<16>();
    header.identity = owner_.id();
    const CommitRef anchor{Generation(1), first_.hash};
    Bytes sealed;
    if (slot.passphrase) {
      header.kind = SlotKind::passphrase;
      header.cost = argon2;
      const crypto::Secret key = TRY(crypto::argon2id(*slot.passphrase, object_.salt, argon2));
      sealed = seal_slot(header, key, owner_, anchor, env.random);
    } else {
      header.kind = SlotKind::key_file;
      sealed = seal_slot(header, *slot.key_file, owner_, anchor, env.random);
    }
    TRY(put_fresh(store, segment::slot_name(header.slot), sealed));
  }
  return {};
}

Result<> NewVolume::put_volume(store::ObjectStore& store) const {
  auto last = put_fresh(store, std::string(segment::kVolumeName), volume_bytes_);
  if (!last) return fail(last.error().within("writing the volume object"));
  return {};
}

}  // namespace s3crate::volume
