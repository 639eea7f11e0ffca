// SPDX-License-Identifier: GPL-3.0-or-later
// The extent cache: plain extents in memory, keyed by (origin, segment, number). What is write-once can never be stale, so
// the head and every past generation share it. Least recently used goes first; misses of one extent share one load.
//
// Threading: fetch() is thread-safe and may block on the store; no lock is held meanwhile.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/buffer_pool.h"
#include "base/executor.h"
#include "base/lru_cache.h"
#include "base/turns.h"
#include "cache/sealed_cache.h"
#include "segment/extent.h"
#include "store/object_store.h"

namespace s3crate::cache {

using segment::ExtentRef;
using segment::ObjectKey;
using PlainExtent = Blob;  // its blocks, decompressed

// Where plain extents come from when the cache has none.
class ExtentSource {
 public:
  virtual ~ExtentSource() = default;
  // One result for each ref, in the order of refs, which are sorted by (object, offset) and distinct. A failure of one costs
  // no other. Thread-safe.
  [[nodiscard]] virtual std::vector<Result<PlainExtent>> load(std::span<const ExtentRef> refs) = 0;
  // The cache had it, now and a while ago.
  virtual void was_used(const ExtentRef&) {}
  // Finds out what load_ahead() has to know of an object, which may take as long as a load(). Whether it did.
  [[nodiscard]] virtual bool prepare(const ObjectKey&) { return true; }
  // The same of what nobody waits for yet: gives way to load(), and gives up early. After prepare(). What keeps a processor busy for
  // long waits for its turn.
  [[nodiscard]] virtual std::vector<Result<PlainExtent>> load_ahead(std::span<const ExtentRef> refs, Turns::Place& /*place*/) {
    return load(refs);
  }
};

// An extent, and about how many bytes it will take in the cache.
struct AheadExtent {
  ExtentRef ref;
  std::uint64_t bytes = 0;
};

struct CacheStats {
  std::uint64_t hits = 0, misses = 0, shared_loads = 0, bytes = 0, capacity = 0;
};

class ExtentCache {
 public:
  // `capacity` in bytes of plain data; an extent larger than it is handed out without being kept. Without a clock sources are not
  // told of what was used.
  ExtentCache(Executor& executor, std::uint64_t capacity, Clock* clock = nullptr);
  ~ExtentCache();

  // One result for each ref, in any order, duplicates allowed. Errors are not kept: the next fetch tries again.
  [[nodiscard]] std::vector<Result<PlainExtent>> fetch(std::span<const ExtentRef> refs, ExtentSource& source,
                                                       FetchCounts* counts = nullptr);
  // Loads what the cache lacks of `extents` (sorted by place, distinct), for others to find; together with what else was
  // loaded ahead and found no reader yet, that takes at most half of the capacity. Errors are dropped. Whether it loaded any.
  bool load_ahead(std::span<const AheadExtent> extents, ExtentSource& source, Turns::Place& place);
  // For each whether it is neither in the cache nor on its way there.
  [[nodiscard]] std::vector<bool> absent(std::span<const ExtentRef> refs) const;
  [[nodiscard]] std::uint64_t ahead_max() const { return capacity_ / 2; }
  [[nodiscard]] LoadedAhead loaded_ahead() const;
  [[nodiscard]] CacheStats stats() const;

 private:
  struct Impl;
  const std::uint64_t capacity_;
  std::unique_ptr<Impl> impl_;
};

// The order in which sources want their refs.
[[nodiscard]] bool by_place(const ExtentRef& a, const ExtentRef& b);

// How the extents of an object are reached: its name, where in the object its extents' offsets count from, and the key.
struct OpenedObject {
  std::string name;
  std::uint64_t base_offset = 0;
  crypto::OpeningKey key;
};
class ObjectResolver {
 public:
  virtual ~ObjectResolver() = default;
  // kCorrupt if the chain does not name this object. Thread-safe; may block on the store.
  [[nodiscard]] virtual Result<std::shared_ptr<const OpenedObject>> resolve(const ObjectKey& key) = 0;
};

// What a disk keeps of the memory that segments were read into, or made in.
inline constexpr std::size_t kBuffersKept = 32 << 20;

// Extents from the store, or from a cache of what it holds. Neighbours in one object (gaps up to kGapMax) come with one ranged
// GET of at most kGetMax. The GETs of one load() are under way together, up to kGetsTogether of them and to kGetMax bytes, as far as
// kTasksMax for all of the source goes; if a range fails the extents in it are tried one by one only when the failure was kCorrupt or kNotFound.
class StoreExtentSource final : public ExtentSource {
 public:
  static constexpr std::uint64_t kGapMax = 16 << 10;
  static constexpr std::uint64_t kGetMax = 8 << 20;
  static constexpr std::size_t kGetsTogether = 16;
  static constexpr std::size_t kTasksMax = 128;
  // Fewer extents than that are opened without waiting for a turn.
  static constexpr std::size_t kTurnMin = 16;
  StoreExtentSource(store::ObjectStore& store, ObjectResolver& resolver, std::uint32_t block_size,
                    SealedCache* cache = nullptr, BufferPool* buffers = nullptr, Executor* executor = nullptr)
      : store_(store), resolver_(resolver), block_size_(block_size), cache_(cache), buffers_(buffers), executor_(executor) {}
  // How many of `refs` (sorted by place, one at least), from the first on, come with one GET.
  [[nodiscard]] static std::size_t in_one_get(std::span<const ExtentRef> refs);
  [[nodiscard]] std::vector<Result<PlainExtent>> load(std::span<const ExtentRef> refs) override;
  void was_used(const ExtentRef& ref) override;
  [[nodiscard]] bool prepare(const ObjectKey& object) override { return resolver_.resolve(object).has_value(); }
  // Of a range that fails, nothing is tried again.
  [[nodiscard]] std::vector<Result<PlainExtent>> load_ahead(std::span<const ExtentRef> refs, Turns::Place& place) override;

 private:
  // `place`: of what is read ahead, else null.
  [[nodiscard]] std::vector<Result<PlainExtent>> load(std::span<const ExtentRef> refs, Turns::Place* place);
  [[nodiscard]] std::vector<std::size_t> load_cached(std::span<const ExtentRef> refs,
                                                     std::vector<Result<PlainExtent>>& answers);
  [[nodiscard]] std::vector<Result<PlainExtent>> load_stored(std::span<const ExtentRef> refs, Turns::Place* place);
  void load_range(std::span<const ExtentRef> refs, std::span<Result<PlainExtent>> answers, Turns::Place* place);

  store::ObjectStore& store_;
  ObjectResolver& resolver_;
  const std::uint32_t block_size_;
  SealedCache* const cache_;   // may be null
  BufferPool* const buffers_;  // may be null: fresh memory for each GET
  Executor* const executor_;   // may be null: one GET after the other
  std::atomic<std::size_t> tasks_{0};  // beside those that called
};

}  // namespace s3crate::cache
