// SPDX-License-Identifier: GPL-3.0-or-later
// FailedReads: what reads of a mounted disk and of its pasts ended with. A filesystem tells its user of an input/output error at most; this is
// what `status` and the log can say of it, and how `restore` tells damage from a store that was away. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace s3crate::device {

class FailedReads {
 public:
  struct Met {
    std::uint64_t damaged = 0;  // reads that ended for damage
    std::string damage;         // the first of them in words
    std::uint64_t others = 0;   // that failed for anything else, as a store that is away
  };
  // What a read of `disk`, or of its map, ended with. True: it was damage.
  bool note(std::string_view disk, std::uint64_t offset, const Error& error);
  [[nodiscard]] Met met() const;

 private:
  mutable Mutex mu_;
  Met met_ GUARDED_BY(mu_);
};

}  // namespace s3crate::device
