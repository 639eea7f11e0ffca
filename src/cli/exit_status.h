// SPDX-License-Identifier: GPL-3.0-or-later
// Exit statuses that scripts rely on: the one table from Code.
#pragma once

#include "base/result.h"

namespace s3crate::cli {

enum ExitStatus : int {  // never renumbered
  kDone = 0,
  kFailed = 1,
  kWrongUsage = 2,
  kInUse = 3,   // the volume is in use elsewhere, or this writer was fenced
  kDamaged = 4,
  kWrongKey = 5,
  kStoreAway = 6,  // or it refuses, or is full
};

[[nodiscard]] ExitStatus exit_status(Code code);

}  // namespace s3crate::cli
