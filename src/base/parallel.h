// SPDX-License-Identifier: GPL-3.0-or-later
// parallel(): does things that mostly wait side by side, and returns when all are done.
#pragma once

#include "base/executor.h"

namespace s3crate {

// Calls each(0) ... each(count - 1), at most `at_once` (at least 1) at a time; one of them runs
// here. Where no more tasks can be made there are fewer. An exception ends it, and comes to the caller.
void parallel(Executor& executor, std::size_t count, std::size_t at_once,
              const std::function<void(std::size_t)>& each);

}  // namespace s3crate
