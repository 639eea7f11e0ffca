// SPDX-License-Identifier: GPL-3.0-or-later
// OriginStores: the store of a volume, and those of the volumes that it was forked from. What is asked for under
// origin_name(n, name) with n > 0 comes from the n-th of them, all else from the volume's own. Of an origin objects are only read:
// by name, and believed by their hashes.
//
// Thread-safe once no origin is attached any more.
#pragma once

#include <utility>

#include "store/object_store.h"

namespace s3crate::store {

// How an object of the n-th origin is asked for; the name itself for 0, the volume's own.
[[nodiscard]] std::string origin_name(std::uint16_t origin, const std::string& name);

class OriginStores final : public ObjectStore {
 public:
  // `own` must outlive this, as must the stores of origins.
  explicit OriginStores(ObjectStore& own) : own_(&own) {}

  // The next origin, from 1 on; `what` is how messages call it. Or why none of its objects can be had.
  void attach(ObjectStore& origin, std::string what) { origins_.push_back({&origin, std::move(what), {}}); }
  void attach_missing(Error why) { origins_.push_back({nullptr, {}, std::move(why)}); }
  // Those of a fork of the volume that `parent` is of: itself first.
  void attach_all_of(const OriginStores& parent, std::string what) {
    attach(*parent.own_, std::move(what));
    origins_.insert(origins_.end(), parent.origins_.begin(), parent.origins_.end());
  }
  [[nodiscard]] std::size_t origins() const { return origins_.size(); }

  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override;
  [[nodiscard]] Result<> get_range_ahead(const std::string& name, std::uint64_t offset, MutableByteView out) override;
  [[nodiscard]] Result<ObjectInfo> head(const std::string& name) override;
  [[nodiscard]] Result<ListPage> list(const std::string& prefix, const std::string& start_after, std::size_t max_keys) override;
  [[nodiscard]] Result<> remove(const std::string& name) override;
  [[nodiscard]] std::optional<WallTime> store_time() override { return own_->store_time(); }
  // Local only if all of them are.
  [[nodiscard]] StoreCaps caps() const override;
  [[nodiscard]] std::string describe() const override { return own_->describe(); }

 private:
  struct Origin {
    ObjectStore* store;  // nullptr: it is missing
    std::string what;
    std::optional<Error> why;
  };
  // Who has it, under which name.
  struct Place {
    const Origin* origin;  // nullptr: the volume's own store
    std::string name;
  };
  [[nodiscard]] Result<std::optional<Place>> place_of(const std::string& name) const;
  template <typename Call>
  [[nodiscard]] auto read(const std::string& name, Call call) -> decltype(call(std::declval<ObjectStore&>(), name));
  [[nodiscard]] Result<> refuse_change(const std::string& name) const;

  ObjectStore* own_;
  std::vector<Origin> origins_;
};

}  // namespace s3crate::store
