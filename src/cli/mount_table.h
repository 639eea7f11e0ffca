// SPDX-License-Identifier: GPL-3.0-or-later
// What the kernel knows: our mounts (from /proc/self/mounts) and the loop devices on a file (from /sys/block).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

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
// Whether something can be mounted there: it is a directory, empty, and nothing is mounted on it.
[[nodiscard]] Result<> check_free_directory(const std::string& path);

struct KernelMount {
  std::string source;  // "/dev/loop0"
  std::string directory;
  std::string type;
};
// All there are, in the order in which they were made.
[[nodiscard]] std::vector<KernelMount> kernel_mounts();

struct LoopDevice {
  std::string device;  // "/dev/loop0"
  std::string file;
  bool direct_io = false;
  bool going = false;  // it is detached as soon as the last who has it open closes it
};
// On files directly in `directory`.
[[nodiscard]] std::vector<LoopDevice> loops_in(const std::string& directory);
// The directory of the file behind "/dev/loop0"; "" if it has none.
[[nodiscard]] std::string directory_behind(const std::string& device);
// Whether another block device (of LVM, dm-crypt, md) lies on it.
[[nodiscard]] bool has_block_device_on_it(const std::string& device);

}  // namespace s3crate::cli
