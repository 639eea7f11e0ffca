// SPDX-License-Identifier: GPL-3.0-or-later
// The vocabulary that formats, caches, journal and map share: objects, extents, runs.
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "base/strong.h"
#include "crypto/crypto.h"

namespace s3crate::segment {

using crypto::Digest;
using crypto::Hash;
using Vid = Hash;                                 // BLAKE2b-256 of the `volume` object
using Uuid = std::array<std::uint8_t, 16>;
using ObjectNonce = std::array<std::uint8_t, 16>;
using SealedSecret = std::array<std::uint8_t, 80>;  // a segment's secret in a box to the ring's data key

inline constexpr std::uint32_t kBlockSizeMin = 4096;
inline constexpr std::uint32_t kBlockSizeMax = 65536;
inline constexpr std::uint32_t kExtentBytesMax = 65536;
// What one sealed extent may take: its 8-byte header, and data that did not shrink.
inline constexpr std::uint32_t kSealedExtentMax = kExtentBytesMax + 8 + crypto::kSealOverhead;
inline constexpr std::uint64_t kDiskBytesMax = std::uint64_t{1} << 60;  // 1 EiB
inline constexpr std::uint32_t kSegmentSizeMin = 1 << 16;
inline constexpr std::uint32_t kSegmentSizeMax = 64 << 20;              // data; objects may be longer by their index
inline constexpr std::uint64_t kObjectBytesMax = 256 << 20;

// epoch:24 | counter:40. The counter starts at 1 in each epoch.
struct ObjectId {
  std::uint64_t value = 0;
  static constexpr std::uint32_t kEpochMax = (1u << 24) - 1;
  static constexpr std::uint64_t kCounterMax = (std::uint64_t{1} << 40) - 1;
  static constexpr ObjectId of(std::uint32_t epoch, std::uint64_t counter) {
    return {std::uint64_t{epoch} << 40 | counter};
  }
  [[nodiscard]] constexpr std::uint32_t epoch() const { return static_cast<std::uint32_t>(value >> 40); }
  [[nodiscard]] constexpr std::uint64_t counter() const { return value & kCounterMax; }
  friend constexpr auto operator<=>(ObjectId, ObjectId) = default;
};

// An object as pages, indexes and commits name it. origin: 0 is the volume that wrote the page or index itself,
// n > 0 the n-th origin in its `volume` object.
struct ObjectKey {
  std::uint16_t origin = 0;
  ObjectId id;
  friend constexpr auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

// One sealed extent: where its stored bytes are, and what they must be.
struct ExtentRef {
  ObjectKey object;
  std::uint32_t number = 0;  // in its segment; the additional data of its seal
  std::uint32_t offset = 0;  // of the stored bytes in the object
  std::uint32_t length = 0;  // of the stored bytes
  Digest digest{};           // of the stored bytes
  friend bool operator==(const ExtentRef&, const ExtentRef&) = default;
};

// Neighbouring blocks that map to neighbouring blocks of one extent, or to nothing (a hole reads as zeros).
struct Run {
  BlockIndex block;
  std::uint64_t count = 0;  // in blocks
  bool hole = true;
  std::uint16_t first = 0;  // the extent's block that `block` maps to; count + first <= the extent's blocks
  ExtentRef extent;         // only if not a hole
  [[nodiscard]] BlockIndex end() const { return block + count; }
  friend bool operator==(const Run&, const Run&) = default;
};

enum class ObjectKind : std::uint8_t { segment = 1, map = 2, inline_extents = 3 };

// What the chain says of an object: in commits (new objects) and in the object table.
struct ObjectInfo {
  ObjectKey key;
  ObjectKind kind = ObjectKind::segment;
  ObjectNonce nonce{};
  Generation born;          // the commit that names it first; for inline extents also where they are
  std::uint64_t length = 0;      // of the whole object
  Hash hash{};              // map object: of all its bytes; segment: of its sealed index; inline: zero
  std::uint64_t index_offset = 0;  // segment only
  std::uint32_t index_length = 0;  // segment only
  std::uint32_t ring = 0;          // whose data key the secret is sealed to; not for map objects
  SealedSecret sealed_secret{};    // not for map objects
  std::uint64_t blocks = 0;        // how many blocks its extents hold; of a map object: its pages
  bool has_holes = false;          // segment: its index lists holes
  friend bool operator==(const ObjectInfo&, const ObjectInfo&) = default;
};

}  // namespace s3crate::segment
