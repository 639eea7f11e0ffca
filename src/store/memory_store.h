// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryStore: objects in memory, gone with the process. For tests, the simulator and measurements.
#pragma once

#include <map>

#include "base/mutex.h"
#include "store/object_store.h"

namespace s3crate::store {

class MemoryStore final : public ObjectStore {
 public:
  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset,
                                   MutableByteView out) override;
  [[nodiscard]] Result<ObjectInfo> head(const std::string& name) override;
  [[nodiscard]] Result<ListPage> list(const std::string& prefix, const std::string& start_after,
                                      std::size_t max_keys) override;
  [[nodiscard]] Result<> remove(const std::string& name) override;
  [[nodiscard]] StoreCaps caps() const override { return {.local = true}; }
  [[nodiscard]] std::string describe() const override { return "memory"; }

 private:
  using Object = std::shared_ptr<const Bytes>;
  [[nodiscard]] Result<Object> find(const std::string& name);

  Mutex mu_;
  std::map<std::string, Object> objects_ GUARDED_BY(mu_);
};

}  // namespace s3crate::store
