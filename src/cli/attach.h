// SPDX-License-Identifier: GPL-3.0-or-later
// attach and its way back, for the commands that need a filesystem for a while.
#pragma once

#include <string>

#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/filesystem.h"
#include "cli/umount.h"

namespace s3crate::cli {

struct AttachRequest {
  std::string directory;         // canonical
  bool filesystem = true;        // or stop at the loop device
  Filesystem mkfs = Filesystem::kUnknown;
  std::string options;           // of the filesystem, behind ours
};

struct Attached {
  std::string place;
  std::string device;
  std::string type;  // of the filesystem, as the kernel calls it
  bool read_only = false;
  bool scratch = false;  // the disk takes writes all the same, and forgets them
};

// `arguments` are those of an attach. What another one left half done is undone first, and whatever goes wrong, or if the user
// interrupts, all that was done. The caller has the lock. Another status than kDone was explained by the process behind the mount.
[[nodiscard]] CommandResult attach(Context& context, const AttachRequest& request, Attached& attached);

// Undoes all that there is. What was not sent yet is sent first, within the limits of `request`. kNotFound: there is nothing.
[[nodiscard]] CommandResult detach(Context& context, const std::string& directory, const UnmountRequest& request);

}  // namespace s3crate::cli
