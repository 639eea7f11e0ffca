// SPDX-License-Identifier: GPL-3.0-or-later
// Ed25519 by libsodium, which needs the message in one piece: at most an object's header and index,
// or one commit.
#include <sodium.h>

#include <algorithm>

#include "base/check.h"
#include "base/wire.h"
#include "crypto/crypto.h"

namespace s3crate::crypto {
namespace {

static_assert(kSecretSize == crypto_sign_SEEDBYTES);
static_assert(sizeof(VerifyKey) == crypto_sign_PUBLICKEYBYTES);
static_assert(sizeof(Signature) == crypto_sign_BYTES);

// libsodium's form of the secret key: the seed, then the public key.
using ExpandedKey = std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES>;
static_assert(sizeof(ExpandedKey) == kSecretSize + sizeof(VerifyKey));

Bytes signed_message(std::string_view type, std::span<const ByteView> parts) {
  static constexpr std::string_view kDomain = "s3crate-blk/1 sign ";
  std::size_t size = 4 + kDomain.size() + type.size();
  for (ByteView part : parts) size += part.size();
  Bytes message;
  message.reserve(size);
  ByteWriter writer(message);
  writer.u32(static_cast<std::uint32_t>(kDomain.size() + type.size()));
  writer.raw(as_bytes(kDomain));
  writer.raw(as_bytes(type));
  for (ByteView part : parts) writer.raw(part);
  return message;
}

}  // namespace

Signer::Signer(Secret seed) : seed_(std::move(seed)) {
  CHECK(!seed_.empty());
  ExpandedKey key;
  CHECK(crypto_sign_seed_keypair(public_.data(), key.data(), seed_.view().data()) == 0);
  wipe(key);
}

Signature Signer::sign(std::string_view type, std::span<const ByteView> parts) const {
  CHECK(!seed_.empty());
  const Bytes message = signed_message(type, parts);
  // Made anew from the seed it would cost as much as the signature.
  ExpandedKey key;
  std::copy(public_.begin(), public_.end(), std::copy_n(seed_.view().begin(), kSecretSize, key.begin()));
  Signature signature;
  const int failed = crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), key.data());
  wipe(key);
  CHECK(failed == 0);
  return signature;
}

Result<> verify(const VerifyKey& key, std::string_view type, std::span<const ByteView> parts,
                const Signature& signature) {
  const Bytes message = signed_message(type, parts);
  if (crypto_sign_verify_detached(signature.data(), message.data(), message.size(), key.data()) !=
      0) {
    return fail(Code::kCorrupt, "the signature of a {} does not match", type);
  }
  return {};
}

}  // namespace s3crate::crypto
