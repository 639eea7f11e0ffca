// SPDX-License-Identifier: GPL-3.0-or-later
// What this program gives as a tag: less than what it reads (is_tag_name), so that a name can be typed
// behind @, is no other point of the past, and prints as itself.
#pragma once

#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace s3crate::volume {

// 1 to 255 bytes of UTF-8 without control characters, /, @ and #, neither . nor .., no number and no time,
// with no space at either end and no - in front. kBadArgument.
[[nodiscard]] Result<> validate_tag_name(std::string_view name, WallTime now);

}  // namespace s3crate::volume
