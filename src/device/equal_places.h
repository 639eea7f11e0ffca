// SPDX-License-Identifier: GPL-3.0-or-later
// Equal places: data of 64 KiB that an import need not store again, because the disk has it somewhere, or the import itself had it before.
//
// Of the disk the tree of fingerprints tells where such data may be. It is used if the newest map still has that run, and what is read
// there is what is looked for. What this import has stored itself is known by its fingerprint alone, which two contents share only if
// somebody who holds F has searched for them. Who may not read the disk goes by the tree's word in the same way.
//
// What an import puts where is noted, and goes into the tree at its end; what it wrote over is taken out. Of more places than
// `places_max` the rest is not known to later imports.
#pragma once

#include <unordered_map>

#include "device/view_reader.h"
#include "volume/fingerprints.h"

namespace s3crate::device {

class EqualPlaces {
 public:
  static constexpr std::size_t kPlacesMax = 1 << 18;  // some 130 bytes each
  static constexpr std::uint64_t kPageCacheBytes = 16 << 20;
  // Of one who looks up every place, in the order of blocks, which is none that the tree knows.
  static constexpr std::uint64_t kBlindPageCacheBytes = 64 << 20;

  // `now`, the disk as it is, outlives it.
  EqualPlaces(Env env, volume::Volume& volume, ViewReader& now, std::size_t places_max);

  // Whether this key, and extents of this size, can have any.
  [[nodiscard]] bool known() const { return fingerprints_ != nullptr; }
  [[nodiscard]] std::uint64_t blocks() const { return volume::kFingerprintedBytes / now_.block_size(); }

  // Thread-safe.
  [[nodiscard]] crypto::Fingerprint of(ByteView place) const { return fingerprints_->of(place); }
  // A run of the disk as it is that holds `content`.
  [[nodiscard]] Result<std::optional<volume::Run>> find(const crypto::Fingerprint& fingerprint, ByteView content);

  // For one who may not read. Thread-safe as well. The extent that is said to hold 64 KiB of that fingerprint, at the place that it
  // is said to stand at.
  [[nodiscard]] Result<std::optional<volume::Run>> hint(const crypto::Fingerprint& fingerprint);
  // Whether the newest map has any of it at that place, so that it may be referred to.
  [[nodiscard]] Result<bool> is_used(const volume::Run& hint);
  // What the newest map has there; of what is behind the end of the disk, nothing.
  struct Mapped {
    volume::RunMap runs;  // data
    std::vector<std::pair<BlockIndex, BlockIndex>> damaged;  // where that cannot be told
    [[nodiscard]] bool is_damaged(BlockIndex from, BlockIndex to) const;
    [[nodiscard]] bool may_be_data(BlockIndex block) const;
  };
  [[nodiscard]] Result<Mapped> mapped(BlockIndex from, BlockIndex to);

  // One call at a time. What this import has noted; nullptr: nothing.
  [[nodiscard]] const volume::Run* noted(const crypto::Fingerprint& fingerprint) const;
  void note(const crypto::Fingerprint& fingerprint, const volume::Run& run);
  // The extents of a segment have their offsets: of what was noted since the last call. A run may be of a part of what was noted.
  void placed(std::span<const volume::Run> runs);
  // Was written over.
  void gone(const crypto::Fingerprint& fingerprint);
  [[nodiscard]] std::vector<volume::TreeChange> changes() const;
  [[nodiscard]] volume::Fingerprints& fingerprints() { return *fingerprints_; }

 private:
  struct Hash {
    std::size_t operator()(const crypto::Fingerprint& fingerprint) const;
  };
  volume::Volume& volume_;
  ViewReader& now_;
  const std::size_t places_max_;
  std::unique_ptr<volume::Fingerprints> fingerprints_;
  std::unordered_map<crypto::Fingerprint, std::optional<volume::Run>, Hash> places_;  // nullopt: gone
  std::unordered_map<std::uint64_t, crypto::Fingerprint> open_;                       // by block, those without an offset
};

}  // namespace s3crate::device
