// SPDX-License-Identifier: GPL-3.0-or-later
// All cryptography of the format, by purpose; libsodium and OpenSSL are named only in crypto/*.cc.
//
// Sources: BLAKE2b RFC 7693; XChaCha20-Poly1305 draft-irtf-cfrg-xchacha-03 (HChaCha20 by libsodium, then
// ChaCha20-Poly1305 RFC 8439 by OpenSSL, which is some three times as fast); Argon2id RFC 9106; X25519 RFC 7748;
// crypto_box_seal as in libsodium's documentation (ephemeral X25519, BLAKE2b nonce, XSalsa20-Poly1305);
// Ed25519 RFC 8032; SHA-256 FIPS 180-4; HMAC RFC 2104 and MD5 RFC 1321, which only S3's own protocol asks for.
//
// All functions are thread-safe. Errors: kCorrupt when authentication fails, kNoSpace when Argon2id gets no memory.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>

#include "crypto/secret.h"

namespace s3crate::crypto {

using Hash = std::array<std::uint8_t, 32>;     // BLAKE2b-256
using Digest = std::array<std::uint8_t, 16>;   // first half of a SHA-256
using Sha256 = std::array<std::uint8_t, 32>;
using Md5 = std::array<std::uint8_t, 16>;
using Salt = std::array<std::uint8_t, 16>;
using PublicKey = std::array<std::uint8_t, 32>;     // X25519
using VerifyKey = std::array<std::uint8_t, 32>;     // Ed25519
using Signature = std::array<std::uint8_t, 64>;     // Ed25519

[[nodiscard]] Hash blake2b(std::span<const ByteView> parts);
[[nodiscard]] inline Hash blake2b(ByteView data) { return blake2b({&data, 1}); }
[[nodiscard]] Digest digest(ByteView data);  // first 16 bytes of SHA-256
// That of each: so many at once take hardly longer than one, where the processor has instructions for SHA-256.
inline constexpr std::size_t kDigestsAtOnce = 2;
void digests(std::span<const ByteView> data, std::span<Digest> out);
// What S3 wants to see. MD5 finds accidents, not forgeries.
[[nodiscard]] Sha256 sha256(std::span<const ByteView> parts);
[[nodiscard]] inline Sha256 sha256(ByteView data) { return sha256({&data, 1}); }
[[nodiscard]] Md5 md5(std::span<const ByteView> parts);
[[nodiscard]] Sha256 hmac_sha256(ByteView key, ByteView data);
// Constant time.
[[nodiscard]] bool same(ByteView a, ByteView b);

// KDF(k, purpose, ctx...) = BLAKE2b-256(key k, lp("s3crate-blk/1 " + purpose) | lp(ctx)...), lp = le32 length prefix.
[[nodiscard]] Secret derive(const Secret& key, std::string_view purpose, std::initializer_list<ByteView> context);

struct Argon2Cost {
  std::uint32_t operations = 3;            // 2 to 16
  std::uint32_t memory_kib = 64 * 1024;    // 64 MiB to 2 GiB
  friend bool operator==(const Argon2Cost&, const Argon2Cost&) = default;
};
[[nodiscard]] bool is_valid(const Argon2Cost& cost);
// kBadArgument outside the bounds, before anything is allocated; kNoSpace without memory.
[[nodiscard]] Result<Secret> argon2id(ByteView passphrase, const Salt& salt, const Argon2Cost& cost);

// Sealed form: nonce[24] | ciphertext | tag[16].
inline constexpr std::size_t kNonceSize = 24;
inline constexpr std::size_t kTagSize = 16;
inline constexpr std::size_t kSealOverhead = kNonceSize + kTagSize;

// Can only open. What was read from a store or a disk becomes one of these.
class OpeningKey {
 public:
  explicit OpeningKey(Secret key) : key_(std::move(key)) {}
  // Appends the plaintext to `out`, which is unchanged on failure. kCorrupt if it is not authentic.
  [[nodiscard]] Result<> open(ByteView sealed, ByteView additional, Bytes& out) const;
  // The same into `out`, which is kSealOverhead bytes shorter than `sealed`, and zeros on failure.
  [[nodiscard]] Result<> open(ByteView sealed, ByteView additional, MutableByteView out) const;

 private:
  friend class SealingKey;
  Secret key_;
};

// Can seal as well. Made from fresh or derived key material that this process alone seals with. No two contents are ever sealed
// under one nonce, not even by the copies of a cloned machine that draw the same randomness: see aead.cc.
class SealingKey {
 public:
  explicit SealingKey(Secret key) : key_(std::move(key)) {}
  // Appends plaintext.size() + kSealOverhead bytes to `out`. The plaintext is that of all parts, one behind the other.
  void seal(Random& random, std::span<const ByteView> plaintext, ByteView additional, Bytes& out) const;
  // The same into `out`, which is exactly that long.
  void seal(Random& random, std::span<const ByteView> plaintext, ByteView additional, MutableByteView out) const;
  void seal(Random& random, ByteView plaintext, ByteView additional, Bytes& out) const {
    seal(random, std::span<const ByteView>{&plaintext, 1}, additional, out);
  }
  [[nodiscard]] OpeningKey opening_key() const { return OpeningKey(key_.key_.clone()); }

 private:
  OpeningKey key_;
};

// Anonymous boxes to an X25519 key: for secrets inside objects.
inline constexpr std::size_t kBoxOverhead = 48;
struct BoxKeyPair {
  PublicKey public_key{};
  Secret secret;
};
[[nodiscard]] BoxKeyPair box_key_pair(Random& random);
[[nodiscard]] PublicKey box_public_key(const Secret& secret);
// False for the few degenerate points that would give the shared secret away: a key read from outside is tested
// with this before anything is sealed to it. box_seal checks.
[[nodiscard]] bool is_box_key(const PublicKey& key);
[[nodiscard]] Bytes box_seal(Random& random, const PublicKey& to, ByteView plaintext);
// Appends to `out`; kCorrupt if it was not sealed to this key.
[[nodiscard]] Result<> box_open(const Secret& secret, ByteView sealed, Bytes& out);

// Signatures are over lp("s3crate-blk/1 sign " + type) and every byte of the parts; lp = le32 length prefix.
class Signer {
 public:
  Signer() = default;
  // `seed` is the 32-byte Ed25519 seed.
  explicit Signer(Secret seed);
  [[nodiscard]] const VerifyKey& verify_key() const { return public_; }
  [[nodiscard]] const Secret& seed() const { return seed_; }
  [[nodiscard]] Signature sign(std::string_view type, std::span<const ByteView> parts) const;

 private:
  Secret seed_;
  VerifyKey public_{};
};
// kCorrupt if it is not authentic.
[[nodiscard]] Result<> verify(const VerifyKey& key, std::string_view type, std::span<const ByteView> parts,
                              const Signature& signature);

}  // namespace s3crate::crypto
