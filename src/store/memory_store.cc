// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/memory_store.h"

#include <cstring>

#include "store/arguments.h"

namespace s3crate::store {

Result<> MemoryStore::put(const std::string& name, std::span<const ByteView> parts) {
  TRY(check_name(name));
  Bytes data;
  for (ByteView part : parts) append(data, part);
  auto object = std::make_shared<const Bytes>(std::move(data));
  MutexLock lock(mu_);
  if (!objects_.emplace(name, std::move(object)).second) {
    return fail(Code::kExists, "object {} exists", name);
  }
  return {};
}

Result<MemoryStore::Object> MemoryStore::find(const std::string& name) {
  TRY(check_name(name));
  MutexLock lock(mu_);
  auto found = objects_.find(name);
  if (found == objects_.end()) return not_found(name);
  return found->second;
}

Result<Bytes> MemoryStore::get(const std::string& name, std::uint64_t max_size) {
  Object object = TRY(find(name));
  if (object->size() > max_size) return too_long(name, object->size(), max_size);
  return *object;
}

Result<> MemoryStore::get_range(const std::string& name, std::uint64_t offset,
                                MutableByteView out) {
  Object object = TRY(find(name));
  if (!covers(object->size(), offset, out.size())) {
    return too_short(name, object->size(), offset, out.size());
  }
  if (!out.empty()) std::memcpy(out.data(), object->data() + offset, out.size());
  return {};
}

Result<ObjectInfo> MemoryStore::head(const std::string& name) {
  Object object = TRY(find(name));
  return ObjectInfo{name, object->size()};
}

Result<ListPage> MemoryStore::list(const std::string& prefix, const std::string& start_after,
                                   std::size_t max_keys) {
  TRY(check_max_keys(max_keys));
  ListPage page;
  MutexLock lock(mu_);
  auto it = start_after < prefix ? objects_.lower_bound(prefix) : objects_.upper_bound(start_after);
  for (; it != objects_.end() && it->first.starts_with(prefix); ++it) {
    if (page.objects.size() == max_keys) {
      page.more = true;
      break;
    }
    page.objects.push_back({it->first, it->second->size()});
  }
  return page;
}

Result<> MemoryStore::remove(const std::string& name) {
  TRY(check_name(name));
  MutexLock lock(mu_);
  objects_.erase(name);
  return {};
}

}  // namespace s3crate::store
