// SPDX-License-Identifier: GPL-3.0-or-later
// Persistent, copy-on-write search trees of pages in map objects. A tree is a TreeRoot, or nothing when empty. Pages are
// immutable, so readers need no lock; each is found by its reference and believed by its hash.
// In the map a delta page may stand where a leaf does: it amends that leaf (volume/map_leaf.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/executor.h"
#include "store/object_store.h"
#include "volume/page.h"

namespace s3crate::cache {
class SealedCache;
}

namespace s3crate::volume {

using PagePtr = std::shared_ptr<const Page>;

// The keys that pages need; implemented by the key ring.
class PageKeys {
 public:
  virtual ~PageKeys() = default;
  // The vid of a numbered origin; 0 is this volume.
  [[nodiscard]] virtual Result<Vid> origin_vid(std::uint16_t origin) const = 0;
  [[nodiscard]] virtual Result<std::shared_ptr<const crypto::OpeningKey>> page_opening_key(std::uint16_t origin,
                                                                                           std::uint32_t ring) const = 0;
};

struct PageCacheStats {
  std::uint64_t hits = 0, misses = 0, bytes = 0, capacity = 0;
};

// Pages by reference, with a cache bounded in bytes (decoded size), single flight, least recently used out first. Checks
// hash, seal, order; the caller checks that a page is of the tree and level, and within the key range, that it descended for.
// Thread-safe; may block on the store with no lock held.
class PageLoader {
 public:
  // Without a clock the cache beside it is not told of pages that are used again in memory.
  PageLoader(Executor& executor, store::ObjectStore& store, const PageKeys& keys, std::uint64_t capacity, Clock* clock = nullptr);
  ~PageLoader();
  [[nodiscard]] Result<PagePtr> load(const PageRef& ref);
  // Loads the first of them side by side, so that they are in the cache when they are asked for: as many as a share of the cache
  // holds, kAheadMax at most. Answers how many. What could not be had is heard of by whoever asks for it.
  static constexpr std::size_t kAheadMax = 32;
  [[nodiscard]] std::size_t load_ahead(std::span<const PageRef> refs);
  // Answers a page only if it is in the cache.
  [[nodiscard]] PagePtr cached(const PageRef& ref);
  // From now on pages are looked for there before the store is asked. Before any other task uses the loader; null: nowhere.
  void use(cache::SealedCache* beside);
  // Takes over a page just written, so that it need not be read back.
  void insert(const PageRef& ref, PagePtr page);
  // And now the store has it.
  void stored(const PageRef& ref, ByteView sealed);
  [[nodiscard]] PageCacheStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Packs pages into map objects of about `object_bytes` and puts them. Until finish() has answered, the pages are surely there
// for nobody, whatever the loader's cache holds. After an error the writer is of no more use. Not thread-safe.
class PageWriter {
 public:
  struct Target {
    store::ObjectStore& store;
    Random& random;
    PageLoader& loader;
    Vid vid;
    std::uint32_t ring;
    const crypto::SealingKey& page_key;
    std::function<Result<ObjectId>()> new_id;  // a fresh id of this epoch
    std::size_t object_bytes = 8 << 20;
    std::size_t page_bytes = kPagePlainMax;    // shrunk by tests
    std::size_t min_fanout = 4;
    std::function<bool()> stopped = {};        // asked before each page, and each time that pages are read ahead
  };
  explicit PageWriter(Target target);
  // kCancelled once it is stopped.
  [[nodiscard]] Result<> go_on() const;
  [[nodiscard]] Result<PageRef> write(Page page);
  // Puts what is left. The objects written, for the checkpoint commit; they are not born before it.
  [[nodiscard]] Result<std::vector<ObjectInfo>> finish();
  [[nodiscard]] const Target& target() const { return target_; }

 private:
  [[nodiscard]] Result<> put_object();
  Target target_;
  std::optional<ObjectId> id_;
  ObjectNonce nonce_{};
  Bytes object_;
  std::vector<PageRef> pages_;  // in it
  std::vector<ObjectInfo> written_;
};

using MaybeRoot = std::optional<TreeRoot>;
class Ledger;

// --- any tree: keys and values -----------------------------------------------------------------------------------------

[[nodiscard]] Result<std::optional<Bytes>> tree_find(PageLoader& loader, const MaybeRoot& root, ByteView key);
// Entries with from <= key < to (if that is given) in order, until `each` answers false. Memory: one page a level, and what is loaded
// ahead into the loader's cache.
[[nodiscard]] Result<> tree_scan(PageLoader& loader, const MaybeRoot& root, ByteView from,
                                 const std::function<Result<bool>(const PageEntry&)>& each, std::optional<ByteView> to = std::nullopt);
struct TreeChange {
  Bytes key;
  std::optional<Bytes> value;  // nullopt: take it out
};
// The tree with the changes (ascending, distinct keys); unchanged pages are shared with the old one. Over a page that is damaged
// or gone nothing can be laid: it stays, and the changes to it are appended to `carried` in order. Without one that is an error.
// `ledger` (volume/ledger.h) is told what is in the old tree and not in the new one.
[[nodiscard]] Result<MaybeRoot> tree_update(PageLoader& loader, PageWriter& writer, TreeId tree, const MaybeRoot& root,
                                            std::span<const TreeChange> changes, Ledger& ledger,
                                            std::vector<TreeChange>* carried = nullptr);

// --- the map: runs -------------------------------------------------------------------------------------------------------

// Runs that tile [from, to), clipped; what the map does not hold comes as holes.
[[nodiscard]] Result<> map_lookup(PageLoader& loader, const MaybeRoot& root, BlockIndex from, BlockIndex to,
                                  const std::function<void(const Run&)>& each);
// True only if [from, to) is certainly all hole, found without reading anything that is not in the cache.
[[nodiscard]] bool map_surely_hole(PageLoader& loader, const MaybeRoot& root, BlockIndex from, BlockIndex to);
// The first block >= from that is data (or, with `hole`, that is a hole), or `to`: skips whole subtrees; memory: a page a level.
[[nodiscard]] Result<BlockIndex> map_seek(PageLoader& loader, const MaybeRoot& root, BlockIndex from, BlockIndex to, bool hole);
// The i-th of n leaves that are evenly spaced over the map, and for how many each of them stands. Reads a page a level.
struct MapSample {
  BlockIndex from, to;  // what it alone answers for
  double leaves = 1;
};
[[nodiscard]] Result<MapSample> map_sample(PageLoader& loader, const TreeRoot& root, std::size_t i, std::size_t n);
// So many of them are worth a look: all leaves if they are children of the root and no more than `max`, else `max`.
[[nodiscard]] Result<std::size_t> map_samples(PageLoader& loader, const TreeRoot& root, std::size_t max);
// The map with the changes laid over it (sorted, no overlaps; holes take out). A subtree that a hole covers is dropped unread.
// `carried` as in tree_update.
[[nodiscard]] Result<MaybeRoot> map_update(PageLoader& loader, PageWriter& writer, const MaybeRoot& root,
                                           std::span<const Run> changes, Ledger& ledger,
                                           std::vector<Run>* carried = nullptr);

}  // namespace s3crate::volume
