// SPDX-License-Identifier: GPL-3.0-or-later
// Hashes and key derivation: BLAKE2b by libsodium, SHA-256 by OpenSSL (which uses the processor's
// instructions for it).
#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/wire.h"
#include "crypto/crypto.h"

namespace s3crate::crypto {
namespace {

static_assert(sizeof(Hash) == crypto_generichash_BYTES);
static_assert(kSecretSize == crypto_generichash_KEYBYTES);

class Blake2b {
 public:
  explicit Blake2b(ByteView key = {}) {
    CHECK(crypto_generichash_init(&state_, key.data(), key.size(), sizeof(Hash)) == 0);
  }
  ~Blake2b() { sodium_memzero(&state_, sizeof state_); }
  Blake2b(const Blake2b&) = delete;
  Blake2b& operator=(const Blake2b&) = delete;

  void update(ByteView data) { crypto_generichash_update(&state_, data.data(), data.size()); }
  void length(std::size_t size) {
    CHECK(size <= UINT32_MAX);
    update(wire_bytes(Le32(static_cast<std::uint32_t>(size))));
  }
  void finish(MutableByteView out) {
    CHECK(crypto_generichash_final(&state_, out.data(), out.size()) == 0);
  }

 private:
  crypto_generichash_state state_;
};

struct FreeContext {
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
};

}  // namespace

Hash blake2b(std::span<const ByteView> parts) {
  Blake2b state;
  for (ByteView part : parts) state.update(part);
  Hash hash;
  state.finish(hash);
  return hash;
}

Digest digest(ByteView data) {
  // Kept for the thread, because looking an algorithm up costs OpenSSL more than hashing a block.
  thread_local std::unique_ptr<EVP_MD_CTX, FreeContext> context = [] {
    std::unique_ptr<EVP_MD_CTX, FreeContext> c(EVP_MD_CTX_new());
    CHECK(c != nullptr && EVP_DigestInit_ex(c.get(), EVP_sha256(), nullptr) == 1);
    return c;
  }();
  std::uint8_t sha256[32];
  CHECK(EVP_DigestInit_ex(context.get(), nullptr, nullptr) == 1 &&
        EVP_DigestUpdate(context.get(), data.data(), data.size()) == 1 &&
        EVP_DigestFinal_ex(context.get(), sha256, nullptr) == 1);
  Digest half;
  std::copy_n(sha256, half.size(), half.begin());
  return half;
}

bool same(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0);
}

Secret derive(const Secret& key, std::string_view purpose,
              std::initializer_list<ByteView> context) {
  static constexpr std::string_view kDomain = "s3crate-blk/1 ";
  CHECK(!key.empty());
  Blake2b state(key.view());
  state.length(kDomain.size() + purpose.size());
  state.update(as_bytes(kDomain));
  state.update(as_bytes(purpose));
  for (ByteView part : context) {
    state.length(part.size());
    state.update(part);
  }
  Secret derived = Secret::uninitialised();
  state.finish(derived.mutable_view());
  return derived;
}

}  // namespace s3crate::crypto
