// SPDX-License-Identifier: GPL-3.0-or-later
// The copying of a restore, by cp(1); and what of it cannot be read, which costs no more than itself.
#pragma once

#include <string>
#include <vector>

#include "cli/progress_line.h"
#include "cli/signals.h"

namespace s3crate::cli {

struct Wanted {
  std::string from;  // below the mounted filesystem, no symbolic link on the way
  std::string name;  // in the target
};

// Files that are not in the copy, because their content cannot be read, and directories of which some of what is in them is not.
struct Unread {
  static constexpr std::size_t kListedMax = 10'000;
  std::vector<std::string> paths;  // the first of them, as `from` has them
  std::size_t count = 0;
  std::string attributes;  // none are missing, but attributes of some could not be read: what cp said first
  [[nodiscard]] bool any() const { return count > 0 || !attributes.empty(); }
};

// All of it into a directory. kCancelled by an interrupt; else an error says that nothing was restored: no room, attributes that the target cannot hold.
[[nodiscard]] Result<Unread> copy_wanted(const std::vector<Wanted>& wanted, const std::string& directory, const Interrupts& interrupts,
                                         ProgressLine& progress);

}  // namespace s3crate::cli
