// SPDX-License-Identifier: GPL-3.0-or-later
// What attach makes for a directory: a mount of the volume in a place that only root enters, a loop device on its disk, and the
// filesystem on that, mounted on the directory. All of it is found again from what the kernel has mounted; there is no other record that
// could be wrong. Steps come and go in this order, so each state on the way is one that detach knows:
//
//   place made | volume mounted | loop device | filesystem mounted
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cli/files.h"
#include "cli/mount_table.h"

namespace s3crate::cli {

struct Attachment {
  std::string directory;  // canonical
  std::string place;      // where the volume is, or would be, mounted; the directory itself if there is no filesystem to be on that
  std::optional<MountEntry> volume;
  std::vector<LoopDevice> loops;
  std::optional<KernelMount> filesystem;  // on the directory, from one of the loops
};

// What there is of it.
[[nodiscard]] Attachment find_attachment(const std::string& directory);

// The mount of the volume that is shown on the directory, or whose filesystem attach has put there. kNotFound.
[[nodiscard]] Result<MountEntry> find_volume(const std::string& directory);

// The directory whose filesystem stands on the volume that is mounted in that place; "" if there is none.
[[nodiscard]] std::string attached_on(const std::string& place);

// Where the volume of a directory is mounted. kBadArgument: the name of the directory is too long.
[[nodiscard]] Result<std::string> place_for(const std::string& directory);
[[nodiscard]] Result<> make_place(const std::string& place);
// Of what make_place made; others are left alone.
void remove_place(const std::string& place);

// One attach or detach of a directory at a time, in whatever process; until the process ends or the lock goes. kFenced.
class AttachLock {
 public:
  [[nodiscard]] static Result<AttachLock> take(const std::string& directory);

 private:
  explicit AttachLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// Unmounts the filesystem and lets the loop devices go; the mount of the volume stays. kExists: something of it is in use, by whom,
// and all is as it was.
[[nodiscard]] Result<> release(Env env, const Attachment& attachment);

}  // namespace s3crate::cli
