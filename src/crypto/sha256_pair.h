// SPDX-License-Identifier: GPL-3.0-or-later
// SHA-256 (FIPS 180-4) of two messages side by side, by the processor's instructions for it. Those wait for their own results: one
// message keeps half of the unit busy, so two take hardly longer than one. OpenSSL hashes one at a time; of what Debian has, intel-ipsec-mb
// does more, but of at most 65,534 bytes, which is less than an extent. Only crypto/ uses it.
#pragma once

#include "crypto/crypto.h"

namespace s3crate::crypto::internal {

// Whether this processor can.
[[nodiscard]] bool has_sha256_pair();

// CHECKs that it can.
[[nodiscard]] std::array<Sha256, 2> sha256_pair(ByteView a, ByteView b);

}  // namespace s3crate::crypto::internal
