// SPDX-License-Identifier: GPL-3.0-or-later
// Pages from memory, from the cache of sealed ones, or from the store.
#include <algorithm>
#include <cstring>

#include "base/lru_cache.h"
#include "base/parallel.h"
#include "cache/sealed_cache.h"
#include "store/reread.h"
#include "volume/origins.h"
#include "volume/tree.h"

namespace s3crate::volume {
namespace {

// What the sealed form may add to a page: its ring, nonce and tag, with room to spare.
constexpr std::uint32_t kStoredPageMax = kPagePlainMax + 128;
// What is read ahead takes up to half of the cache. A page takes about three times as much there as
// in the store.
constexpr std::uint64_t kAheadShare = 2, kDecodedPerStored = 4;

struct PageRefHash {
  std::size_t operator()(const PageRef& ref) const {
    std::size_t hash;
    std::memcpy(&hash, ref.hash.data(), sizeof hash);
    return hash;
  }
};

// The memory of a decoded page, its small allocations included.
std::uint64_t size_of(const PagePtr& page) {
  constexpr std::uint64_t kAllocation = 16;
  std::uint64_t size = sizeof(Page) + page->first_key.capacity() + kAllocation;
  for (const PageEntry& entry : page->entries) {
    size += sizeof entry + entry.key.capacity() + entry.value.capacity() + 2 * kAllocation;
  }
  return size;
}

Result<PagePtr> open_stored(const PageKeys& keys, const PageRef& ref, ByteView stored) {
  const std::uint32_t ring = TRY(sealed_page_ring(stored));
  const Vid vid = TRY(keys.origin_vid(ref.object.origin));
  auto key = keys.page_opening_key(ref.object.origin, ring);
  if (!key) {
    // Damage in the ring's number is damage, not a key that we lack.
    if (crypto::blake2b(stored) != ref.hash) return fail(Code::kCorrupt, "the hash does not match");
    return fail(key.error());
  }
  Page page = TRY(open_page({.vid = vid, .id = ref.object.id}, ref, stored, **key));
  TRY(as_seen_from_fork(page, ref.object.origin));
  return std::make_shared<const Page>(std::move(page));
}

// What stands for the page in a cache of sealed bytes: half of its hash is as good as a digest.
cache::SealedCache::Wanted wanted_of(const PageRef& ref) {
  cache::SealedCache::Wanted out{.digest = {}, .length = ref.length};
  std::copy_n(ref.hash.begin(), out.digest.size(), out.digest.begin());
  return out;
}

}  // namespace

struct PageLoader::Impl {
  Executor& executor;
  store::ObjectStore& store;
  const PageKeys& keys;
  LruCache<PageRef, PagePtr, PageRefHash> pages;
  cache::SealedCache* beside = nullptr;

  enum class Ahead { no, yes };
  Result<PagePtr> read(const PageRef& ref, Ahead ahead);
  Result<PagePtr> read_stored(const PageRef& ref, Ahead ahead);
  void offer(const PageRef& ref, ByteView stored);
};

Result<PagePtr> PageLoader::Impl::read(const PageRef& ref, Ahead ahead) {
  if (ref.length == 0 || ref.length > kStoredPageMax)
    return fail(Code::kCorrupt, "a length of {} bytes", ref.length);
  TRY(keys.origin_vid(ref.object.origin));  // else it is in no store at all
  if (beside != nullptr) {
    const auto wanted = wanted_of(ref);
    const Bytes found = std::move(beside->find({&wanted, 1})[0]);
    if (!found.empty()) {
      if (auto page = open_stored(keys, ref, found)) return page;
      beside->was_wrong(wanted);
    }
  }
  if (ahead == Ahead::yes) return read_stored(ref, ahead);
  return store::reread(store, [&] { return read_stored(ref, ahead); });
}

Result<PagePtr> PageLoader::Impl::read_stored(const PageRef& ref, Ahead ahead) {
  const std::string name = stored_name(ref);
  Bytes stored(ref.length);
  TRY(ahead == Ahead::yes ? store.get_range_ahead(name, ref.offset, stored)
                          : store.get_range(name, ref.offset, stored));
  PagePtr page = TRY(open_stored(keys, ref, stored));
  offer(ref, stored);
  return page;
}

void PageLoader::Impl::offer(const PageRef& ref, ByteView stored) {
  if (beside != nullptr) beside->offer(wanted_of(ref).digest, stored);
}

PageLoader::PageLoader(Executor& executor, store::ObjectStore& store, const PageKeys& keys,
                       std::uint64_t capacity, Clock* clock)
    : impl_(new Impl{.executor = executor,
                     .store = store,
                     .keys = keys,
                     .pages = {executor, capacity, size_of, clock}}) {}
PageLoader::~PageLoader() = default;

Result<PagePtr> PageLoader::load(const PageRef& ref) {
  const auto read = [this](std::span<const PageRef> missing) {
    CHECK(missing.size() == 1);
    Result<PagePtr> page = impl_->read(missing[0], Impl::Ahead::no);
    if (!page) {
      page = fail(page.error().within(fmt::format("{}: page at {}", stored_name(missing[0]), missing[0].offset)));
    }
    return std::vector<Result<PagePtr>>{std::move(page)};
  };
  const auto reused = [this](const PageRef& found) {
    if (impl_->beside != nullptr) impl_->beside->was_used(wanted_of(found));
  };
  return std::move(impl_->pages.fetch({&ref, 1}, read, reused)[0]);
}

std::size_t PageLoader::load_ahead(std::span<const PageRef> refs) {
  std::vector<std::uint64_t> sizes;
  std::uint64_t room = stats().capacity / kAheadShare;
  for (const PageRef& ref : refs.first(std::min(refs.size(), kAheadMax))) {
    const std::uint64_t size = ref.length * kDecodedPerStored;
    if (size > room) break;
    room -= size;
    sizes.push_back(size);
  }
  const auto read = [this](std::span<const PageRef> missing) {
    return std::vector<Result<PagePtr>>{impl_->read(missing[0], Impl::Ahead::yes)};
  };
  // One alone comes as soon when it is asked for.
  if (sizes.size() > 1)
    parallel(impl_->executor, sizes.size(), kAheadMax, [&](std::size_t i) {
      (void)impl_->pages.load_ahead({&refs[i], 1}, {&sizes[i], 1}, read);
    });
  return sizes.size();
}

PagePtr PageLoader::cached(const PageRef& ref) { return impl_->pages.find(ref).value_or(nullptr); }

void PageLoader::use(cache::SealedCache* beside) { impl_->beside = beside; }

void PageLoader::insert(const PageRef& ref, PagePtr page) {
  impl_->pages.insert(ref, std::move(page));
}

void PageLoader::stored(const PageRef& ref, ByteView sealed) { impl_->offer(ref, sealed); }

PageCacheStats PageLoader::stats() const {
  const LruCacheStats stats = impl_->pages.stats();
  return {
      .hits = stats.hits, .misses = stats.misses, .bytes = stats.bytes, .capacity = stats.capacity};
}

}  // namespace s3crate::volume
