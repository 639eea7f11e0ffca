// SPDX-License-Identifier: GPL-3.0-or-later
// Repair: the newest map, where pages of it or of its companions are damaged or gone, is rebuilt out of the chain of commits
// (volume/rebuild.h), and stored by a checkpoint.
//
// The disk is opened as its writer, with the rebuilt map for all of it in memory; then it is a disk like any other: it plays back its
// journal, takes guests between its commits, and a checkpoint writes the map as it always does. So a repair that is killed leaves
// what a mount that is killed leaves, with the same damage as before, and may be done again. Nothing is deleted.
#pragma once

#include "device/disk.h"
#include "volume/rebuild.h"

namespace s3crate::device {

struct RepairOptions {
  volume::RebuildOptions rebuild;
  Duration close_time = std::chrono::seconds(30);
};

struct RepairReport {
  volume::RebuildReport rebuilt;
  Generation head;         // as it was found
  Generation generation;   // the checkpoint's; 0: there was nothing to repair
};

// Errors: those of Disk::open(), and of volume::rebuild() before anything is written.
[[nodiscard]] Result<RepairReport> repair(Env env, io::FileIo& files, volume::Volume& volume, const DiskOptions& options,
                                          const RepairOptions& how);

}  // namespace s3crate::device
