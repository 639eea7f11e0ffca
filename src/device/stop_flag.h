// SPDX-License-Identifier: GPL-3.0-or-later
// How a caller takes a waiting call back: who waits looks at it several times a second.
#pragma once

#include <atomic>

#include "base/clock.h"

namespace s3crate::device {

using StopFlag = const std::atomic<bool>*;  // nullptr: never
inline constexpr Duration kStopPoll = std::chrono::milliseconds(200);

[[nodiscard]] inline bool is_set(StopFlag stop) { return stop != nullptr && *stop; }

}  // namespace s3crate::device
