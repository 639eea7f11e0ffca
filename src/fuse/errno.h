// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel is told: the one place that turns a Code into an errno.
#pragma once

#include "base/result.h"

namespace s3crate::fuse {

[[nodiscard]] int to_errno(Code code);

}  // namespace s3crate::fuse
