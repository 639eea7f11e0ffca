// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/known_answers.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <unordered_map>

#include "base/check.h"
#include "tests/sim/curve.h"
#include "tests/sim/sim_fiber.h"

namespace s3crate::sim {
namespace {

using Question = std::array<std::uint8_t, 16>;
struct HashQuestion {
  std::size_t operator()(const Question& q) const {
    std::size_t out;
    std::memcpy(&out, q.data(), sizeof out);
    return out;
  }
};

// The number of parts and all lengths but the last one's are fixed by `about`.
Question question(std::uint8_t about, std::initializer_list<ByteView> parts) {
  Question out;
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, out.size());
  crypto_generichash_update(&state, &about, 1);
  for (ByteView part : parts) crypto_generichash_update(&state, part.data(), part.size());
  crypto_generichash_final(&state, out.data(), out.size());
  return out;
}

template <typename Answer>
class Known {
 public:
  [[nodiscard]] const Answer* find(const Question& q) const {
    const auto it = answers_.find(q);
    return it == answers_.end() ? nullptr : &it->second;
  }
  void note(const Question& q, Answer answer) {
    constexpr std::size_t kMax = 1 << 16;  // of a few dozen seeds
    if (answers_.size() >= kMax) answers_.clear();
    answers_.insert_or_assign(q, std::move(answer));
  }

 private:
  std::unordered_map<Question, Answer, HashQuestion> answers_;
};

// Some of what is known is computed nevertheless.
bool is_doubted() {
  static std::uint64_t asked = 0;
  return ++asked % 64 == 0;
}

using Key = CurveBytes;
using Pair = std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES>;  // the secret's seed, then the public key
Known<bool> signatures;
Known<Key> public_keys;
Known<Pair> pairs;
Known<Bytes> boxes;

Question about_signature(const std::uint8_t* signature, const std::uint8_t* message, unsigned long long size, const std::uint8_t* key) {
  return question(0, {{signature, crypto_sign_BYTES}, {key, crypto_sign_PUBLICKEYBYTES}, {message, size}});
}
Question about_box(ByteView sealed, ByteView nonce, ByteView to) { return question(2, {nonce, to, sealed}); }

Key key_at(const std::uint8_t* bytes) {
  Key out;
  std::memcpy(out.data(), bytes, out.size());
  return out;
}

// The seed's hash: a number, clamped, and what the hash of a message begins with.
std::array<std::uint8_t, crypto_hash_sha512_BYTES> expanded(const std::uint8_t* seed) {
  std::array<std::uint8_t, crypto_hash_sha512_BYTES> out;
  crypto_hash_sha512(out.data(), seed, crypto_sign_SEEDBYTES);
  out[0] &= 248;
  out[31] = static_cast<std::uint8_t>((out[31] & 127) | 64);
  return out;
}

// A hash of the parts, as a number.
Key number_of(std::initializer_list<ByteView> parts) {
  crypto_hash_sha512_state state;
  crypto_hash_sha512_init(&state);
  for (ByteView part : parts) crypto_hash_sha512_update(&state, part.data(), part.size());
  std::array<std::uint8_t, crypto_hash_sha512_BYTES> hash;
  crypto_hash_sha512_final(&state, hash.data());
  Key out;
  crypto_core_ed25519_scalar_reduce(out.data(), hash.data());
  return out;
}

// Ed25519 (RFC 8032).
void sign(std::uint8_t* signature, ByteView message, const std::uint8_t* secret) {
  const auto own = expanded(secret);
  const ByteView key(secret + crypto_sign_SEEDBYTES, crypto_sign_PUBLICKEYBYTES);
  const Key once = number_of({ByteView(own).last(32), message});
  const Key point = ed25519_base(once);
  const Key challenge = number_of({point, key, message});
  Key product, sum;
  crypto_core_ed25519_scalar_mul(product.data(), challenge.data(), own.data());
  crypto_core_ed25519_scalar_add(sum.data(), product.data(), once.data());
  std::memcpy(std::copy(point.begin(), point.end(), signature), sum.data(), sum.size());
}

// As crypto_box_easy does it; false: it has to.
bool seal_box(std::uint8_t* sealed, ByteView plaintext, const std::uint8_t* nonce, const std::uint8_t* to, const std::uint8_t* from) {
  static constexpr std::array<std::uint8_t, crypto_core_hsalsa20_INPUTBYTES> kZeros{};
  const auto shared = x25519(key_at(from), key_at(to));
  if (!shared) return false;
  Key key;
  crypto_core_hsalsa20(key.data(), kZeros.data(), shared->data(), nullptr);
  return crypto_box_easy_afternm(sealed, plaintext.data(), plaintext.size(), nonce, key.data()) == 0;
}

}  // namespace

