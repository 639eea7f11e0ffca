// SPDX-License-Identifier: GPL-3.0-or-later
// A mount in the background, for the commands that need one.
#pragma once

#include "cli/command.h"
#include "cli/mount_plan.h"

namespace s3crate::cli {

// Returns once the disk can be used; the child never returns from it. No thread may run yet, and no secret be held.
[[nodiscard]] CommandResult mount_in_background(Context& context, const MountPlan& plan);

}  // namespace s3crate::cli
