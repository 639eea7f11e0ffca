// SPDX-License-Identifier: GPL-3.0-or-later
// The names of all objects of a volume, below its URL's prefix. The one place that spells them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "segment/types.h"

namespace s3crate::segment {

inline constexpr std::string_view kVolumeName = "volume";
inline constexpr std::string_view kKeysPrefix = "keys/";
inline constexpr std::string_view kCommitsPrefix = "commits/";
inline constexpr std::string_view kSegmentsPrefix = "segments/";
inline constexpr std::string_view kMapPrefix = "map/";
// No parts of a volume, and in nobody's way: what a look at the bucket puts there, to see whether it can be put twice; and
// what is put with a wrong SHA-256 and a wrong CRC-32C, and stays there only if the store does not look at it.
inline constexpr std::string_view kProofName = "check/conditional";
inline constexpr std::string_view kChecksumProofName = "check/checksum";
inline constexpr std::string_view kCrc32cProofName = "check/crc32c";
[[nodiscard]] constexpr bool is_proof_name(std::string_view name) {
  return name == kProofName || name == kChecksumProofName || name == kCrc32cProofName;
}

// 16 hexadecimal digits of the bitwise complement, so that the newest comes first in a LIST.
[[nodiscard]] std::string commit_name(Generation generation);
[[nodiscard]] std::string keys_copy_name(Generation generation);  // keys/c<~generation>
[[nodiscard]] std::string slot_name(const Uuid& slot);            // keys/<32 hex digits>
// segments/ or map/ <16 hex digits of id>.<32 hex digits of nonce>; not for inline extents.
[[nodiscard]] std::string object_name(ObjectKind kind, ObjectId id, const ObjectNonce& nonce);

// nullopt for any other name.
[[nodiscard]] std::optional<Generation> parse_commit_name(std::string_view name);
[[nodiscard]] std::optional<Generation> parse_keys_copy_name(std::string_view name);
[[nodiscard]] std::optional<Uuid> parse_slot_name(std::string_view name);
struct ParsedObjectName {
  ObjectKind kind;
  ObjectId id;
  ObjectNonce nonce;
};
[[nodiscard]] std::optional<ParsedObjectName> parse_object_name(std::string_view name);

}  // namespace s3crate::segment
