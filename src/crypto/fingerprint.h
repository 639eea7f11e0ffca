// SPDX-License-Identifier: GPL-3.0-or-later
// Fingerprints of plaintext: BLAKE2b-128 with the key F. Without F they tell nothing; with it, whether two places are equal.
#pragma once

#include "crypto/secret.h"

namespace s3crate::crypto {

using Fingerprint = std::array<std::uint8_t, 16>;
[[nodiscard]] Fingerprint fingerprint(const Secret& key, ByteView data);

}  // namespace s3crate::crypto
