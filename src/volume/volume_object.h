// SPDX-License-Identifier: GPL-3.0-or-later
// The `volume` object, key slots and grants. s3crate-blk-format(5). Pure functions.
#pragma once

#include "volume/commit.h"

namespace s3crate::volume {

inline constexpr std::uint16_t kFormatVersion = 1;
inline constexpr std::size_t kOriginsMax = 64;
inline constexpr std::size_t kVolumeObjectMax = 256 << 10;
inline constexpr std::size_t kSlotObjectMax = 4096;

struct Features {
  std::uint64_t compatible = 0;            // unknown bits: go on
  std::uint64_t read_only_compatible = 0;  // unknown bits: read only
  std::uint64_t incompatible = 0;          // unknown bits: refuse
  friend bool operator==(const Features&, const Features&) = default;
};
inline constexpr Features kKnownFeatures{};  // none yet
inline constexpr std::size_t kUrlMax = 2048;
struct Origin {
  Vid vid{};
  std::string url;
  friend bool operator==(const Origin&, const Origin&) = default;
};
struct VolumeObject {
  std::uint16_t format = kFormatVersion;
  std::uint16_t minimum_reader = kFormatVersion;
  Features features;
  Uuid uuid{};
  WallTime created{};
  std::uint8_t log2_block = 12;
  std::uint32_t extent_bytes = 65536;
  std::uint32_t segment_bytes = 8 << 20;
  crypto::Salt salt{};  // of all passphrase slots
  crypto::VerifyKey admin{};
  bool single_writer = false;
  std::vector<Origin> origins;
  std::vector<Extension> extensions;
  [[nodiscard]] std::uint32_t block_size() const { return 1u << log2_block; }
  friend bool operator==(const VolumeObject&, const VolumeObject&) = default;
};
// The vid is BLAKE2b-256 of the bytes. decode checks the admin's signature; kUnsupported for a newer format or unknown
// incompatible features, with a text that says what to do.
[[nodiscard]] Bytes encode_volume(const VolumeObject& volume, const crypto::Signer& admin);
[[nodiscard]] Result<VolumeObject> decode_volume(ByteView object);

// An identity: what a slot unlocks.
struct Identity {
  crypto::BoxKeyPair box;
  crypto::Signer signer;
  [[nodiscard]] Uuid id() const;
};
[[nodiscard]] Identity make_identity(Random& random);

enum class SlotKind : std::uint8_t { passphrase = 1, key_file = 2, public_slot = 3 };
struct SlotHeader {
  Vid vid{};
  Uuid slot{};
  SlotKind kind = SlotKind::passphrase;
  crypto::Argon2Cost cost;  // passphrase slots
  Uuid identity{};
  std::array<std::uint8_t, 16> check{};  // filled by seal_slot
  std::vector<Extension> extensions;
  friend bool operator==(const SlotHeader&, const SlotHeader&) = default;
};
struct UnlockedSlot {
  Identity identity;
  CommitRef anchor;
};
// `key` is Argon2id(passphrase, salt), the key file's 32 bytes, or 32 zero bytes.
[[nodiscard]] Bytes seal_slot(SlotHeader header, const crypto::Secret& key, const Identity& identity, const CommitRef& anchor,
                              Random& random);
[[nodiscard]] Result<SlotHeader> parse_slot(ByteView object);
// kBadKey if the check says that this is another key; kCorrupt if it is the key, but the slot is damaged.
[[nodiscard]] Result<UnlockedSlot> open_slot(ByteView object, const crypto::Secret& key);

// What a grant gives. Empty secrets: not given to this role.
struct GrantSecrets {
  Vid vid{};
  Role role = Role::reader;
  std::uint32_t capabilities = 0;
  std::uint32_t ring = 0;
  crypto::Secret metadata_key;
  crypto::Secret data_secret;
  crypto::Secret fingerprint_key;
  crypto::Secret admin_seed;
  CommitRef anchor;
  std::vector<Extension> extensions;
};
// CHECKs that there is a metadata key, and nothing that the role must not have.
[[nodiscard]] Bytes seal_grant(const GrantSecrets& secrets, const crypto::PublicKey& to, Random& random);
[[nodiscard]] Result<GrantSecrets> open_grant(ByteView sealed, const crypto::Secret& box_secret);

}  // namespace s3crate::volume
