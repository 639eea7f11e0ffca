// SPDX-License-Identifier: GPL-3.0-or-later
// The extent cache: LruCache, and the order in which a source wants its refs.
#include "cache/extent_cache.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>

namespace s3crate::cache {
namespace {

// The digest is part of the key, so that a ref never gets anything but the bytes that it stands
// for. It is a hash already.
struct ExtentHash {
  std::size_t operator()(const ExtentRef& ref) const {
    std::size_t hash;
    static_assert(sizeof hash <= sizeof ref.digest);
    std::memcpy(&hash, ref.digest.data(), sizeof hash);
    return hash;
  }
};
struct SameExtent {
  bool operator()(const ExtentRef& a, const ExtentRef& b) const {
    return a.object == b.object && a.number == b.number && a.digest == b.digest;
  }
};

std::uint64_t size_of(const PlainExtent& extent) { return extent.size(); }

}  // namespace

bool by_place(const ExtentRef& a, const ExtentRef& b) {
  return std::tie(a.object, a.offset) < std::tie(b.object, b.offset);
}

struct ExtentCache::Impl {
  LruCache<ExtentRef, PlainExtent, ExtentHash, SameExtent> extents;
};

ExtentCache::ExtentCache(Executor& executor, std::uint64_t capacity, Clock* clock)
    : capacity_(capacity), impl_(new Impl{{executor, capacity, size_of, clock}}) {}
ExtentCache::~ExtentCache() = default;

std::vector<Result<PlainExtent>> ExtentCache::fetch(std::span<const ExtentRef> refs,
                                                    ExtentSource& source, FetchCounts* counts) {
  const auto load = [&source](std::span<const ExtentRef> missing) { return source.load(missing); };
  const auto reused = [&source](const ExtentRef& ref) { source.was_used(ref); };
  if (std::ranges::is_sorted(refs, by_place))
    return impl_->extents.fetch(refs, load, reused, counts);

  std::vector<std::size_t> order(refs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(
      order, [&refs](std::size_t a, std::size_t b) { return by_place(refs[a], refs[b]); });
  std::vector<ExtentRef> sorted;
  sorted.reserve(refs.size());
  for (std::size_t at : order) sorted.push_back(refs[at]);
  std::vector<Result<PlainExtent>> fetched = impl_->extents.fetch(sorted, load, reused, counts);
  std::vector<Result<PlainExtent>> answers(refs.size());
  for (std::size_t i = 0; i < order.size(); ++i) answers[order[i]] = std::move(fetched[i]);
  return answers;
}

bool ExtentCache::load_ahead(std::span<const AheadExtent> extents, ExtentSource& source, Turns::Place& place) {
  std::vector<ExtentRef> refs;
  std::vector<std::uint64_t> sizes;
  refs.reserve(extents.size());
  sizes.reserve(extents.size());
  for (const AheadExtent& extent : extents) {
    refs.push_back(extent.ref);
    sizes.push_back(extent.bytes);
  }
  CHECK(std::ranges::is_sorted(refs, by_place));
  return impl_->extents.load_ahead(refs, sizes, [&](std::span<const ExtentRef> missing) {
    return source.load_ahead(missing, place);
  });
}

std::vector<bool> ExtentCache::absent(std::span<const ExtentRef> refs) const {
  return impl_->extents.absent(refs);
}

LoadedAhead ExtentCache::loaded_ahead() const { return impl_->extents.loaded_ahead(); }

CacheStats ExtentCache::stats() const {
  const LruCacheStats stats = impl_->extents.stats();
  return {stats.hits, stats.misses, stats.shared_loads, stats.bytes, stats.capacity};
}

}  // namespace s3crate::cache
