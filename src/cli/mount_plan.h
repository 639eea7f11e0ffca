// SPDX-License-Identifier: GPL-3.0-or-later
// What a mount is to be, worked out and checked before anything is unlocked or changed.
#pragma once

#include <string>

#include "cli/arguments.h"
#include "cli/url.h"
#include "device/disk.h"

namespace s3crate::cli {

struct MountPlan {
  Url url;
  std::string mountpoint;  // canonical
  std::string disk_name, stats_name;
  bool allow_other = false;
  std::uint64_t scratch_bytes = 0;  // of a read-only disk that takes writes and forgets them
  bool json = false;       // errors are told as JSON
  bool greets = true;      // says on standard output what is mounted, and how it is used
  std::string log_to, log_level;
  Duration outage_timeout{}, drain_timeout{};
  std::string hooks;  // a directory; "": none
  Duration hook_timeout{};
  device::DiskOptions disk;  // but for what the store and the log are needed for
};

// kBadArgument, or kIo for what the machine lacks. Makes the state directory if there is none.
[[nodiscard]] Result<MountPlan> plan_mount(const Arguments& arguments, const std::string& mountpoint);

// The part of it that commands share which open a disk for a moment, of a plan with a URL and perhaps a mountpoint: who writes,
// and the place for its journal.
[[nodiscard]] Result<> plan_writer(const Arguments& arguments, MountPlan& plan);

// How what it writes is packed and sent, of commands that send much.
void plan_uploads(const Arguments& arguments, MountPlan& plan);

// /var/lib/s3crate-blk for root, else in the user's state directory.
[[nodiscard]] Result<std::string> state_directory(const Arguments& arguments);

}  // namespace s3crate::cli
