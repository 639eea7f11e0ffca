// SPDX-License-Identifier: GPL-3.0-or-later
// A quick look at data that zstd would work on in vain: what is encrypted or compressed already.
// Only compress/ uses it.
#pragma once

#include "base/bytes.h"

namespace s3crate::compress {

// True if a sample of the data is spread as evenly over the byte values as random data and no
// sector of it repeats. A wrong true costs space, a wrong false time; never more.
[[nodiscard]] bool looks_random(ByteView raw);

}  // namespace s3crate::compress
