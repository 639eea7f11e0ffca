// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace s3crate::internal {

void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "s3crate-blk: internal error: %s at %s:%d\n", what, file, line);
  std::abort();
}

}  // namespace s3crate::internal
