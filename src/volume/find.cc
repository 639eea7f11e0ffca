// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/find.h"

#include <algorithm>

#include "segment/object_names.h"

namespace s3crate::volume {
namespace {

// Follows the names of ours in a directory, which begin with hexadecimal digits, but not those of
// volumes in it.
constexpr std::string_view kBehindOurs = "g";
// Follows all names in a directory.
constexpr std::string_view kBehindAll = "~";

bool is_of_many(std::string_view name) {
  return segment::parse_commit_name(name) || segment::parse_keys_copy_name(name) ||
         segment::parse_slot_name(name) || segment::parse_object_name(name);
}

std::size_t depth_of(std::string_view name) {
  return static_cast<std::size_t>(std::ranges::count(name, '/'));
}

// Where to go on behind a page that ends with `name`.
std::string behind(const std::string& name, std::size_t depth_max) {
  const auto slash = name.rfind('/');
  if (slash != std::string::npos && slash > 0) {
    const auto above = name.rfind('/', slash - 1);
    const auto begin = above == std::string::npos ? 0 : above + 1;
    if (is_of_many(std::string_view(name).substr(begin)))
      return name.substr(0, slash + 1).append(kBehindOurs);
  }
  if (depth_of(name) <= depth_max) return name;
  std::size_t end = 0;
  for (std::size_t i = 0; i <= depth_max; ++i) end = name.find('/', end) + 1;
  return std::max(name, name.substr(0, end).append(kBehindAll));
}

}  // namespace

Result<FoundVolumes> find_volumes(store::ObjectStore& store, const FindOptions& options) {
  FoundVolumes found;
  for (std::string after; found.lists < options.lists_max;) {
    const auto page = TRY(store.list("", after, options.list_page));
    ++found.lists;
    for (const auto& object : page.objects) {
      const auto begin = object.name.rfind('/') + 1;  // 0 if there is no slash
      if (std::string_view(object.name).substr(begin) != segment::kVolumeName) continue;
      if (depth_of(object.name) > options.depth_max) continue;
      if (found.places.size() == options.volumes_max) {
        found.complete = false;
        return found;
      }
      found.places.push_back(object.name.substr(0, begin == 0 ? 0 : begin - 1));
    }
    if (!page.more || page.objects.empty()) return found;
    after = behind(page.objects.back().name, options.depth_max);
  }
  found.complete = false;
  return found;
}

}  // namespace s3crate::volume
