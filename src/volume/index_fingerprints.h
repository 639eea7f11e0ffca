// SPDX-License-Identifier: GPL-3.0-or-later
// Extension 5 of a segment's index: fingerprints of its extents, for an import that goes on after one that was stopped and may not read
// what that has sent. s3crate-blk-format(5), "Segments". They are believed as the writer's word that the extents are.
#pragma once

#include "crypto/fingerprint.h"
#include "segment/segment.h"

namespace s3crate::volume {

class KeyRing;

struct ExtentFingerprint {
  std::uint32_t extent = 0;  // its number; they ascend
  crypto::Fingerprint fingerprint{};
};
inline constexpr std::size_t kIndexFingerprintsMax = 3000;  // well within what an extension holds

// The secret of the segment must be in the index already. For a key that holds F.
void put_fingerprints(segment::SegmentIndex& index, std::span<const ExtentFingerprint> fingerprints, const KeyRing& keys, Random& random);
// None: there are none, or this key cannot open them, or they make no sense.
[[nodiscard]] std::vector<ExtentFingerprint> fingerprints_in(const segment::SegmentIndex& index, const KeyRing& keys);

}  // namespace s3crate::volume
