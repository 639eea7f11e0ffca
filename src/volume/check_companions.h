// SPDX-License-Identifier: GPL-3.0-or-later
// The pass of a check that recounts: nothing that the trees of the newest checkpoint refer to may
// count as unused, or prune would delete what a map needs. What counts as used a little too long is
// no damage.
//
// Counts are kept of so many objects at a time as the options say, in the order of their rows in
// the liveness tree; with more of them the trees are read several times.
#pragma once

#include "volume/check_objects.h"

namespace s3crate::volume {

// Pages that cannot be had are told by the other passes, and passed over here.
[[nodiscard]] Result<> check_companions(Volume& volume, const View& view,
                                        const CheckOptions& options, Findings& findings);

}  // namespace s3crate::volume
