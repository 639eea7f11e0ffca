// SPDX-License-Identifier: GPL-3.0-or-later
// CacheIndex: digest to position in the cache file, in eight bytes an item, within a bound that never changes.
//
// A slot keeps 28 bits of the digest, the position, and whether the item was used again since it came. So an answer may be that
// of another item, one time in some ten million; whoever reads there finds out by the digest. Each digest has two buckets of
// eight slots, 64 bytes each, and an item goes where more is free: nine tenths full, a hundredth at most had to go for others.
//
// Slots that no item needs remember ghosts: items thrown out lately without having been used again, and when.
#pragma once

#include <optional>
#include <vector>

#include "cache/cache_format.h"

namespace s3crate::cache {

class CacheIndex {
 public:
  // So many bytes of memory, rounded down, at least two buckets.
  explicit CacheIndex(std::uint64_t bytes);

  [[nodiscard]] std::optional<std::uint64_t> find(const Digest& digest) const;
  // `position` is a multiple of kItemAlignment, not 0, below kPositionEnd. Replaces what there is of the same digest. An item of
  // another digest may have to go.
  void put(const Digest& digest, std::uint64_t position);
  // The rest do nothing if the item is not at that position (any more).
  void erase(const Digest& digest, std::uint64_t position);
  enum class Use { gone, once, again };
  [[nodiscard]] Use use(const Digest& digest, std::uint64_t position) const;
  // True if it was not marked before.
  bool mark_used(const Digest& digest, std::uint64_t position);
  void unmark(const Digest& digest, std::uint64_t position);

  // Instead of erase().
  void make_ghost(const Digest& digest, std::uint64_t position, std::uint64_t time);
  // Whether there is a ghost of that time or later; it is gone then.
  bool take_ghost(const Digest& digest, std::uint64_t time_min);

  [[nodiscard]] std::uint64_t items() const { return items_; }
  [[nodiscard]] std::uint64_t bytes() const { return slots_.size() * sizeof(std::uint64_t); }

  static constexpr std::uint64_t kPositionEnd = std::uint64_t{1} << 40;

 private:
  // Which of a digest's slots holds an item of these bits, and at that position if one is given.
  [[nodiscard]] std::optional<std::size_t> slot_of(const Digest& digest, std::optional<std::uint64_t> position) const;
  [[nodiscard]] std::size_t slot_for(const Digest& digest) const;

  std::vector<std::uint64_t> slots_;
  std::uint64_t items_ = 0;
};

}  // namespace s3crate::cache
