// SPDX-License-Identifier: GPL-3.0-or-later
// Answers of elliptic curves that are known already.
//
// A seed mounts its volume some seven times, and each time the same signatures are verified and the same boxes opened: more than half
// of all that the simulator computed. What these functions answer depends on nothing but what they are given, so the linker
// wraps them for this program (--wrap, see Makefile.am), and each question is computed once:
//
//   crypto_sign_verify_detached   what crypto_sign_detached has made is valid; anything else is computed, once
//   crypto_sign_seed_keypair      once for each seed
//   crypto_scalarmult_base        once for each secret
//   crypto_box_seal_open          what crypto_box_easy has sealed to that key opens to that; anything else is computed
//
// What is new is computed by curve.h, which is faster: crypto_sign_detached, crypto_scalarmult_base, crypto_box_easy.
//
// One answer in 64 is computed by libsodium nevertheless, and must be the same.
//
// A question is the digest of all bytes that were given, so one that differs in any bit is another one.
#pragma once

#include "base/bytes.h"

namespace s3crate::sim {

// crypto_box_easy.
[[nodiscard]] int known_box(std::uint8_t* sealed, ByteView plaintext, const std::uint8_t* nonce, const std::uint8_t* to,
                            const std::uint8_t* from);

}  // namespace s3crate::sim
