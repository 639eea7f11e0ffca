// SPDX-License-Identifier: GPL-3.0-or-later
// SealedCache: sealed bytes beside the store, by the digest that whoever wants them knows of them. Nothing it answers is to be
// believed before that digest was held against it; and it may lose anything at any time.
//
// Threading: thread-safe. find() may read the local disk; the rest does not block. No call fails.
#pragma once

#include <span>
#include <vector>

#include "base/bytes.h"
#include "crypto/crypto.h"

namespace s3crate::cache {

class SealedCache {
 public:
  struct Wanted {
    crypto::Digest digest{};
    std::uint32_t length = 0;
  };
  virtual ~SealedCache() = default;

  // For each its bytes, or none.
  [[nodiscard]] virtual std::vector<Bytes> find(std::span<const Wanted> wanted) = 0;
  // What find() answered for it has another digest.
  virtual void was_wrong(const Wanted& wanted) = 0;
  // It was wanted again, and had from elsewhere: as good a reason to keep it as a find().
  virtual void was_used(const Wanted& wanted) = 0;
  // Bytes that the store is known to hold, and their digest. May be ignored.
  virtual void offer(const crypto::Digest& digest, ByteView sealed) = 0;
};

}  // namespace s3crate::cache
