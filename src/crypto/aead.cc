// SPDX-License-Identifier: GPL-3.0-or-later
// XChaCha20-Poly1305: HChaCha20 makes a subkey out of the key and the first 16 bytes of the nonce;
// ChaCha20-Poly1305 uses it with four zero bytes and the other eight.
//
// A nonce is made of fresh randomness and of all that is sealed. Randomness alone is not enough: of a virtual machine that was
// resumed twice both copies may draw the same, and under one key and nonce two plaintexts give each other away. Poly1305, under
// a key for this one seal, tells contents apart (at a third of what hashing them with BLAKE2b costs); BLAKE2b makes the nonce,
// so that it says nothing of them.
#include <sodium.h>

#include "base/check.h"
#include "base/wire.h"
#include "crypto/chacha.h"
#include "crypto/crypto.h"

namespace s3crate::crypto {
namespace {

static_assert(kNonceSize == crypto_core_hchacha20_INPUTBYTES + 8);
static_assert(kTagSize == crypto_aead_chacha20poly1305_ietf_ABYTES);

class Subkey {
 public:
  Subkey(const Secret& key, ByteView nonce) {
    crypto_core_hchacha20(key_.data(), nonce.data(), key.view().data(), nullptr);
    std::copy(nonce.begin() + crypto_core_hchacha20_INPUTBYTES, nonce.end(), nonce_.begin() + 4);
  }
  ~Subkey() { wipe(key_); }
  Subkey(const Subkey&) = delete;
  Subkey& operator=(const Subkey&) = delete;

  [[nodiscard]] ByteView key() const { return key_; }
  [[nodiscard]] ByteView nonce() const { return nonce_; }

 private:
  std::array<std::uint8_t, internal::kChaChaKeySize> key_;
  std::array<std::uint8_t, internal::kChaChaNonceSize> nonce_{};
};

void make_nonce(const Secret& key, Random& random, std::span<const ByteView> plaintext, ByteView additional,
                MutableByteView nonce) {
  const auto fresh = random.array<32>();
  const Secret once = derive(key, "nonce hash", {fresh});
  const Le64 length(additional.size());
  std::vector<ByteView> parts{wire_bytes(length), additional};
  parts.insert(parts.end(), plaintext.begin(), plaintext.end());
  std::array<std::uint8_t, kTagSize> content;
  internal::poly1305(once.view(), parts, content);
  const Secret made = derive(key, "nonce", {fresh, content});
  std::memcpy(nonce.data(), made.view().data(), nonce.size());
}

}  // namespace

void SealingKey::seal(Random& random, std::span<const ByteView> plaintext, ByteView additional,
                      Bytes& out) const {
  std::size_t size = kSealOverhead;
  for (ByteView part : plaintext) size += part.size();
  const std::size_t start = out.size();
  out.resize(start + size);
  seal(random, plaintext, additional, MutableByteView(out).subspan(start));
}

void SealingKey::seal(Random& random, std::span<const ByteView> plaintext, ByteView additional, MutableByteView sealed) const {
  make_nonce(key_.key_, random, plaintext, additional, sealed.first(kNonceSize));
  const Subkey subkey(key_.key_, sealed.first(kNonceSize));
  internal::chacha20_poly1305_seal(subkey.key(), subkey.nonce(), plaintext, additional,
                                   sealed.subspan(kNonceSize));
}

Result<> OpeningKey::open(ByteView sealed, ByteView additional, Bytes& out) const {
  if (sealed.size() < kSealOverhead) return fail(Code::kCorrupt, "too short to be sealed data");
  const std::size_t start = out.size();
  out.resize(start + sealed.size() - kSealOverhead);
  Result<> opened = open(sealed, additional, MutableByteView(out).subspan(start));
  if (!opened) out.resize(start);
  return opened;
}

Result<> OpeningKey::open(ByteView sealed, ByteView additional, MutableByteView plaintext) const {
  CHECK(sealed.size() == plaintext.size() + kSealOverhead);
  const Subkey subkey(key_, sealed.first(kNonceSize));
  if (!internal::chacha20_poly1305_open(subkey.key(), subkey.nonce(), sealed.subspan(kNonceSize),
                                        additional, plaintext)) {
    wipe(plaintext);
    return fail(Code::kCorrupt, "sealed data is not authentic: damaged, forged or of another key");
  }
  return {};
}

}  // namespace s3crate::crypto
