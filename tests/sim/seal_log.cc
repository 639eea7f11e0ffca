// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/seal_log.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "tests/sim/known_answers.h"
#include "tests/sim/sim_fiber.h"

namespace s3crate::sim {
namespace {
SealLog* listening = nullptr;
}

SealLog::Listener::Listener(SealLog& log) {
  CHECK(listening == nullptr);
  listening = &log;
}

SealLog::Listener::~Listener() { listening = nullptr; }

void SealLog::note(ByteView key, ByteView nonce, ByteView tag) {
  const Watch watch(Watch::Of::harness);
  Pair pair{};
  std::memcpy(pair.data(), key.data(), std::min<std::size_t>(key.size(), 16));
  std::memcpy(&pair[2], nonce.last(std::min<std::size_t>(nonce.size(), 16)).data(), std::min<std::size_t>(nonce.size(), 16));
  std::array<std::uint64_t, 2> content;
  CHECK(tag.size() == sizeof content);
  std::memcpy(content.data(), tag.data(), sizeof content);
  ++seals_;
  const auto [known, fresh] = tags_.try_emplace(pair, content);
  if (fresh) return;
  if (known->second == content) ++repeated_;
  else ++reused_;
}

}  // namespace s3crate::sim

// The names that the linker gives: what calls NAME gets __wrap_NAME, and the function itself is __real_NAME.
#define S3CRATE_SEAL                                                                                      \
  "_ZN7s3crate6crypto8internal22chacha20_poly1305_sealESt4spanIKhLm18446744073709551615EES4_S2_IKS4_"     \
  "Lm18446744073709551615EES4_S2_IhLm18446744073709551615EE"

namespace s3crate::sim {

void real_seal(ByteView key, ByteView nonce, std::span<const ByteView> plaintext, ByteView additional,
               MutableByteView out) __asm__("__real_" S3CRATE_SEAL);
void wrapped_seal(ByteView key, ByteView nonce, std::span<const ByteView> plaintext, ByteView additional,
                  MutableByteView out) __asm__("__wrap_" S3CRATE_SEAL);
int wrapped_box(std::uint8_t* sealed, const std::uint8_t* plaintext, unsigned long long size, const std::uint8_t* nonce,
                const std::uint8_t* to, const std::uint8_t* from) __asm__("__wrap_crypto_box_easy");

void wrapped_seal(ByteView key, ByteView nonce, std::span<const ByteView> plaintext, ByteView additional, MutableByteView out) {
  real_seal(key, nonce, plaintext, additional, out);
  if (listening != nullptr) listening->note(key, nonce, out.last(16));
}

int wrapped_box(std::uint8_t* sealed, const std::uint8_t* plaintext, unsigned long long size, const std::uint8_t* nonce,
                const std::uint8_t* to, const std::uint8_t* from) {
  const int done = known_box(sealed, {plaintext, size}, nonce, to, from);
  // The nonce is made of both public keys, and the tag comes first.
  if (listening != nullptr) listening->note({to, 32}, {nonce, 24}, {sealed, 16});
  return done;
}

}  // namespace s3crate::sim
