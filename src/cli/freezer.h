// SPDX-License-Identifier: GPL-3.0-or-later
// Filesystems that are frozen for a moment, and surely thawed again.
//
// Each directory has a process of its own that holds the freeze. It thaws when it is told to, when its
// time is over, and when this process is gone, however it ended; if that one is killed itself, this
// process thaws in its place. Only if both are killed at the same moment does a filesystem stay frozen
// (fsfreeze -u thaws it). A freeze that does not come about in time is undone as soon as it has.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/files.h"

namespace s3crate::cli {

class Freezer {
 public:
  // Before any thread is made. kBadArgument: one of `directories` is not on a filesystem on a loop device, or
  // something that rests on one, on a file in `mountpoint`. Nothing is frozen yet. `limit` is for each.
  [[nodiscard]] static Result<Freezer> make(const std::vector<std::string>& directories, const std::string& mountpoint, Duration limit);
  Freezer(Freezer&&) = default;
  Freezer& operator=(Freezer&&) = delete;
  ~Freezer();  // thaws

  [[nodiscard]] bool empty() const { return held_.empty(); }
  // In this order, or none of them.
  [[nodiscard]] Result<> freeze();
  // An error: one was thawed before, because its time was over.
  [[nodiscard]] Result<> thaw();

 private:
  struct Held {
    std::string path;
    Fd directory;
    Fd socket;  // of the process that holds it
    bool frozen = false;
  };
  Freezer() = default;
  [[nodiscard]] Result<> start(Held& held);
  [[nodiscard]] Result<> freeze(Held& held);
  [[nodiscard]] Result<> thaw(Held& held);

  Duration limit_{};
  std::vector<Held> held_;
};

}  // namespace s3crate::cli
