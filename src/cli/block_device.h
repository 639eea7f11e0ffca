// SPDX-License-Identifier: GPL-3.0-or-later
// Which block device a filesystem is on, and what that rests on: partitions, device mapper, md, loop.
#pragma once

#include <string>

#include "base/result.h"

namespace s3crate::cli {

// Of the filesystem that `path` is in, as the kernel names it: "/dev/loop0", "tmpfs". Of one on several devices, one of them.
[[nodiscard]] Result<std::string> source_of_filesystem(const std::string& path);
// Whether a block device is, or rests on, a loop device on a file directly in `directory`.
[[nodiscard]] bool rests_on(const std::string& device, const std::string& directory);

}  // namespace s3crate::cli
