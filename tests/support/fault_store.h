// SPDX-License-Identifier: GPL-3.0-or-later
// FaultStore: an ObjectStore that fails as stores do, by seed, and as an attacker or a broken disk
// would, on request. Everything it injects is counted. Thread-safe.
//
// By seed (rates are in 1/1000 of calls):
//   transient_before   kTransient, nothing done
//   transient_after    puts and removes are done, then kTransient
//   late               puts answer kTransient and are done during a later call, if the name is
//                      free then
//   corrupt            reads answer kCorrupt
//   flip               one bit of the body of a get or get_range is wrong
// lose() hides an object from readers; its name stays taken, unless it is removed.
// On request: lose(), replace(), restore() and set_away(), and `before`, a hook that sees every
// call first and may fail it or do any of these.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "store/arguments.h"
#include "store/metered_store.h"
#include "store/object_store.h"

namespace s3crate::test {

struct FaultOptions {
  std::uint64_t seed = 0;
  unsigned transient_before = 0;
  unsigned transient_after = 0;
  unsigned late = 0;
  unsigned corrupt = 0;
  unsigned flip = 0;
};

struct FaultCounts {
  std::uint64_t transient_before = 0, transient_after = 0, late = 0, corrupt = 0, flips = 0,
                away = 0;
  [[nodiscard]] std::uint64_t total() const {
    return transient_before + transient_after + late + corrupt + flips + away;
  }
};

class FaultStore final : public store::ObjectStore {
 public:
  using Hook = std::function<Result<>(store::Verb verb, const std::string& name)>;

  explicit FaultStore(store::ObjectStore& inner, FaultOptions options = {})
      : inner_(inner), options_(options), random_(options.seed) {}

