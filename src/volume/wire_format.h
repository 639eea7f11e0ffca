// SPDX-License-Identifier: GPL-3.0-or-later
// Constants and fixed parts of the volume object, slots, grants, commits and map objects as they
// stand in a store: s3crate-blk-format(5). Only the codecs of this layer include it.
#pragma once

#include "base/wire.h"
#include "volume/commit.h"

namespace s3crate::volume::wire {

using Magic = std::array<char, 8>;

inline constexpr Magic kVolumeMagic = {'S', '3', 'C', 'B', '-', 'V', 'O', 'L'};
inline constexpr Magic kSlotMagic = {'S', '3', 'C', 'B', '-', 'S', 'L', 'T'};
inline constexpr Magic kCommitMagic = {'S', '3', 'C', 'B', '-', 'C', 'O', 'M'};
inline constexpr Magic kMapMagic = {'S', '3', 'C', 'B', '-', 'M', 'A', 'P'};
inline constexpr std::uint16_t kVersion = 1;  // of slots, commits and map objects

inline constexpr std::uint8_t kSingleWriter = 1;  // Volume::flags
struct Volume {
  Magic magic = kVolumeMagic;
  Le16 format;
  Le16 minimum_reader;
  std::uint8_t log2_block = 0;
  std::uint8_t flags = 0;
  Le16 reserved;
  Le64 compatible;
  Le64 read_only_compatible;
  Le64 incompatible;
  Uuid uuid{};
  Le64 created;
  Le32 extent_bytes;
  Le32 segment_bytes;
  crypto::Salt salt{};
  crypto::VerifyKey admin{};
};
static_assert(WireStruct<Volume> && sizeof(Volume) == 120);

struct Slot {
  Magic magic = kSlotMagic;
  Le16 version{kVersion};
  std::uint8_t kind = 0;
  std::uint8_t reserved = 0;
  Le32 sealed_length;
  Vid vid{};
  Uuid slot{};
  Uuid identity{};
  std::array<std::uint8_t, 16> check{};
  Le32 argon2_operations;
  Le32 argon2_memory_kib;
  Le32 extensions_length;
  Le32 reserved2;
};
static_assert(WireStruct<Slot> && sizeof(Slot) == 112);

struct SlotSecrets {
  std::array<std::uint8_t, 32> box_secret{};
  std::array<std::uint8_t, 32> sign_seed{};
  Vid vid{};
  Le64 anchor_generation;
  Hash anchor_hash{};
};
static_assert(WireStruct<SlotSecrets> && sizeof(SlotSecrets) == 136);

struct GrantHead {
  Vid vid{};
  std::uint8_t role = 0;
  std::uint8_t given = 0;
  Le16 reserved;
  Le32 capabilities;
  Le32 ring;
  Le32 reserved2;
  Le64 anchor_generation;
  Hash anchor_hash{};
};
static_assert(WireStruct<GrantHead> && sizeof(GrantHead) == 88);
inline constexpr std::uint8_t kGivesMetadata = 1;
inline constexpr std::uint8_t kGivesData = 2;
inline constexpr std::uint8_t kGivesFingerprint = 4;
inline constexpr std::uint8_t kGivesAdmin = 8;

struct CommitHead {
  Magic magic = kCommitMagic;
  Le16 version{kVersion};
  Le16 reserved;
  Le32 flags;
  Vid vid{};
  Le64 generation;
  Hash parent{};
  Le64 keys_generation;
  Le32 ring;
  Le32 writer;
  Le32 plain_length;
  Le32 inline_length;
  Le32 sealed_length;
  Le32 reserved2;
};
static_assert(WireStruct<CommitHead> && sizeof(CommitHead) == 120);

inline constexpr std::uint8_t kHasPending = 1;  // BodyHead::flags
struct BodyHead {
  std::uint8_t kind = 0;
  std::uint8_t flags = 0;
  Le16 reserved;
  Le32 epoch;
  Uuid instance{};
  std::array<std::uint8_t, 16> home{};
  Uuid journal{};
  Le64 time;
  Le64 store_time;
  Le64 disk_bytes;
  Le64 committed;
  Le64 unsent_bytes;
  Le64 unsent_age_ns;
  Le64 term;
  Le64 delta_base_generation;
  Hash delta_base_hash{};
  Le64 checkpoint_commit;
  Le64 checkpoint_as_of;
  Hash checkpoint_roots_hash{};
  Le64 pending_bytes;
  Le64 pending_first;
};
static_assert(WireStruct<BodyHead> && sizeof(BodyHead) == 216);

struct KeysHead {
  crypto::VerifyKey next_admin{};
  crypto::PublicKey data_key{};
  Le64 previous_keys;
};
static_assert(WireStruct<KeysHead> && sizeof(KeysHead) == 72);

struct KeysWriter {
  crypto::VerifyKey verify_key{};
  Uuid identity{};
  Le32 capabilities;
  Le64 from;
};
static_assert(WireStruct<KeysWriter> && sizeof(KeysWriter) == 60);

struct MapObject {
  Magic magic = kMapMagic;
  Le16 version{kVersion};
  Le16 reserved;
  Le32 flags;
  Vid vid{};
  Le64 id;
};
static_assert(WireStruct<MapObject> && sizeof(MapObject) == 56);

struct PageHead {
  std::uint8_t kind = 0;
  std::uint8_t tree = 0;
  std::uint8_t level = 0;
  std::uint8_t reserved = 0;
};
static_assert(WireStruct<PageHead> && sizeof(PageHead) == 4);

inline constexpr std::uint32_t kKnownCapabilities = kAppend | kChange | kMaintain;
inline constexpr std::size_t kSealedSecretBytes = crypto::kSecretSize + crypto::kSealOverhead;

}  // namespace s3crate::volume::wire
