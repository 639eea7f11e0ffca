// SPDX-License-Identifier: GPL-3.0-or-later
// Hashes and key derivation: BLAKE2b by libsodium, SHA-256 by OpenSSL (which uses the processor's
// instructions for it), two digests at a time by sha256_pair.h.
#include <openssl/evp.h>
#include <sodium.h>

#include <algorithm>
#include <memory>
#include <new>

#include "base/check.h"
#include "base/wire.h"
#include "crypto/crypto.h"
#include "crypto/sha256_pair.h"

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
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

// To be kept for the thread, because looking an algorithm up costs OpenSSL more than hashing a block.
Context context_of(const EVP_MD* algorithm) {
  Context c(EVP_MD_CTX_new());
  if (c == nullptr) throw std::bad_alloc();
  CHECK(EVP_DigestInit_ex(c.get(), algorithm, nullptr) == 1);
  return c;
}

template <std::size_t N>
std::array<std::uint8_t, N> hash(EVP_MD_CTX* context, std::span<const ByteView> parts) {
  CHECK(EVP_MD_CTX_get_size(context) == static_cast<int>(N));
  CHECK(EVP_DigestInit_ex(context, nullptr, nullptr) == 1);
  for (ByteView part : parts) CHECK(EVP_DigestUpdate(context, part.data(), part.size()) == 1);
  std::array<std::uint8_t, N> out;
  CHECK(EVP_DigestFinal_ex(context, out.data(), nullptr) == 1);
  return out;
}

Digest half(const Sha256& whole) {
  Digest out;
  std::copy_n(whole.begin(), out.size(), out.begin());
  return out;
}

}  // namespace

Hash blake2b(std::span<const ByteView> parts) {
  Blake2b state;
  for (ByteView part : parts) state.update(part);
  Hash hash;
  state.finish(hash);
  return hash;
}

Sha256 sha256(std::span<const ByteView> parts) {
  thread_local const Context context = context_of(EVP_sha256());
  return hash<32>(context.get(), parts);
}

Md5 md5(std::span<const ByteView> parts) {
  thread_local const Context context = context_of(EVP_md5());
  return hash<16>(context.get(), parts);
}

Sha256 hmac_sha256(ByteView key, ByteView data) {
  Sha256 out;
  std::size_t size = 0;
  CHECK(EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, key.data(), key.size(), data.data(), data.size(),
                  out.data(), out.size(), &size) != nullptr &&
        size == out.size());
  return out;
}

Digest digest(ByteView data) { return half(sha256(data)); }

void digests(std::span<const ByteView> data, std::span<Digest> out) {
  CHECK(data.size() == out.size());
  std::size_t i = 0;
  for (; internal::has_sha256_pair() && i + 1 < data.size(); i += 2) {
    const auto two = internal::sha256_pair(data[i], data[i + 1]);
    out[i] = half(two[0]);
    out[i + 1] = half(two[1]);
  }
  for (; i < data.size(); ++i) out[i] = digest(data[i]);
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
