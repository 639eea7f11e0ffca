// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/chacha.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>

#include "base/check.h"
#include "crypto/crypto.h"

namespace s3crate::crypto::internal {
namespace {

// OpenSSL's lengths are of type int. A multiple of the cipher's block.
constexpr std::size_t kMaxStep = 1 << 30;

enum class Direction { open = 0, seal = 1 };

class Context {
 public:
  explicit Context(Direction direction) : context_(EVP_CIPHER_CTX_new()) {
    if (context_ == nullptr) throw std::bad_alloc();
    CHECK(EVP_CipherInit_ex(get(), EVP_chacha20_poly1305(), nullptr, nullptr, nullptr,
                            static_cast<int>(direction)) == 1);
  }

  void start(ByteView key, ByteView nonce) {
    CHECK(key.size() == kChaChaKeySize && nonce.size() == kChaChaNonceSize);
    CHECK(EVP_CipherInit_ex(get(), nullptr, nullptr, key.data(), nonce.data(), -1) == 1);
  }

  // Without `out`, additional data.
  void update(ByteView in, std::uint8_t* out) {
    while (!in.empty()) {
      const ByteView step = in.first(std::min(in.size(), kMaxStep));
      int written = 0;
      CHECK(EVP_CipherUpdate(get(), out, &written, step.data(), static_cast<int>(step.size())) ==
            1);
      CHECK(static_cast<std::size_t>(written) == step.size());
      if (out != nullptr) out += step.size();
      in = in.subspan(step.size());
    }
  }

  // False if the tag that was set does not match.
  bool finish() {
    std::uint8_t none[16];
    int written = 0;
    return EVP_CipherFinal_ex(get(), none, &written) == 1;
  }

  void get_tag(std::uint8_t* tag) {
    CHECK(EVP_CIPHER_CTX_ctrl(get(), EVP_CTRL_AEAD_GET_TAG, kTagSize, tag) == 1);
  }
  void set_tag(ByteView tag) {
    std::array<std::uint8_t, kTagSize> copy;  // OpenSSL wants it writable
    std::copy(tag.begin(), tag.end(), copy.begin());
    CHECK(EVP_CIPHER_CTX_ctrl(get(), EVP_CTRL_AEAD_SET_TAG, kTagSize, copy.data()) == 1);
  }

  // The context lies in ordinary memory, where no key may stay.
  void forget() {
    static constexpr std::array<std::uint8_t, kChaChaKeySize> kNothing{};
    start(kNothing, ByteView(kNothing).first(kChaChaNonceSize));
  }

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
  };

  EVP_CIPHER_CTX* get() { return context_.get(); }

  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

class MacContext {
 public:
  MacContext() : mac_(EVP_MAC_fetch(nullptr, "POLY1305", nullptr)), context_(EVP_MAC_CTX_new(mac_.get())) {
    if (context_ == nullptr) throw std::bad_alloc();
  }
  void start(ByteView key) { CHECK(EVP_MAC_init(context_.get(), key.data(), key.size(), nullptr) == 1); }
  void update(ByteView data) { CHECK(EVP_MAC_update(context_.get(), data.data(), data.size()) == 1); }
  void finish(MutableByteView tag) {
    std::size_t written = 0;
    CHECK(EVP_MAC_final(context_.get(), tag.data(), &written, tag.size()) == 1 && written == kTagSize);
  }

 private:
  struct Free {
    void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
    void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
  };
  std::unique_ptr<EVP_MAC, Free> mac_;
  std::unique_ptr<EVP_MAC_CTX, Free> context_;
};

}  // namespace

bool chacha20_poly1305_available() {
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  EVP_MD* sha = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  EVP_MAC* poly = EVP_MAC_fetch(nullptr, "POLY1305", nullptr);
  const bool available = cipher != nullptr && sha != nullptr && poly != nullptr;
  EVP_CIPHER_free(cipher);
  EVP_MD_free(sha);
  EVP_MAC_free(poly);
  return available;
}

void chacha20_poly1305_seal(ByteView key, ByteView nonce, std::span<const ByteView> plaintext,
                            ByteView additional, MutableByteView out) {
  thread_local Context context(Direction::seal);
  context.start(key, nonce);
  context.update(additional, nullptr);
  std::size_t done = 0;
  for (ByteView part : plaintext) {
    CHECK(out.size() - done >= part.size() + kTagSize);
    context.update(part, out.data() + done);
    done += part.size();
  }
  CHECK(context.finish());
  CHECK(out.size() == done + kTagSize);
  context.get_tag(out.data() + done);
  context.forget();
}

bool chacha20_poly1305_open(ByteView key, ByteView nonce, ByteView sealed, ByteView additional,
                            MutableByteView out) {
  CHECK(sealed.size() == out.size() + kTagSize);
  thread_local Context context(Direction::open);
  context.start(key, nonce);
  context.set_tag(sealed.last(kTagSize));
  context.update(additional, nullptr);
  context.update(sealed.first(out.size()), out.data());
  const bool authentic = context.finish();
  context.forget();
  return authentic;
}

void poly1305(ByteView once, std::span<const ByteView> parts, MutableByteView tag) {
  static constexpr std::array<std::uint8_t, kChaChaKeySize> kNothing{};
  CHECK(once.size() == kChaChaKeySize && tag.size() == kTagSize);
  thread_local MacContext context;
  context.start(once);
  for (ByteView part : parts) context.update(part);
  context.finish(tag);
  context.start(kNothing);  // as it would keep the key
}

}  // namespace s3crate::crypto::internal
