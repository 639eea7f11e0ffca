// SPDX-License-Identifier: GPL-3.0-or-later
// Damages: what reads of a mounted disk and of its pasts met of damage. A filesystem tells its user of an input/output error at most; this is
// what `status` and the log can say of it. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/result.h"

namespace s3crate::device {

class Damages {
 public:
  struct Met {
    std::uint64_t reads = 0;
    std::string first;  // in words
  };
  // If this read ended for damage. `disk`: whose bytes these are.
  void note(std::string_view disk, std::uint64_t offset, std::uint64_t length, const Error& error);
  [[nodiscard]] Met met() const;

 private:
  mutable Mutex mu_;
  Met met_ GUARDED_BY(mu_);
};

}  // namespace s3crate::device
