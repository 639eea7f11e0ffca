// SPDX-License-Identifier: GPL-3.0-or-later
// ShelfStore: objects to look at: a map that is copied and changed at little cost, and a store that
// shows it, takes nothing, and notes what of it was read.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "store/arguments.h"
#include "store/memory_store.h"

namespace s3crate::test {

// By name; what is under a name is shared between copies.
using Shelf = std::map<std::string, std::shared_ptr<const Bytes>>;

inline std::shared_ptr<const Bytes> shelved(Bytes bytes) {
  return std::make_shared<const Bytes>(std::move(bytes));
}

inline Shelf shelf_of(store::ObjectStore& store) {
  Shelf shelf;
  const auto page = store.list("", "", store::kListKeysMax);
  CHECK(page && !page->more);
  for (const store::ObjectInfo& info : page->objects)
    shelf[info.name] = shelved(store.get(info.name, info.size).value());
  return shelf;
}

inline void put_all(const Shelf& shelf, store::ObjectStore& store) {
  for (const auto& [name, bytes] : shelf) CHECK(store.put(name, *bytes));
}

// What was read: [from, to) of an object, or all of it, however long it may be.
struct Span {
  std::string object;
  std::uint64_t from = 0, to = 0;
  bool whole = false;
};

// Not thread-safe.
class ShelfStore final : public store::ObjectStore {
 public:
  explicit ShelfStore(const Shelf& shelf) : shelf_(shelf) {}
  [[nodiscard]] std::vector<Span> take_reads() { return std::exchange(reads_, {}); }

  Result<> put(const std::string& name, std::span<const ByteView>) override {
    return fail(Code::kDenied, "{} is put on a shelf to be looked at", name);
  }
  Result<> remove(const std::string& name) override {
    return fail(Code::kDenied, "{} is taken from a shelf to be looked at", name);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    const auto found = shelf_.find(name);
    if (found == shelf_.end()) return store::not_found(name);
    const Bytes& bytes = *found->second;
    if (bytes.size() > max_size) return store::too_long(name, bytes.size(), max_size);
    reads_.push_back({name, 0, bytes.size(), true});
    return bytes;
  }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override {
    const auto found = shelf_.find(name);
    if (found == shelf_.end()) return store::not_found(name);
    const Bytes& bytes = *found->second;
    if (!store::covers(bytes.size(), offset, out.size()))
      return store::too_short(name, bytes.size(), offset, out.size());
    reads_.push_back({name, offset, offset + out.size(), false});
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  }
  Result<store::ObjectInfo> head(const std::string& name) override {
    const auto found = shelf_.find(name);
    if (found == shelf_.end()) return store::not_found(name);
    return store::ObjectInfo{name, found->second->size()};
  }
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after,
                               std::size_t max_keys) override {
    store::ListPage page;
    auto it = start_after < prefix ? shelf_.lower_bound(prefix) : shelf_.upper_bound(start_after);
    for (; it != shelf_.end() && it->first.starts_with(prefix); ++it) {
      page.more = page.objects.size() == max_keys;
      if (page.more) break;
      page.objects.push_back({it->first, it->second->size()});
    }
    return page;
  }
  [[nodiscard]] store::StoreCaps caps() const override { return {.local = true}; }
  [[nodiscard]] std::string describe() const override { return "shelf"; }

 private:
  const Shelf& shelf_;
  std::vector<Span> reads_;
};

}  // namespace s3crate::test
