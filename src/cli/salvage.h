// SPDX-License-Identifier: GPL-3.0-or-later
// repair --into.
#pragma once

#include "cli/command.h"

namespace s3crate::cli {

[[nodiscard]] CommandResult run_salvage(Context& context);

}  // namespace s3crate::cli
