// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel knows: our mounts (from /proc/self/mounts) and the loop devices on a file (from /sys/block).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace s3crate::cli {

struct MountEntry {
  std::string url;
  std::string mountpoint;  // canonical
  uid_t owner = 0;
};
[[nodiscard]] std::vector<MountEntry> our_mounts();
// By its canonical mountpoint.
[[nodiscard]] std::optional<MountEntry> find_mount(const std::string& mountpoint);
// Whether anything is mounted right there.
[[nodiscard]] bool is_mountpoint(const std::string& path);

struct LoopDevice {
  std::string device;  // "/dev/loop0"
  std::string file;
  bool direct_io = false;
  bool going = false;  // it is detached as soon as the last who has it open closes it
};
// On files directly in `directory`.
[[nodiscard]] std::vector<LoopDevice> loops_in(const std::string& directory);

}  // namespace s3crate::cli
