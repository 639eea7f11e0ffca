// SPDX-License-Identifier: GPL-3.0-or-later
// Where a volume may be put that another one is the origin of.
#pragma once

#include "cli/url.h"

namespace s3crate::cli {

// kBadArgument: in or around the origin, or with a fingerprint.
[[nodiscard]] Result<Url> place_of_fork(Url url, const Url& origin);

}  // namespace s3crate::cli
