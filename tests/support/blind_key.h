// SPDX-License-Identifier: GPL-3.0-or-later
// A key of role blind: it stores images, and reads none of them.
#pragma once

#include "base/check.h"
#include "segment/object_names.h"
#include "volume/volume.h"

namespace s3crate::test {

// By a keys commit on top of the newest commit, and a slot for a key file.
inline void add_blind_key(store::ObjectStore& store, const volume::KeySource& owners, const Bytes& key_file) {
  using namespace volume;
  const auto volume = *Volume::open(system_env(), store, owners, {});
  const Commit head = *volume->load_head();
  const Commit first = *volume->load_commit(Generation(1));
  const KeyRing& ring = *volume->keys();
  const Identity blind = make_identity(system_random());
  GrantSecrets secrets = *open_grant(first.keys->grants.at(0).sealed, volume->identity().box.secret);
  secrets.role = Role::blind;
  secrets.capabilities = kAppend;
  secrets.data_secret = {};
  secrets.admin_seed = {};

  Commit keys = head;
  keys.header.generation = head.header.generation.next();
  keys.header.parent = head.hash;
  keys.header.keys_generation = keys_after(head);
  keys.header.writer = kAdminWriter;
  keys.body.kind = CommitKind::keys;
  keys.body.pending.reset();
  keys.body.delta_base = newest_change(head);
  keys.keys = first.keys;
  keys.keys->previous_keys = keys_after(head);
  keys.keys->writers.push_back({blind.signer.verify_key(), blind.id(), kAppend, keys.header.generation});
  keys.keys->grants.push_back({blind.id(), blind.box.public_key, Role::blind, seal_grant(secrets, blind.box.public_key, system_random())});
  const Bytes bytes = *seal_commit(keys, ring.commit_sealing_key(), *ring.admin(), system_random());
  CHECK(store.put(segment::commit_name(keys.header.generation), bytes));
  CHECK(store.put(segment::keys_copy_name(keys.header.generation), bytes));

  SlotHeader slot;
  slot.vid = volume->vid();
  slot.slot = system_random().array<16>();
  slot.kind = SlotKind::key_file;
  slot.identity = blind.id();
  CHECK(store.put(segment::slot_name(slot.slot), seal_slot(slot, crypto::Secret::copy_of(key_file), blind, volume->anchor(), system_random())));
}

}  // namespace s3crate::test
