// SPDX-License-Identifier: GPL-3.0-or-later
// The end of a mount, for the commands that have one.
#pragma once

#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/progress.h"

namespace s3crate::cli {

struct UnmountRequest {
  std::string name;  // what the user is told: "/mnt/crate is unmounted"
  std::string_view done;
  std::optional<Duration> timeout = std::nullopt;
  bool no_wait = false;
  ProgressStyle progress = ProgressStyle::kOff;
};
// With the options --no-wait, --timeout and --progress.
[[nodiscard]] UnmountRequest unmount_request(const Arguments& arguments, std::string name, std::string_view done);

// Unmounts and waits for the process behind the mount. What is unmounted already is waited for only. kNotFound: there is neither;
// kExists: it is in use, and all is as it was.
[[nodiscard]] CommandResult unmount_volume(Context& context, const std::string& mountpoint, const UnmountRequest& request);

}  // namespace s3crate::cli
