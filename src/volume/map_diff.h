// SPDX-License-Identifier: GPL-3.0-or-later
// Where two generations of a disk differ, from their maps alone: no data is read, and no page of the
// map that both share. So two generations of a disk of any size cost what was changed between them.
//
// A block is the same if both maps have it at the same place of the same extent, or as a hole. What
// is stored is never stored over, so these are equal; any other block counts as changed, even if it
// was written anew with what it held.
#pragma once

#include <functional>

#include "volume/volume.h"

namespace s3crate::volume {

// Calls `changed` with ranges of blocks, in order, with unchanged ones between them. Behind the end
// of the smaller disk there is nothing, which is as good as a hole. Memory: some pages a level.
[[nodiscard]] Result<> map_diff(PageLoader& loader, const View& a, const View& b,
                                std::uint32_t block_size,
                                const std::function<Result<>(BlockIndex, BlockIndex)>& changed);

}  // namespace s3crate::volume
