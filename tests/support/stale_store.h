// SPDX-License-Identifier: GPL-3.0-or-later
// StaleStore: an ObjectStore whose reads lag behind its changes, by seed: for up to `stale_max` after a put or a
// removal, get, get_range, head and list answer half of the time as if it had not been. Changes themselves never err.
// Thread-safe.
#pragma once

#include <map>
#include <random>

#include "base/mutex.h"
#include "store/arguments.h"

namespace s3crate::test {

class StaleStore final : public store::ObjectStore {
 public:
  StaleStore(Clock& clock, store::ObjectStore& inner, std::uint64_t seed, Duration stale_max)
      : clock_(clock), inner_(inner), stale_max_(stale_max), random_(seed) {}

  [[nodiscard]] std::uint64_t stale_answers() const {
    MutexLock lock(mu_);
    return stale_answers_;
  }

  using ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    auto before = inner_.get(name, UINT64_MAX);
    TRY(inner_.put(name, parts));
    note(name, std::move(before));
    return {};
  }
  Result<> remove(const std::string& name) override {
    auto before = inner_.get(name, UINT64_MAX);
    TRY(inner_.remove(name));
    note(name, std::move(before));
    return {};
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    const auto old = older(name);
    if (!old) return inner_.get(name, max_size);
    if (!*old) return store::not_found(name);
    if ((**old)->size() > max_size) return store::too_long(name, (**old)->size(), max_size);
    return ***old;
  }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override {
    const auto old = older(name);
    if (!old) return inner_.get_range(name, offset, out);
    if (!*old) return store::not_found(name);
    const Bytes& data = ***old;
    if (!store::covers(data.size(), offset, out.size())) return store::too_short(name, data.size(), offset, out.size());
    std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
  }
  Result<store::ObjectInfo> head(const std::string& name) override {
    const auto old = older(name);
    if (!old) return inner_.head(name);
    if (!*old) return store::not_found(name);
    return store::ObjectInfo{name, (**old)->size()};
  }
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after, std::size_t max_keys) override {
    TRY(store::check_max_keys(max_keys));
    std::map<std::string, std::uint64_t> sizes;
    for (std::string after;;) {
      const auto page = TRY(inner_.list(prefix, after, store::kListKeysMax));
      for (const auto& info : page.objects) sizes[info.name] = info.size;
      if (!page.more) break;
      after = page.objects.back().name;
    }
    for (const std::string& name : names()) {
      const auto old = name.starts_with(prefix) ? older(name) : std::nullopt;
      if (old && *old) sizes[name] = (**old)->size();
      else if (old) sizes.erase(name);
    }
    store::ListPage page;
    for (auto it = sizes.upper_bound(start_after); it != sizes.end() && !page.more; ++it) {
      page.more = page.objects.size() == max_keys;
      if (!page.more) page.objects.push_back({it->first, it->second});
    }
    return page;
  }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }

 private:
  using Object = std::optional<std::shared_ptr<const Bytes>>;  // nothing: it was not there
  struct Change {
    Object before;
    MonotonicTime until;
  };

  void note(const std::string& name, Result<Bytes> before) {
    Object object;
    if (before) object = std::make_shared<const Bytes>(std::move(*before));
    MutexLock lock(mu_);
    const Duration lag(static_cast<Duration::rep>(random_() % static_cast<std::uint64_t>(stale_max_.count())));
    changes_[name] = {std::move(object), clock_.monotonic_now() + lag};
  }
  // What a reader is shown instead of the truth.
  std::optional<Object> older(const std::string& name) {
    MutexLock lock(mu_);
    const auto found = changes_.find(name);
    if (found == changes_.end() || clock_.monotonic_now() >= found->second.until || random_() % 2 == 0) return std::nullopt;
    ++stale_answers_;
    return found->second.before;
  }
  std::vector<std::string> names() {
    MutexLock lock(mu_);
    std::vector<std::string> out;
    for (const auto& [name, change] : changes_) out.push_back(name);
    return out;
  }

  Clock& clock_;
  store::ObjectStore& inner_;
  const Duration stale_max_;
  mutable Mutex mu_;
  std::mt19937_64 random_ GUARDED_BY(mu_);
  std::map<std::string, Change> changes_ GUARDED_BY(mu_);
  std::uint64_t stale_answers_ GUARDED_BY(mu_) = 0;
};

}  // namespace s3crate::test
