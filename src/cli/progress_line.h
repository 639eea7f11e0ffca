// SPDX-License-Identifier: GPL-3.0-or-later
// ProgressLine: how far a command is that does all the work itself, on standard error, once a second.
#pragma once

#include <string>

#include "cli/progress.h"

namespace s3crate::cli {

struct Amounts {
  std::string phase;
  std::uint64_t done = 0, total = 0;  // total 0: unknown
  std::uint64_t bytes = 0;  // read so far; 0: unknown
  bool in_bytes = false;    // done and total are bytes, and no count of things
};

class ProgressLine {
 public:
  ProgressLine(Clock& clock, ProgressStyle style);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const Amounts& amounts);

 private:
  [[nodiscard]] std::string left(const Amounts& amounts, MonotonicTime now) const;

  Clock& clock_;
  const ProgressStyle style_;
  bool drawn_ = false;
  std::string phase_;
  MonotonicTime began_{}, next_{}, at_{};
  std::uint64_t bytes_ = 0;
};

}  // namespace s3crate::cli
