// SPDX-License-Identifier: GPL-3.0-or-later
#include <map>

#include "volume/origins.h"
#include "volume/volume.h"

namespace s3crate::volume {

struct ObjectTable::Impl {
  Impl(std::shared_ptr<const KeyRing> k, PageLoader& p, std::size_t max) : keys(std::move(k)), pages(p), opened_max(max) {}

  const std::shared_ptr<const KeyRing> keys;
  PageLoader& pages;
  const std::size_t opened_max;
  Mutex mu;
  MaybeRoot root GUARDED_BY(mu);
  std::vector<TreeRoot> origin_roots;  // constant: a fork takes nothing more from its origins
  std::map<ObjectKey, ObjectInfo> fresh GUARDED_BY(mu);
  std::map<ObjectKey, std::shared_ptr<const cache::OpenedObject>> opened GUARDED_BY(mu);
};

ObjectTable::ObjectTable(Executor&, std::shared_ptr<const KeyRing> keys, PageLoader& pages, std::size_t opened_max)
    : impl_(std::make_unique<Impl>(std::move(keys), pages, opened_max)) {}
ObjectTable::~ObjectTable() = default;

void ObjectTable::begin_at(const View& view) {
  impl_->origin_roots = view.companions.origin_objects;
  rebase(view.companions.objects, {});
  for (const ObjectInfo& info : view.new_objects) add(info);
}

void ObjectTable::add(const ObjectInfo& info) {
  MutexLock lock(impl_->mu);
  impl_->fresh.insert_or_assign(info.key, info);
}

void ObjectTable::rebase(const MaybeRoot& root, std::span<const ObjectInfo> stored) {
  MutexLock lock(impl_->mu);
  impl_->root = root;
  for (const ObjectInfo& info : stored) impl_->fresh.erase(info.key);
}

Result<ObjectInfo> ObjectTable::find(const ObjectKey& key) {
  MaybeRoot root;
  {
    MutexLock lock(impl_->mu);
    if (auto it = impl_->fresh.find(key); it != impl_->fresh.end()) return it->second;
    root = impl_->root;
  }
  if (key.origin != 0) root = origin_table(impl_->origin_roots, key.origin);
  Bytes table_key = object_table_key(key);
  auto value = TRY(tree_find(impl_->pages, root, table_key));
  if (!value) return fail(Code::kCorrupt, "the map names object {:016x}, the chain does not", key.id.value);
  return decode_object_info({table_key, std::move(*value)});
}

Result<std::shared_ptr<const cache::OpenedObject>> ObjectTable::resolve(const ObjectKey& key) {
  {
    MutexLock lock(impl_->mu);
    if (auto it = impl_->opened.find(key); it != impl_->opened.end()) return it->second;
  }
  ObjectInfo info = TRY(find(key));
  if (info.kind == segment::ObjectKind::map) return fail(Code::kCorrupt, "extents in an object of the map, {}", stored_name(info));
  auto object = std::make_shared<const cache::OpenedObject>(
      cache::OpenedObject{stored_name(info), extents_base(info), TRY(impl_->keys->extent_key(info))});
  MutexLock lock(impl_->mu);
  if (impl_->opened.size() >= impl_->opened_max) impl_->opened.erase(impl_->opened.begin());
  impl_->opened.insert_or_assign(key, object);
  return object;
}

}  // namespace s3crate::volume
