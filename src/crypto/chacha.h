// SPDX-License-Identifier: GPL-3.0-or-later
// ChaCha20-Poly1305 of RFC 8439 by OpenSSL: the inner half of XChaCha20-Poly1305 (aead.cc). Only
// crypto/ uses it.
//
// One context a thread, made once: what OpenSSL costs to set one up is more than a 4 KiB extent
// costs to seal.
#pragma once

#include "base/bytes.h"

namespace s3crate::crypto::internal {

inline constexpr std::size_t kChaChaKeySize = 32;
inline constexpr std::size_t kChaChaNonceSize = 12;

// Whether OpenSSL offers what crypto/ needs of it.
[[nodiscard]] bool chacha20_poly1305_available();

// Writes ciphertext | tag[16]; `out` is exactly that long.
void chacha20_poly1305_seal(ByteView key, ByteView nonce, std::span<const ByteView> plaintext,
                            ByteView additional, MutableByteView out);
// `sealed` is ciphertext | tag[16], `out` as long as the ciphertext. False if it is not authentic;
// what is in `out` then must not be used.
[[nodiscard]] bool chacha20_poly1305_open(ByteView key, ByteView nonce, ByteView sealed,
                                          ByteView additional, MutableByteView out);

// Poly1305 of RFC 8439 under a key that is used once; libsodium's takes twice as long.
void poly1305(ByteView once, std::span<const ByteView> parts, MutableByteView tag);

}  // namespace s3crate::crypto::internal
