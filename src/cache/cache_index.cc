// SPDX-License-Identifier: GPL-3.0-or-later
// A slot: position / 64, or the time of a ghost, plus 1 : 34 | used again : 1 | ghost : 1 | bits of the digest : 28. 0: empty.
#include "cache/cache_index.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

namespace s3crate::cache {
namespace {

constexpr std::size_t kBucketSlots = 8;
constexpr std::uint64_t kDigestBits = 28;
constexpr std::uint64_t kDigestMask = (std::uint64_t{1} << kDigestBits) - 1;
constexpr std::uint64_t kGhost = std::uint64_t{1} << kDigestBits;
constexpr std::uint64_t kUsed = kGhost << 1;
constexpr std::uint64_t kNumberShift = kDigestBits + 2;
constexpr std::uint64_t kNumberMask = (std::uint64_t{1} << (64 - kNumberShift)) - 1;
static_assert(CacheIndex::kPositionEnd / kItemAlignment == kNumberMask + 1);

std::uint64_t number_of(std::uint64_t slot) { return slot >> kNumberShift; }
std::uint64_t position_of(std::uint64_t slot) { return number_of(slot) * kItemAlignment; }
bool is_item(std::uint64_t slot) { return slot != 0 && (slot & kGhost) == 0; }
bool is_ghost(std::uint64_t slot) { return (slot & kGhost) != 0; }

std::uint64_t word(const Digest& digest, std::size_t which) {
  std::uint64_t out;
  std::memcpy(&out, digest.data() + which * sizeof out, sizeof out);
  return out;
}
std::uint64_t bits_of(const Digest& digest) { return word(digest, 0) & kDigestMask; }

// The first slots of its two buckets.
std::array<std::size_t, 2> buckets_of(const Digest& digest, std::size_t slots) {
  const std::size_t buckets = slots / kBucketSlots;
  const auto scaled = [&](std::uint64_t hash) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::size_t>(Wide{hash} * buckets >> 64) * kBucketSlots;
  };
  // The high bits of both words; the low ones of the first are in the slot.
  return {scaled(word(digest, 0)), scaled(word(digest, 1))};
}

}  // namespace

CacheIndex::CacheIndex(std::uint64_t bytes)
    : slots_(std::max<std::uint64_t>(bytes / (kBucketSlots * sizeof(std::uint64_t)), 2) * kBucketSlots) {}

std::optional<std::size_t> CacheIndex::slot_of(const Digest& digest, std::optional<std::uint64_t> position) const {
  const std::uint64_t bits = bits_of(digest);
  for (std::size_t first : buckets_of(digest, slots_.size())) {
    for (std::size_t i = first; i < first + kBucketSlots; ++i) {
      if (!is_item(slots_[i]) || (slots_[i] & kDigestMask) != bits) continue;
      if (!position || position_of(slots_[i]) == *position) return i;
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> CacheIndex::find(const Digest& digest) const {
  const auto slot = slot_of(digest, std::nullopt);
  return slot ? std::optional(position_of(slots_[*slot])) : std::nullopt;
}

// An empty one in the emptier bucket, else the oldest ghost, else an item, first one that was not used again.
std::size_t CacheIndex::slot_for(const Digest& digest) const {
  const auto buckets = buckets_of(digest, slots_.size());
  std::size_t best_free = 0;
  std::optional<std::size_t> free, ghost, once;
  for (std::size_t first : buckets) {
    std::size_t frees = 0;
    std::optional<std::size_t> one;
    for (std::size_t i = first; i < first + kBucketSlots; ++i) {
      if (slots_[i] == 0) ++frees, one = i;
      else if (!is_ghost(slots_[i])) once = (slots_[i] & kUsed) == 0 ? i : once;
      else if (!ghost || number_of(slots_[i]) < number_of(slots_[*ghost])) ghost = i;
    }
    if (frees > best_free) best_free = frees, free = one;
  }
  if (free) return *free;
  if (ghost) return *ghost;
  return once.value_or(buckets[word(digest, 1) & 1] + (word(digest, 1) >> 1) % kBucketSlots);
}

void CacheIndex::put(const Digest& digest, std::uint64_t position) {
  CHECK(position > 0 && position < kPositionEnd && position % kItemAlignment == 0);
  const std::size_t slot = slot_of(digest, std::nullopt).value_or(slot_for(digest));
  items_ += !is_item(slots_[slot]);
  slots_[slot] = position / kItemAlignment << kNumberShift | bits_of(digest);
}

void CacheIndex::erase(const Digest& digest, std::uint64_t position) {
  const auto slot = slot_of(digest, position);
  if (!slot) return;
  slots_[*slot] = 0;
  --items_;
}

CacheIndex::Use CacheIndex::use(const Digest& digest, std::uint64_t position) const {
  const auto slot = slot_of(digest, position);
  if (!slot) return Use::gone;
  return (slots_[*slot] & kUsed) != 0 ? Use::again : Use::once;
}

bool CacheIndex::mark_used(const Digest& digest, std::uint64_t position) {
  const auto slot = slot_of(digest, position);
  if (!slot || (slots_[*slot] & kUsed) != 0) return false;
  slots_[*slot] |= kUsed;
  return true;
}

void CacheIndex::unmark(const Digest& digest, std::uint64_t position) {
  if (const auto slot = slot_of(digest, position)) slots_[*slot] &= ~kUsed;
}

void CacheIndex::make_ghost(const Digest& digest, std::uint64_t position, std::uint64_t time) {
  const auto slot = slot_of(digest, position);
  if (!slot) return;
  slots_[*slot] = ((time + 1) & kNumberMask) << kNumberShift | kGhost | bits_of(digest);
  --items_;
}

bool CacheIndex::take_ghost(const Digest& digest, std::uint64_t time_min) {
  for (std::size_t first : buckets_of(digest, slots_.size())) {
    for (std::size_t i = first; i < first + kBucketSlots; ++i) {
      if (!is_ghost(slots_[i]) || (slots_[i] & kDigestMask) != bits_of(digest)) continue;
      const bool recent = number_of(slots_[i]) >= time_min + 1;
      slots_[i] = 0;
      return recent;
    }
  }
  return false;
}

}  // namespace s3crate::cache
