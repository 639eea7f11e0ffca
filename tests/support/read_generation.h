// SPDX-License-Identifier: GPL-3.0-or-later
// The disk of a generation, as another reader of the volume sees it.
#pragma once

#include "device/gather.h"
#include "tests/support/disk_world.h"

namespace s3crate::test {

inline std::unique_ptr<volume::Volume> open_volume(store::ObjectStore& store, const DiskWorld& world) {
  auto volume = volume::Volume::open(system_env(), store, world.keys(), {});
  CHECK(volume && (*volume)->load_head());
  return std::move(*volume);
}

// The disk of a view, whole.
inline Result<Bytes> read_view(volume::Volume& volume, const volume::View& view) {
  volume::ObjectTable objects(system_env().executor, volume.keys(), volume.pages());
  objects.begin_at(view);
  cache::StoreExtentSource source(volume.store(), objects, DiskWorld::kBlock);
  cache::ExtentCache cache(system_env().executor, 1 << 20);
  Bytes out(view.disk_bytes);
  device::Gather gather(BlockIndex(0), BlockIndex(view.disk_bytes / DiskWorld::kBlock), DiskWorld::kBlock, out);
  gather.add_runs(view.changes, {});
  TRY(gather.add_tree(volume.pages(), view.map));
  TRY(gather.finish(cache, source));
  return out;
}
inline Result<Bytes> read_generation(volume::Volume& volume, Generation generation) {
  return read_view(volume, TRY(volume.load_view(TRY(volume.load_commit(generation)))));
}

}  // namespace s3crate::test