extern "C" {

int __real_crypto_box_easy(std::uint8_t*, const std::uint8_t*, unsigned long long, const std::uint8_t*, const std::uint8_t*,
                           const std::uint8_t*);
int __real_crypto_sign_seed_keypair(std::uint8_t*, std::uint8_t*, const std::uint8_t*);
int __real_crypto_sign_detached(std::uint8_t*, unsigned long long*, const std::uint8_t*, unsigned long long, const std::uint8_t*);
int __real_crypto_sign_verify_detached(const std::uint8_t*, const std::uint8_t*, unsigned long long, const std::uint8_t*);
int __real_crypto_scalarmult_base(std::uint8_t*, const std::uint8_t*);
int __real_crypto_box_seal_open(std::uint8_t*, const std::uint8_t*, unsigned long long, const std::uint8_t*, const std::uint8_t*);

int __wrap_crypto_sign_detached(std::uint8_t* signature, unsigned long long* length, const std::uint8_t* message,
                                unsigned long long size, const std::uint8_t* secret) {
  const Watch watch(Watch::Of::harness);
  sign(signature, {message, size}, secret);
  if (length != nullptr) *length = crypto_sign_BYTES;
  if (is_doubted()) {
    std::array<std::uint8_t, crypto_sign_BYTES> real;
    CHECK(__real_crypto_sign_detached(real.data(), nullptr, message, size, secret) == 0);
    CHECK(std::memcmp(signature, real.data(), real.size()) == 0);
  }
  // The second half of the secret is the public key.
  signatures.note(about_signature(signature, message, size, secret + crypto_sign_SEEDBYTES), true);
  return 0;
}

int __wrap_crypto_sign_seed_keypair(std::uint8_t* key, std::uint8_t* secret, const std::uint8_t* seed) {
  const Watch watch(Watch::Of::harness);
  const Question q = question(3, {{seed, crypto_sign_SEEDBYTES}});
  const Pair* known = pairs.find(q);
  Pair pair;
  if (known == nullptr || is_doubted()) {
    if (__real_crypto_sign_seed_keypair(key, pair.data(), seed) != 0) return -1;
    CHECK(known == nullptr || *known == pair);
    pairs.note(q, pair);
  } else {
    pair = *known;
  }
  std::copy(pair.begin(), pair.end(), secret);
  std::copy(pair.begin() + crypto_sign_SEEDBYTES, pair.end(), key);
  return 0;
}

int __wrap_crypto_sign_verify_detached(const std::uint8_t* signature, const std::uint8_t* message, unsigned long long size,
                                       const std::uint8_t* key) {
  const Watch watch(Watch::Of::harness);
  const Question q = about_signature(signature, message, size, key);
  const bool* valid = signatures.find(q);
  if (valid != nullptr && !is_doubted()) return *valid ? 0 : -1;
  const int answer = __real_crypto_sign_verify_detached(signature, message, size, key);
  CHECK(valid == nullptr || *valid == (answer == 0));
  signatures.note(q, answer == 0);
  return answer;
}

int __wrap_crypto_scalarmult_base(std::uint8_t* out, const std::uint8_t* secret) {
  const Watch watch(Watch::Of::harness);
  const Question q = question(1, {{secret, crypto_scalarmult_SCALARBYTES}});
  Key key;
  if (const Key* known = public_keys.find(q)) {
    key = *known;
  } else {
    key = x25519_base(key_at(secret));
    if (is_doubted()) {
      Key real;
      CHECK(__real_crypto_scalarmult_base(real.data(), secret) == 0 && real == key);
    }
    public_keys.note(q, key);
  }
  std::memcpy(out, key.data(), key.size());
  return 0;
}

int __wrap_crypto_box_seal_open(std::uint8_t* out, const std::uint8_t* sealed, unsigned long long size, const std::uint8_t* to,
                                const std::uint8_t* secret) {
  const Watch watch(Watch::Of::harness);
  Key own;
  CHECK(size >= crypto_box_SEALBYTES && __wrap_crypto_scalarmult_base(own.data(), secret) == 0);
  if (std::memcmp(own.data(), to, own.size()) == 0) {
    // As crypto_box_seal makes its nonce.
    std::array<std::uint8_t, crypto_box_NONCEBYTES> nonce;
    crypto_generichash_state state;
    crypto_generichash_init(&state, nullptr, 0, nonce.size());
    crypto_generichash_update(&state, sealed, crypto_box_PUBLICKEYBYTES);
    crypto_generichash_update(&state, to, crypto_box_PUBLICKEYBYTES);
    crypto_generichash_final(&state, nonce.data(), nonce.size());
    const ByteView box(sealed + crypto_box_PUBLICKEYBYTES, size - crypto_box_PUBLICKEYBYTES);
    if (const Bytes* plaintext = boxes.find(about_box(box, nonce, {to, crypto_box_PUBLICKEYBYTES}))) {
      if (is_doubted()) {
        CHECK(__real_crypto_box_seal_open(out, sealed, size, to, secret) == 0);
        CHECK(std::memcmp(out, plaintext->data(), plaintext->size()) == 0);
      }
      std::memcpy(out, plaintext->data(), plaintext->size());
      return 0;
    }
  }
  return __real_crypto_box_seal_open(out, sealed, size, to, secret);
}

}  // extern "C"

int known_box(std::uint8_t* sealed, ByteView plaintext, const std::uint8_t* nonce, const std::uint8_t* to, const std::uint8_t* from) {
  const Watch watch(Watch::Of::harness);
  if (!seal_box(sealed, plaintext, nonce, to, from)) {
    if (__real_crypto_box_easy(sealed, plaintext.data(), plaintext.size(), nonce, to, from) != 0) return -1;
  } else if (is_doubted()) {
    Bytes real(plaintext.size() + crypto_box_MACBYTES);
    CHECK(__real_crypto_box_easy(real.data(), plaintext.data(), plaintext.size(), nonce, to, from) == 0);
    CHECK(std::memcmp(sealed, real.data(), real.size()) == 0);
  }
  const ByteView all(sealed, plaintext.size() + crypto_box_MACBYTES);
  boxes.note(about_box(all, {nonce, crypto_box_NONCEBYTES}, {to, crypto_box_PUBLICKEYBYTES}), Bytes(plaintext.begin(), plaintext.end()));
  return 0;
}

}  // namespace s3crate::sim
