// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/create.h"

#include <algorithm>
#include <bit>

#include "segment/object_names.h"
#include "volume/chain.h"

namespace s3crate::volume {
namespace {

struct FreshKeys {
  crypto::Signer admin;
  crypto::BoxKeyPair data;
  crypto::Secret metadata;
  crypto::Secret fingerprint;
};

Result<> refuse_if_taken(store::ObjectStore& store) {
  auto volume = store.head(std::string(segment::kVolumeName));
  if (volume) return fail(Code::kExists, "there is a volume at {} already: nothing was changed", store.describe());
  if (!is(volume, Code::kNotFound)) return fail(volume.error());
  const auto page = TRY(store.list("", "", 3));
  const auto taken = std::ranges::find_if(page.objects, [](const auto& object) { return !segment::is_proof_name(object.name); });
  if (taken != page.objects.end())
    return fail(Code::kExists, "{} is not empty (it holds {}): choose an empty place, or delete what a format that was "
                "interrupted left there", store.describe(), taken->name);
  return {};
}

// kExists only if others were faster: a reply may have been lost, and the put repeated below us.
Result<> put(store::ObjectStore& store, const std::string& name, const Bytes& object) {
  auto done = store.put(name, object);
  if (!is(done, Code::kExists)) return done;
  const Bytes there = TRY(store.get(name, std::max(object.size(), kCommitBytesMax)));
  return equal(there, object) ? Result<>() : done;
}

Commit first_commit(const CreateOptions& options, const Vid& vid, const FreshKeys& keys, const Identity& owner, Env env) {
  constexpr std::uint32_t kOwner = kAppend | kChange | kMaintain;
  Commit commit;
  commit.header = {.vid = vid, .generation = Generation(1), .parent = {}, .keys_generation = Generation(1), .ring = 1,
                   .writer = kAdminWriter};
  GrantSecrets grant;
  grant.vid = vid;
  grant.role = Role::owner;
  grant.capabilities = kOwner;
  grant.ring = 1;
  grant.metadata_key = keys.metadata.clone();
  grant.data_secret = keys.data.secret.clone();
  grant.fingerprint_key = keys.fingerprint.clone();
  grant.admin_seed = keys.admin.seed().clone();
  KeysPart part;
  part.next_admin = keys.admin.verify_key();
  part.data_key = keys.data.public_key;
  part.writers.push_back({owner.signer.verify_key(), owner.id(), kOwner, Generation(1)});
  part.grants.push_back({owner.id(), owner.box.public_key, Role::owner, seal_grant(grant, owner.box.public_key, env.random)});
  commit.keys = std::move(part);
  commit.body.kind = CommitKind::keys;
  commit.body.host = options.host;
  commit.body.time = env.clock.wall_now();
  commit.body.disk_bytes = options.disk_bytes;
  return commit;
}

}  // namespace

Result<> validate_size(std::uint64_t disk_bytes, std::uint32_t block_size) {
  if (disk_bytes == 0) return fail(Code::kBadArgument, "the size must not be zero");
  if (disk_bytes % block_size != 0)
    return fail(Code::kBadArgument, "the size must be a multiple of the block size: {} is not one of {}", disk_bytes, block_size);
  if (disk_bytes > segment::kDiskBytesMax) return fail(Code::kBadArgument, "the size must be at most 1 EiB");
  return {};
}

Result<> validate(const CreateOptions& o) {
  if (!std::has_single_bit(o.block_size) || o.block_size < segment::kBlockSizeMin || o.block_size > segment::kBlockSizeMax)
    return fail(Code::kBadArgument, "the block size must be a power of two from 4K to 64K, not {}", o.block_size);
  TRY(validate_size(o.disk_bytes, o.block_size));
  if (o.segment_bytes < segment::kSegmentSizeMin || o.segment_bytes > segment::kSegmentSizeMax)
    return fail(Code::kBadArgument, "the segment size must be from 64K to 64M");
  if (o.extent_bytes < o.block_size || o.extent_bytes > segment::kExtentBytesMax || o.extent_bytes % o.block_size != 0)
    return fail(Code::kBadArgument, "the extent size must be a multiple of the block size, at most 64K");
  return {};
}

Result<Vid> create(Env env, store::ObjectStore& store, const CreateOptions& options, std::span<const SlotRequest> slots) {
  TRY(validate(options));
  if (slots.empty()) return fail(Code::kBadArgument, "a volume needs at least one key");
  TRY(refuse_if_taken(store));

  FreshKeys keys{crypto::Signer(crypto::Secret(env.random)), crypto::box_key_pair(env.random), crypto::Secret(env.random),
                 crypto::Secret(env.random)};
  Identity owner = make_identity(env.random);
  VolumeObject object;
  object.uuid = env.random.array<16>();
  object.created = env.clock.wall_now();
  object.log2_block = static_cast<std::uint8_t>(std::countr_zero(options.block_size));
  object.extent_bytes = options.extent_bytes;
  object.segment_bytes = options.segment_bytes;
  object.salt = env.random.array<16>();
  object.admin = keys.admin.verify_key();
  object.single_writer = options.single_writer;
  Bytes volume_bytes = encode_volume(object, keys.admin);
  Vid vid = crypto::blake2b(volume_bytes);

  Commit commit = first_commit(options, vid, keys, owner, env);
  crypto::SealingKey body_key(crypto::derive(keys.metadata, "commit", {vid}));
  Bytes commit_bytes = TRY(seal_commit(commit, body_key, keys.admin, env.random));

  // Commit 1 first: of two formats at once one wins it, and only that one goes on.
  if (auto first = put(store, segment::commit_name(Generation(1)), commit_bytes); is(first, Code::kExists))
    return fail(Code::kExists, "another format of {} is under way", store.describe());
  else if (is(first, Code::kUnsupported) && !options.single_writer)
    return fail(needs_single_writer(first.error().message()));
  else if (!first) return fail(first.error());
  TRY(put(store, segment::keys_copy_name(Generation(1)), commit_bytes));
  for (const SlotRequest& slot : slots) {
    SlotHeader header;
    header.vid = vid;
    header.slot = env.random.array<16>();
    header.identity = owner.id();
    CommitRef anchor{Generation(1), commit.hash};
    Bytes sealed;
    if (slot.passphrase) {
      header.kind = SlotKind::passphrase;
      header.cost = options.argon2;
      crypto::Secret key = TRY(crypto::argon2id(*slot.passphrase, object.salt, options.argon2));
      sealed = seal_slot(header, key, owner, anchor, env.random);
    } else {
      header.kind = SlotKind::key_file;
      sealed = seal_slot(header, *slot.key_file, owner, anchor, env.random);
    }
    TRY(put(store, segment::slot_name(header.slot), sealed));
  }
  if (auto last = put(store, std::string(segment::kVolumeName), volume_bytes); !last)
    return fail(last.error().within("writing the volume object"));
  return vid;
}

}  // namespace s3crate::volume
