// SPDX-License-Identifier: GPL-3.0-or-later
// Leaves of the map that stand for all of it, found without reading the rest.
#include <algorithm>

#include "base/check.h"
#include "volume/map_leaf.h"

namespace s3crate::volume {
namespace {

// `at`, from 0 to 1, is how far through the leaves below the place.
Result<MapSample> sample_below(PageLoader& loader, const Place& place, double at, double leaves) {
  if (place.level == 0) {
    const BlockIndex from = place.first_key ? block_of(*place.first_key) : BlockIndex(0);
    return MapSample{from, block_or_end(place.upper), leaves};
  }
  const PagePtr page = TRY(load_page(loader, place));
  const auto children = static_cast<double>(page->entries.size());
  const auto child = std::min(static_cast<std::size_t>(at * children), page->entries.size() - 1);
  return sample_below(loader, TRY(child_place(place, *page, child)), at * children - static_cast<double>(child), leaves * children);
}

}  // namespace

Result<MapSample> map_sample(PageLoader& loader, const TreeRoot& root, std::size_t i, std::size_t n) {
  CHECK(root.tree == TreeId::map && i < n);
  const auto of = static_cast<double>(n);
  return sample_below(loader, TRY(root_place(root)), (static_cast<double>(i) + 0.5) / of, 1 / of);
}

Result<std::size_t> map_samples(PageLoader& loader, const TreeRoot& root, std::size_t max) {
  if (root.level == 0) return 1;
  if (root.level > 1) return max;
  const PagePtr page = TRY(load_page(loader, TRY(root_place(root))));
  return std::min(max, page->entries.size());
}

}  // namespace s3crate::volume
