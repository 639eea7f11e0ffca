// SPDX-License-Identifier: GPL-3.0-or-later
// The tree of fingerprints: where data of 64 KiB stands on the disk, for those who hold F. s3crate-blk-format(5), "fingerprints".
//
// All that it says is a hint: whoever uses one looks whether the newest map still says so. It is never needed, so what is damaged of
// it is as if it were not there.
#pragma once

#include "crypto/fingerprint.h"
#include "volume/ledger.h"

namespace s3crate::volume {

class KeyRing;
inline constexpr std::uint64_t kFingerprintedBytes = 64 << 10;

class Fingerprints {
 public:
  // nullptr: this key does not hold F. `store` outlives it.
  [[nodiscard]] static std::unique_ptr<Fingerprints> make(Executor& executor, store::ObjectStore& store, std::shared_ptr<const KeyRing> keys,
                                                          const MaybeRoot& root, std::uint64_t cache_bytes = 16 << 20);
  ~Fingerprints();

  // Of 64 KiB. Thread-safe, as is find().
  [[nodiscard]] crypto::Fingerprint of(ByteView place) const;
  // The run that is said to hold it; nullopt: none is.
  [[nodiscard]] Result<std::optional<Run>> find(const crypto::Fingerprint& fingerprint);

  [[nodiscard]] static TreeChange change_of(const crypto::Fingerprint& fingerprint, const std::optional<Run>& run);
  // The tree with the changes (ascending, distinct). Over one that is damaged it begins anew. `writer` has the loader and the key below.
  [[nodiscard]] Result<MaybeRoot> update(PageWriter& writer, std::span<const TreeChange> changes, Ledger& ledger);
  [[nodiscard]] PageLoader& loader();
  [[nodiscard]] const crypto::SealingKey& page_key() const;

 private:
  struct Impl;
  explicit Fingerprints(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace s3crate::volume
