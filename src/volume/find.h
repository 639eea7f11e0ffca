// SPDX-License-Identifier: GPL-3.0-or-later
// Which volumes are in a store: every object named `volume`, at the store's root or deeper, is
// where one is said to be. Names alone are looked at.
//
// What a volume keeps many of (commits, keys, segments, map) is passed over with one LIST each,
// however many there are, and so is what lies too deep. Other objects are gone through; a place
// with more of them than lists_max pages is not looked at to its end, and the answer says so.
#pragma once

#include <string>
#include <vector>

#include "store/object_store.h"

namespace s3crate::volume {

struct FindOptions {
  std::size_t depth_max = 8;  // directories above the object
  std::size_t lists_max = 1000;
  std::size_t volumes_max = 10'000;
  std::size_t list_page = 1000;
};

struct FoundVolumes {
  std::vector<std::string> places;  // "", "a/b"; in the order of the store's names
  bool complete = true;
  std::size_t lists = 0;  // requests made
};

[[nodiscard]] Result<FoundVolumes> find_volumes(store::ObjectStore& store,
                                                const FindOptions& options = {});

}  // namespace s3crate::volume