  // Before the store is used, or while nobody does. Called without a lock held.
  void set_hook(Hook before) { before_ = std::move(before); }
  // Everything is kTransient until set_away(false).
  void set_away(bool away) {
    MutexLock lock(mu_);
    away_ = away;
  }
  // From now on the object is missing.
  void lose(const std::string& name) {
    MutexLock lock(mu_);
    changed_[name] = std::nullopt;
  }
  // From now on the object reads as `data`, whatever is stored.
  void replace(const std::string& name, Bytes data) {
    MutexLock lock(mu_);
    changed_[name] = std::move(data);
  }
  // Undoes lose() and replace().
  void restore(const std::string& name) {
    MutexLock lock(mu_);
    changed_.erase(name);
  }
  [[nodiscard]] FaultCounts counts() const {
    MutexLock lock(mu_);
    return counts_;
  }

  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    TRY(begin(store::Verb::put, name));
    if (roll(options_.late, &FaultCounts::late)) {
      Bytes data;
      for (ByteView part : parts) append(data, part);
      MutexLock lock(mu_);
      pending_.emplace_back(name, std::move(data));
      return fail(Code::kTransient, "injected: {} is put later", name);
    }
    Result<> done = inner_.put(name, parts);
    if (done && roll(options_.transient_after, &FaultCounts::transient_after)) {
      return fail(Code::kTransient, "injected: the answer to put {} was lost", name);
    }
    return done;
  }

  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    TRY(begin(store::Verb::get, name));
    auto changed = change_of(name);
    if (changed && !*changed) return store::not_found(name);
    if (changed && (*changed)->size() > max_size) {
      return store::too_long(name, (*changed)->size(), max_size);
    }
    Bytes data = changed ? std::move(**changed) : TRY(inner_.get(name, max_size));
    flip(data);
    return data;
  }

  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset,
                                   MutableByteView out) override {
    TRY(begin(store::Verb::get_range, name));
    auto changed = change_of(name);
    if (!changed) {
      TRY(inner_.get_range(name, offset, out));
    } else if (!*changed) {
      return store::not_found(name);
    } else {
      const Bytes& data = **changed;
      if (!store::covers(data.size(), offset, out.size())) {
        return store::too_short(name, data.size(), offset, out.size());
      }
      std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    }
    flip(out);
    return {};
  }

  [[nodiscard]] Result<store::ObjectInfo> head(const std::string& name) override {
    TRY(begin(store::Verb::head, name));
    auto changed = change_of(name);
    if (!changed) return inner_.head(name);
    if (!*changed) return store::not_found(name);
    return store::ObjectInfo{name, (*changed)->size()};
  }

  // Lost objects are left out; replaced ones are listed with their new size if the store holds any.
  [[nodiscard]] Result<store::ListPage> list(const std::string& prefix,
                                             const std::string& start_after,
                                             std::size_t max_keys) override {
    TRY(begin(store::Verb::list, prefix));
    std::string after = start_after;
    for (;;) {
      store::ListPage page = TRY(inner_.list(prefix, after, max_keys));
      if (page.objects.empty()) return page;
      after = page.objects.back().name;
      std::erase_if(page.objects, [&](store::ObjectInfo& info) {
        auto changed = change_of(info.name);
        if (changed && *changed) info.size = (*changed)->size();
        return changed && !*changed;
      });
      if (!page.objects.empty() || !page.more) return page;
    }
  }

  [[nodiscard]] Result<> remove(const std::string& name) override {
    TRY(begin(store::Verb::remove, name));
    TRY(inner_.remove(name));
    restore(name);
    if (roll(options_.transient_after, &FaultCounts::transient_after)) {
      return fail(Code::kTransient, "injected: the answer to remove {} was lost", name);
    }
    return {};
  }

  [[nodiscard]] std::optional<WallTime> store_time() override { return inner_.store_time(); }
  // What flips bits is a line.
  [[nodiscard]] store::StoreCaps caps() const override {
    store::StoreCaps caps = inner_.caps();
    if (options_.flip > 0) caps.local = false;
    return caps;
  }
  [[nodiscard]] std::string describe() const override { return inner_.describe(); }

 private:
  [[nodiscard]] bool roll(unsigned rate, std::uint64_t FaultCounts::*count) {
    MutexLock lock(mu_);
    if (random_() % 1000 >= rate) return false;
    ++(counts_.*count);
    return true;
  }

  [[nodiscard]] Result<> begin(store::Verb verb, const std::string& name) {
    if (before_) TRY(before_(verb, name));
    finish_late_put();
    {
      MutexLock lock(mu_);
      if (away_) {
        ++counts_.away;
        return fail(Code::kTransient, "injected: the store is away");
      }
    }
    if (roll(options_.transient_before, &FaultCounts::transient_before)) {
      return fail(Code::kTransient, "injected: {} {} failed", store::verb_name(verb), name);
    }
    bool reads = verb != store::Verb::put && verb != store::Verb::remove;
    if (reads && roll(options_.corrupt, &FaultCounts::corrupt)) {
      return fail(Code::kCorrupt, "injected: a bad answer to {} {}", store::verb_name(verb), name);
    }
    return {};
  }

  // One of those pending, at random, one call in four.
  void finish_late_put() {
    std::pair<std::string, Bytes> late;
    {
      MutexLock lock(mu_);
      if (pending_.empty() || random_() % 4 != 0) return;
      std::swap(pending_.at(random_() % pending_.size()), pending_.back());
      late = std::move(pending_.back());
      pending_.pop_back();
    }
    // Whether it still finds its name free is a matter of chance, as it should be.
    static_cast<void>(inner_.put(late.first, late.second));
  }

  // Outer: whether it was changed; inner: to what, or lost.
  [[nodiscard]] std::optional<std::optional<Bytes>> change_of(const std::string& name) {
    MutexLock lock(mu_);
    auto found = changed_.find(name);
    if (found == changed_.end()) return std::nullopt;
    return found->second;
  }

  void flip(MutableByteView data) {
    if (data.empty() || !roll(options_.flip, &FaultCounts::flips)) return;
    MutexLock lock(mu_);
    data[random_() % data.size()] ^= static_cast<std::uint8_t>(1u << random_() % 8);
  }

  store::ObjectStore& inner_;
  const FaultOptions options_;
  Hook before_;

  mutable Mutex mu_;
  std::mt19937_64 random_ GUARDED_BY(mu_);
  bool away_ GUARDED_BY(mu_) = false;
  std::map<std::string, std::optional<Bytes>> changed_ GUARDED_BY(mu_);
  std::vector<std::pair<std::string, Bytes>> pending_ GUARDED_BY(mu_);
  FaultCounts counts_ GUARDED_BY(mu_);
};

}  // namespace s3crate::test
