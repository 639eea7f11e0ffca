// SPDX-License-Identifier: GPL-3.0-or-later
// LruCache: values by key, bounded in bytes, least recently used out first, with single flight:
// whoever asks for a value that is being loaded waits for that load and shares its answer, the
// error included. Errors are not kept.
//
// What load_ahead() brings is for those who may ask for it later. Until somebody does it is
// "unused", and together with what is being loaded ahead it takes at most half of the capacity: the
// oldest unused goes first. The error of such a load is nobody's: whoever waited for it loads by
// himself.
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

// In bytes of values. Of what load_ahead() brought in, all is used, wasted (dropped before anybody
// asked) or unused.
struct LoadedAhead {
  std::uint64_t used = 0, wasted = 0;       // ever
  std::uint64_t unused = 0, under_way = 0;  // now
  [[nodiscard]] std::uint64_t loaded() const { return used + wasted + unused; }
};

// What one fetch() met: keys that it loaded itself, and keys that were just being loaded ahead.
struct FetchCounts {
  std::uint64_t missed = 0, awaited = 0;
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
                                                 Reused&& reused, FetchCounts* counts = nullptr)
      EXCLUDES(mutex_) {
    std::vector<Result<Value>> answers(keys.size());
    Claims claims(*this);
    std::vector<Awaited> awaited;
    for (const std::size_t at : look_up(keys, answers, claims, awaited, counts)) reused(keys[at]);
    if (!claims.keys.empty()) {
      std::vector<Result<Value>> loaded = load(std::span<const Key>(claims.keys));
      CHECK(loaded.size() == claims.keys.size());
      for (std::size_t i = 0; i < loaded.size(); ++i) answers[claims.at[i]] = loaded[i];
      claims.land(std::move(loaded));
    }
    if (awaited.empty()) return answers;
    const std::vector<std::size_t> failed_ahead = wait_for(awaited, answers);
    if (failed_ahead.empty()) return answers;
    std::vector<Key> again;
    again.reserve(failed_ahead.size());
    for (std::size_t at : failed_ahead) again.push_back(keys[at]);
    std::vector<Result<Value>> own = fetch(again, load, reused, counts);
    for (std::size_t i = 0; i < own.size(); ++i) answers[failed_ahead[i]] = std::move(own[i]);
    return answers;
  }

  // Loads those of `keys` (distinct) that nobody has or is loading, for others to find, as far as
  // there is room for them; sizes[i] says how many bytes the value of keys[i] will take, about.
  // Waits for nobody. Whether it loaded any.
  template <typename Load>
  bool load_ahead(std::span<const Key> keys, std::span<const std::uint64_t> sizes, Load&& load)
      EXCLUDES(mutex_) {
    Claims claims(*this);
    claim_ahead(keys, sizes, claims);
    if (claims.keys.empty()) return false;
    std::vector<Result<Value>> loaded = load(std::span<const Key>(claims.keys));
    CHECK(loaded.size() == claims.keys.size());
    claims.land(std::move(loaded));
    return true;
  }

  // For each key whether it is neither there nor being loaded.
  [[nodiscard]] std::vector<bool> absent(std::span<const Key> keys) const EXCLUDES(mutex_) {
    std::vector<bool> out(keys.size());
    MutexLock lock(mutex_);
    for (std::size_t i = 0; i < keys.size(); ++i) out[i] = is_absent(keys[i]);
    return out;
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

  [[nodiscard]] LoadedAhead loaded_ahead() const EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return ahead_;
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
    bool unused;            // loaded ahead, and not yet asked for
    std::uint64_t stamp;    // when it was put at the front
    MonotonicTime found{};  // here, when it was last noticed
  };
  using Items = std::list<Item>;
  // A load under way. The answer is written once, under mutex_.
  struct Flight {
    bool ahead = false;
    bool wanted = false;  // somebody waits for it; guarded by mutex_
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
    std::uint64_t reserved = 0;  // bytes, of loads ahead
  };

  // Answers which were found again.
  std::vector<std::size_t> look_up(std::span<const Key> keys, std::vector<Result<Value>>& answers,
                                   Claims& claims, std::vector<Awaited>& awaited,
                                   FetchCounts* counts) EXCLUDES(mutex_) {
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
        flight->second->wanted = true;
        if (counts != nullptr && flight->second->ahead) ++counts->awaited;
        awaited.push_back({i, flight->second});
      } else {
        ++stats_.misses;
        if (counts != nullptr) ++counts->missed;
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

  bool is_absent(const Key& key) const REQUIRES(mutex_) {
    return !index_.contains(key) && !flights_.contains(key);
  }

  void claim_ahead(std::span<const Key> keys, std::span<const std::uint64_t> sizes, Claims& claims)
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    const std::uint64_t most = capacity_ / 2;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (!is_absent(keys[i])) continue;
      if (ahead_.under_way + sizes[i] > most) break;
      ahead_.under_way += sizes[i];
      claims.reserved += sizes[i];
      claims.flights.push_back(std::make_shared<Flight>());
      claims.flights.back()->ahead = true;
      claims.keys.push_back(keys[i]);
      flights_.emplace(keys[i], claims.flights.back());
    }
    while (ahead_.unused > 0 && ahead_.unused + ahead_.under_way > most)
      drop(std::prev(unused_.end()));
    make_room(0);
  }

  void land(const Claims& claims, std::vector<Result<Value>> loaded) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      ahead_.under_way -= claims.reserved;
      for (std::size_t i = 0; i < claims.keys.size(); ++i) {
        const auto flight = flights_.find(claims.keys[i]);
        const bool unused = flight->second->ahead && !flight->second->wanted;
        if (loaded[i]) {
          if (flight->second->ahead && !unused) ahead_.used += size_(*loaded[i]);
          keep(claims.keys[i], *loaded[i], unused);
        }
        claims.flights[i]->answer = std::move(loaded[i]);
        flights_.erase(flight);
      }
    }
    landed_->notify_all();
  }

  // Answers which of them failed for those who loaded ahead.
  std::vector<std::size_t> wait_for(const std::vector<Awaited>& awaited,
                                    std::vector<Result<Value>>& answers) EXCLUDES(mutex_) {
    std::vector<std::size_t> failed_ahead;
    MutexLock lock(mutex_);
    for (const Awaited& one : awaited) {
      while (!one.flight->answer) landed_->wait(mutex_);
      answers[one.at] = *one.flight->answer;
      if (one.flight->ahead && !answers[one.at]) failed_ahead.push_back(one.at);
    }
    return failed_ahead;
  }

  Items& list_of(const Item& item) REQUIRES(mutex_) { return item.unused ? unused_ : items_; }

  Item* touch(const Key& key) REQUIRES(mutex_) {
    auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    Item& item = *found->second;
    items_.splice(items_.begin(), list_of(item), found->second);
    if (item.unused) {
      item.unused = false;
      ahead_.unused -= item.size;
      ahead_.used += item.size;
    }
    item.stamp = ++stamps_;
    return &item;
  }

  void keep(const Key& key, Value value, bool unused = false) REQUIRES(mutex_) {
    if (auto found = index_.find(key); found != index_.end()) drop(found->second);
    const std::uint64_t size = size_(value);
    if (size > capacity_) {
      if (unused) ahead_.wasted += size;
      return;
    }
    make_room(size);
    Items& items = unused ? unused_ : items_;
    items.push_front({key, std::move(value), size, unused, ++stamps_});
    index_.emplace(key, items.begin());
    bytes_ += size;
    if (unused) ahead_.unused += size;
  }

  // For `size` bytes more, besides what is being loaded ahead.
  void make_room(std::uint64_t size) REQUIRES(mutex_) {
    while (!index_.empty() && bytes_ + size + ahead_.under_way > capacity_) {
      const bool unused =
          items_.empty() || (!unused_.empty() && unused_.back().stamp < items_.back().stamp);
      drop(std::prev((unused ? unused_ : items_).end()));
    }
  }

  void drop(typename Items::iterator item) REQUIRES(mutex_) {
    bytes_ -= item->size;
    if (item->unused) {
      ahead_.unused -= item->size;
      ahead_.wasted += item->size;
    }
    index_.erase(item->key);
    list_of(*item).erase(item);
  }

  const std::uint64_t capacity_;
  const Size size_;
  Clock* const clock_;
  const std::unique_ptr<CondVar> landed_;
  mutable Mutex mutex_;
  // Each the most recent first: what was used, and what was loaded ahead and nobody has asked for
  // yet.
  Items items_ GUARDED_BY(mutex_);
  Items unused_ GUARDED_BY(mutex_);
  std::unordered_map<Key, typename Items::iterator, Hash, Equal> index_ GUARDED_BY(mutex_);
  std::unordered_map<Key, std::shared_ptr<Flight>, Hash, Equal> flights_ GUARDED_BY(mutex_);
  std::uint64_t bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t stamps_ GUARDED_BY(mutex_) = 0;
  LruCacheStats stats_ GUARDED_BY(mutex_);
  LoadedAhead ahead_ GUARDED_BY(mutex_);
};

}  // namespace s3crate
