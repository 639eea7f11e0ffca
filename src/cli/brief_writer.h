// SPDX-License-Identifier: GPL-3.0-or-later
// What the commands share that are the writer of a volume for as long as they run: resize, rollback, import, repair.
#pragma once

#include <optional>
#include <string>

#include "cli/mount_plan.h"
#include "cli/stack.h"

namespace s3crate::cli {

// Completes a plan that plan_writer() made: what is done is in the store, messages go to standard error, and little is cached.
void complete_for_command(MountPlan& plan, Stack& stack);

// Where on this machine the volume is mounted, if that is why it could not be opened.
[[nodiscard]] std::optional<std::string> mounted_at(const Error& error, const std::string& url);
// The error in words that say so; else as it is.
[[nodiscard]] Error unmount_first(const Error& error, const std::string& url);

}  // namespace s3crate::cli
