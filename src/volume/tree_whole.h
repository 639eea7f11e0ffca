// SPDX-License-Identifier: GPL-3.0-or-later
// Whether all of a tree can be read, page by page, as those would who read it.
#pragma once

#include "volume/tree.h"

namespace s3crate::volume {

// The error of the first page that is damaged or gone; of the map, also of a run that no reader would take. kCancelled if `each`,
// called for each page, answers false. Memory: a page a level, and what is read ahead.
[[nodiscard]] Result<> tree_whole(PageLoader& loader, const MaybeRoot& root, const std::function<bool()>& each);

}  // namespace s3crate::volume
