// SPDX-License-Identifier: GPL-3.0-or-later
// Anonymous boxes, byte for byte those of libsodium's crypto_box_seal:
//   ephemeral public key[32] | crypto_box_easy(plaintext, nonce = BLAKE2b-192(ephemeral |
//   recipient)).
// Not crypto_box_seal itself, because that takes its ephemeral key from libsodium's own randomness. Here it depends on the
// plaintext as well, so that two copies of a machine, which may draw the same, never seal two plaintexts under one of them.
#include <sodium.h>

#include <algorithm>

#include "base/check.h"
#include "crypto/crypto.h"

namespace s3crate::crypto {
namespace {

static_assert(kBoxOverhead == crypto_box_SEALBYTES);
static_assert(kSecretSize == crypto_box_SECRETKEYBYTES);
static_assert(sizeof(PublicKey) == crypto_box_PUBLICKEYBYTES);

}  // namespace

BoxKeyPair box_key_pair(Random& random) {
  Secret secret(random);
  const PublicKey public_key = box_public_key(secret);
  return {public_key, std::move(secret)};
}

PublicKey box_public_key(const Secret& secret) {
  CHECK(!secret.empty());
  PublicKey key;
  CHECK(crypto_scalarmult_base(key.data(), secret.view().data()) == 0);
  return key;
}

bool is_box_key(const PublicKey& key) {
  // Any scalar shows it: times a multiple of eight, as all are after clamping, such a point is
  // zero.
  std::uint8_t scalar[crypto_scalarmult_SCALARBYTES] = {};
  std::uint8_t product[crypto_scalarmult_BYTES];
  return crypto_scalarmult(product, scalar, key.data()) == 0;
}

Bytes box_seal(Random& random, const PublicKey& to, ByteView plaintext) {
  const Secret secret = derive(Secret(random), "box", {to, plaintext});
  const PublicKey ephemeral = box_public_key(secret);
  std::uint8_t nonce[crypto_box_NONCEBYTES];
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, sizeof nonce);
  crypto_generichash_update(&state, ephemeral.data(), ephemeral.size());
  crypto_generichash_update(&state, to.data(), to.size());
  crypto_generichash_final(&state, nonce, sizeof nonce);

  Bytes sealed(kBoxOverhead + plaintext.size());
  std::copy(ephemeral.begin(), ephemeral.end(), sealed.begin());
  CHECK(crypto_box_easy(sealed.data() + sizeof(PublicKey), plaintext.data(), plaintext.size(),
                        nonce, to.data(), secret.view().data()) == 0);
  return sealed;
}

Result<> box_open(const Secret& secret, ByteView sealed, Bytes& out) {
  if (sealed.size() < kBoxOverhead) return fail(Code::kCorrupt, "too short to be a sealed box");
  const PublicKey public_key = box_public_key(secret);
  const std::size_t start = out.size();
  out.resize(start + sealed.size() - kBoxOverhead);
  const MutableByteView plaintext = MutableByteView(out).subspan(start);
  if (crypto_box_seal_open(plaintext.data(), sealed.data(), sealed.size(), public_key.data(),
                           secret.view().data()) != 0) {
    wipe(plaintext);
    out.resize(start);
    return fail(Code::kCorrupt, "a sealed box is damaged, or not for this key");
  }
  return {};
}

}  // namespace s3crate::crypto
