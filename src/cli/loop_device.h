// SPDX-License-Identifier: GPL-3.0-or-later
// Loop devices as attach makes them: direct I/O, sectors of 4096 bytes.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/files.h"

namespace s3crate::cli {

struct OpenLoop {
  std::string device;  // "/dev/loop0"
  Fd fd;
};

enum class LoopAccess { kReadWrite, kReadOnly };
enum class LoopEnd { kWithLastUser, kWhenAsked };  // of kWithLastUser: the one that holds the Fd, then whatever is mounted

// Takes a free device and sets it up in one step, so that there is never one half made: whoever took the same one first has it, and
// the next is tried. kUnsupported: the kernel is too old, or knows no loop devices.
[[nodiscard]] Result<OpenLoop> make_loop(const std::string& file, LoopAccess access, LoopEnd end);

// Takes the file away from a device that nobody uses; one that has none is fine.
[[nodiscard]] Result<> clear_loop(const std::string& device);

}  // namespace s3crate::cli
