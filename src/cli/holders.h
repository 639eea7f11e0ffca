// SPDX-License-Identifier: GPL-3.0-or-later
// Who keeps a directory or a device from being let go.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace s3crate::cli {

struct Holder {
  pid_t pid = 0;
  std::string name;  // of the program
};

// Processes, but for this one, that have `path` or something below it open, or as directory or program. As far as /proc tells this user.
[[nodiscard]] std::vector<Holder> holders_of(const std::string& path);

// "bash (1234), vim (99) and 3 more".
[[nodiscard]] std::string to_text(const std::vector<Holder>& holders);

}  // namespace s3crate::cli
