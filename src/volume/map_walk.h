// SPDX-License-Identifier: GPL-3.0-or-later
// The runs of the map around what is damaged: for readers who want all that can be had, and to know
// exactly what cannot.
#pragma once

#include <functional>

#include "volume/tree_read.h"

namespace s3crate::volume {

// Whether an error is about the content of the store, and not about reaching it.
[[nodiscard]] inline bool is_damage(const Error& error) {
  return error.code() == Code::kCorrupt || error.code() == Code::kNotFound || error.code() == Code::kLost;
}

// Calls `run` with the data that the map holds of [from, to), clipped, in order, and `bad` with the
// blocks for which that cannot be told, because a page is damaged or gone. What is neither is hole.
[[nodiscard]] Result<> map_walk(
    PageLoader& loader, const MaybeRoot& root, BlockIndex from, BlockIndex to,
    const std::function<void(const Run&)>& run,
    const std::function<void(BlockIndex, BlockIndex, const Error&)>& bad);

}  // namespace s3crate::volume
