// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/staged.h"

#include <algorithm>
#include <set>

#include "volume/check_objects.h"
#include "volume/map_walk.h"

namespace s3crate::device {

using segment::ObjectInfo;
using segment::ObjectKey;
using volume::Run;

namespace {

constexpr std::size_t kStagedRunsMax = 1 << 20;

// All runs of objects born since the checkpoint stand in the changes since then.
std::vector<ObjectInfo> unreferenced(const volume::View& view) {
  std::set<ObjectKey> used;
  for (const Run& run : view.changes.runs())
    if (!run.hole) used.insert(run.extent.object);
  std::vector<ObjectInfo> out;
  for (const ObjectInfo& info : view.new_objects) {
    const bool candidate = info.kind == segment::ObjectKind::segment && info.key.origin == 0 && info.blocks > 0 &&
                           info.born > view.checkpoint.as_of && !used.contains(info.key);
    if (candidate) out.push_back(info);
  }
  std::ranges::sort(out, {}, &ObjectInfo::key);
  // Commits repeat what those before them said.
  const auto same = [](const ObjectInfo& a, const ObjectInfo& b) { return a.key == b.key; };
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
  return out;
}

}  // namespace

// One after the other: verifying an index may load keys.
Result<volume::RunMap> find_staged(volume::Volume& volume, const volume::View& view) {
  volume::RunMap staged;
  for (const ObjectInfo& info : unreferenced(view)) {
    if (staged.size() >= kStagedRunsMax) break;
    std::uint64_t bytes = 0;
    const auto index = volume::read_segment_index(volume, info, bytes);
    if (!index && !volume::is_damage(index.error())) return fail(index.error());
    if (!index) continue;
    for (const segment::IndexedRun& run : index->runs) {
      const auto extent = std::ranges::lower_bound(index->extents, run.extent, {}, &segment::IndexedExtent::number);
      if (extent == index->extents.end() || extent->number != run.extent) continue;
      staged.put({.block = run.block, .count = run.count, .hole = false, .first = run.first,
                  .extent = {info.key, extent->number, extent->offset, extent->length, extent->digest}});
    }
  }
  return staged;
}

}  // namespace s3crate::device
