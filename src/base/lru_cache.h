// SPDX-License-Identifier: GPL-3.0-or-later
// LruCache: values by key, bounded in bytes, least recently used out first, with single flight:
// whoever asks for a value that is being loaded waits for that load and shares its answer, the
// error included. Errors are not kept.
//
// For values that never change under their key. Value is cheap to copy (a shared pointer) and
// default-constructible. Thread-safe. No lock is held while a value is loaded. Nobody waits before
// having finished the loads that it claimed itself, so two callers who wait for each other's keys
// cannot lock up.
//
// With a clock it also notices values that are found here again and again: at two times at least
// kReuseApart apart. What one reader takes piece by piece, soon after it came, is not among them.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/executor.h"
#include "base/result.h"

namespace s3crate {

struct LruCacheStats {
  std::uint64_t hits = 0, misses = 0, shared_loads = 0, bytes = 0, capacity = 0;
};

template <typename Key, typename Value, typename Hash, typename Equal = std::equal_to<Key>>
class LruCache {
 public:
  using Size = std::uint64_t (*)(const Value&);
  static constexpr Duration kReuseApart = std::chrono::seconds(5);
  // `size` says how many of the `capacity` bytes a value takes. What is larger than all of it is
  // handed out, but not kept. Without a clock nobody is told of what is found again.
  LruCache(Executor& executor, std::uint64_t capacity, Size size, Clock* clock = nullptr)
      : capacity_(capacity), size_(size), clock_(clock), landed_(executor.cond_var()) {}
  ~LruCache() { CHECK(flights_.empty()); }
  LruCache(const LruCache&) = delete;
  LruCache& operator=(const LruCache&) = delete;

  // One answer for each key. The keys that nobody has or is loading are loaded by one call of
  // `load`, which is given them in the order of `keys`, each once, and answers a vector of
  // Result<Value> in the same order. `reused` is called with each key that was found again.
  template <typename Load, typename Reused>
  [[nodiscard]] std::vector<Result<Value>> fetch(std::span<const Key> keys, Load&& load,
                                                 Reused&& reused) EXCLUDES(mutex_) {
    std::vector<Result<Value>> answers(keys.size());
    Claims claims(*this);
    std::vector<Awaited> awaited;
    for (const std::size_t at : look_up(keys, answers, claims, awaited)) reused(keys[at]);
    if (!claims.keys.empty()) {
      std::vector<Result<Value>> loaded = load(std::span<const Key>(claims.keys));
      CHECK(loaded.size() == claims.keys.size());
      for (std::size_t i = 0; i < loaded.size(); ++i) answers[claims.at[i]] = loaded[i];
      claims.land(std::move(loaded));
    }
    if (!awaited.empty()) wait_for(awaited, answers);
    return answers;
  }

  // Only what is there already. Counts neither as a hit nor as a miss.
  [[nodiscard]] std::optional<Value> find(const Key& key) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const Item* item = touch(key);
    if (item == nullptr) return std::nullopt;
    return item->value;
  }

  void insert(const Key& key, Value value) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    keep(key, std::move(value));
  }

  [[nodiscard]] LruCacheStats stats() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    LruCacheStats stats = stats_;
    stats.bytes = bytes_, stats.capacity = capacity_;
    return stats;
  }

 private:
  struct Item {
    Key key;
    Value value;
    std::uint64_t size;
    MonotonicTime found{};  // here, when it was last noticed
  };
  // A load under way. The answer is written once, under mutex_.
  struct Flight {
    std::optional<Result<Value>> answer;
  };
  struct Awaited {
    std::size_t at;
    std::shared_ptr<Flight> flight;
  };
  // The loads that one fetch() took upon itself. If the loader throws, those who wait get an error,
  // not eternity.
  struct Claims {
    explicit Claims(LruCache& owner) : cache(owner) {}
    ~Claims() {
      if (keys.empty()) return;
      cache.land(*this, std::vector<Result<Value>>(
                            keys.size(), fail(Code::kTransient, "the load was abandoned")));
    }
    Claims(const Claims&) = delete;
    Claims& operator=(const Claims&) = delete;
    void land(std::vector<Result<Value>> loaded) {
      cache.land(*this, std::move(loaded));
      keys.clear();
    }
    LruCache& cache;
    std::vector<Key> keys;
    std::vector<std::size_t> at;  // which answers they are
    std::vector<std::shared_ptr<Flight>> flights;
  };

  // Answers which were found again.
  std::vector<std::size_t> look_up(std::span<const Key> keys, std::vector<Result<Value>>& answers,
                                   Claims& claims, std::vector<Awaited>& awaited)
      EXCLUDES(mutex_) {
    const MonotonicTime now = clock_ ? clock_->monotonic_now() : MonotonicTime{};
    std::vector<std::size_t> reused;
    MutexLock lock(mutex_);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (Item* item = touch(keys[i]); item != nullptr) {
        ++stats_.hits;
        answers[i] = item->value;
        if (clock_ && is_reused(*item, now)) reused.push_back(i);
      } else if (auto flight = flights_.find(keys[i]); flight != flights_.end()) {
        ++stats_.shared_loads;
        awaited.push_back({i, flight->second});
      } else {
        ++stats_.misses;
        claims.flights.push_back(std::make_shared<Flight>());
        claims.at.push_back(i);
        claims.keys.push_back(keys[i]);
        flights_.emplace(keys[i], claims.flights.back());
      }
    }
    return reused;
  }

  static bool is_reused(Item& item, MonotonicTime now) {
    const bool before = item.found != MonotonicTime{};
    if (before && now - item.found < kReuseApart) return false;
    item.found = now;
    return before;
  }

  void land(const Claims& claims, std::vector<Result<Value>> loaded) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      for (std::size_t i = 0; i < claims.keys.size(); ++i) {
        flights_.erase(claims.keys[i]);
        if (loaded[i]) keep(claims.keys[i], *loaded[i]);
        claims.flights[i]->answer = std::move(loaded[i]);
      }
    }
    landed_->notify_all();
  }

  void wait_for(const std::vector<Awaited>& awaited, std::vector<Result<Value>>& answers)
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (const Awaited& one : awaited) {
      while (!one.flight->answer) landed_->wait(mutex_);
      answers[one.at] = *one.flight->answer;
    }
  }

  Item* touch(const Key& key) REQUIRES(mutex_) {
    auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    items_.splice(items_.begin(), items_, found->second);
    return &*found->second;
  }

  void keep(const Key& key, Value value) REQUIRES(mutex_) {
    if (auto found = index_.find(key); found != index_.end()) drop(found->second);
    const std::uint64_t size = size_(value);
    if (size > capacity_) return;
    while (bytes_ + size > capacity_) drop(std::prev(items_.end()));
    items_.push_front({key, std::move(value), size});
    index_.emplace(key, items_.begin());
    bytes_ += size;
  }

  void drop(typename std::list<Item>::iterator item) REQUIRES(mutex_) {
    bytes_ -= item->size;
    index_.erase(item->key);
    items_.erase(item);
  }

  const std::uint64_t capacity_;
  const Size size_;
  Clock* const clock_;
  const std::unique_ptr<CondVar> landed_;
  mutable Mutex mutex_;
  std::list<Item> items_ GUARDED_BY(mutex_);  // most recently used first
  std::unordered_map<Key, typename std::list<Item>::iterator, Hash, Equal> index_
      GUARDED_BY(mutex_);
  std::unordered_map<Key, std::shared_ptr<Flight>, Hash, Equal> flights_ GUARDED_BY(mutex_);
  std::uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  LruCacheStats stats_ GUARDED_BY(mutex_);
};

}  // namespace s3crate
