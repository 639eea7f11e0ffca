// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <sodium.h>

#include <utility>

#include "base/check.h"
#include "crypto/arena.h"
#include "crypto/chacha.h"
#include "crypto/crypto.h"

namespace s3crate::crypto {

Result<> initialise() {
  if (sodium_init() < 0) return fail(Code::kUnsupported, "libsodium cannot be initialised");
  // Some configurations of OpenSSL (FIPS providers for one) leave it out.
  if (!internal::chacha20_poly1305_available()) {
    return fail(Code::kUnsupported, "this OpenSSL does not offer ChaCha20-Poly1305, Poly1305 or SHA-256");
  }
  internal::Arena::instance().prepare();
  return {};
}

std::string memory_notice() { return internal::Arena::instance().notice(); }

// Not as it was drawn: of a machine that was resumed twice the other copy may draw the same for something that all may see.
Secret::Secret(Random& random) {
  Secret drawn = uninitialised();
  random.fill(drawn.mutable_view());
  *this = derive(drawn, "fresh secret", {});
}

Secret Secret::copy_of(ByteView bytes) {
  CHECK(bytes.size() == kSecretSize);
  Secret secret = uninitialised();
  std::memcpy(secret.data_, bytes.data(), kSecretSize);
  return secret;
}

Secret Secret::uninitialised() {
  Secret secret;
  secret.data_ = internal::Arena::instance().take();
  return secret;
}

Secret::~Secret() {
  if (data_ != nullptr) internal::Arena::instance().give_back(data_);
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) internal::Arena::instance().give_back(data_);
    data_ = std::exchange(other.data_, nullptr);
  }
  return *this;
}

void wipe(MutableByteView bytes) { OPENSSL_cleanse(bytes.data(), bytes.size()); }

}  // namespace s3crate::crypto
