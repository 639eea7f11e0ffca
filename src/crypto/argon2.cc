// SPDX-License-Identifier: GPL-3.0-or-later
// Argon2id (version 1.3, one lane) by libsodium. The bounds stand here, because the cost is read
// from outside.
#include <sodium.h>

#include <cerrno>

#include "base/check.h"
#include "crypto/crypto.h"

namespace s3crate::crypto {
namespace {

constexpr std::uint32_t kOperationsMin = 2;
constexpr std::uint32_t kOperationsMax = 16;
constexpr std::uint32_t kMemoryKibMin = 64 * 1024;
constexpr std::uint32_t kMemoryKibMax = 2 * 1024 * 1024;
static_assert(sizeof(Salt) == crypto_pwhash_argon2id_SALTBYTES);

}  // namespace

bool is_valid(const Argon2Cost& cost) {
  return cost.operations >= kOperationsMin && cost.operations <= kOperationsMax &&
         cost.memory_kib >= kMemoryKibMin && cost.memory_kib <= kMemoryKibMax;
}

Result<Secret> argon2id(ByteView passphrase, const Salt& salt, const Argon2Cost& cost) {
  if (!is_valid(cost)) {
    return fail(Code::kBadArgument,
                "Argon2id with {} operations and {} KiB is outside of what is allowed "
                "({} to {} operations, {} to {} KiB)",
                cost.operations, cost.memory_kib, kOperationsMin, kOperationsMax, kMemoryKibMin,
                kMemoryKibMax);
  }
  if (passphrase.size() > crypto_pwhash_argon2id_PASSWD_MAX) {
    return fail(Code::kBadArgument, "the passphrase is too long");
  }
  Secret key = Secret::uninitialised();
  if (crypto_pwhash_argon2id(key.mutable_view().data(), kSecretSize, as_chars(passphrase).data(),
                             passphrase.size(), salt.data(), cost.operations,
                             std::size_t{cost.memory_kib} * 1024,
                             crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
    return fail(Code::kNoSpace, "no memory for Argon2id: it needs {} MiB for a moment",
                cost.memory_kib / 1024);
  }
  return key;
}

}  // namespace s3crate::crypto
