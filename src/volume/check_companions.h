// SPDX-License-Identifier: GPL-3.0-or-later
// The pass of a check that recounts: nothing that the trees of the newest checkpoint refer to may
// count as unused, or prune would delete what a map needs. What counts as used a little too long is
// no damage.
#pragma once

#include "volume/check_objects.h"

namespace s3crate::volume {

// Objects whose counts are kept at once, some 100 bytes each. With more of them, nothing is recounted.
inline constexpr std::size_t kRecountedMax = 2'000'000;

// Pages that cannot be had are told by the other passes, and passed over here.
[[nodiscard]] Result<> check_companions(Volume& volume, const View& view, Findings& findings);

}  // namespace s3crate::volume
