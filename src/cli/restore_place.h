// SPDX-License-Identifier: GPL-3.0-or-later
// Where a restore copies to: a directory inside the target, from which what is complete takes its place by renames.
//
// Root restores into directories that others may change meanwhile. So the target is opened once, and all below it is reached from there,
// name by name, never by way of a symbolic link; and nobody else enters the directory that is copied to.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "cli/files.h"

namespace s3crate::cli {

// Removed with all in it when it goes.
class Staging {
 public:
  // `target` is an existing directory. What restores into it that were killed have left is removed first: nobody holds its lock.
  [[nodiscard]] static Result<Staging> make(Random& random, const std::string& target);
  Staging(Staging&& other) noexcept = default;
  Staging& operator=(Staging&&) = delete;
  ~Staging();
  // A path that leads there from this process and its children, whatever becomes of the names on the way.
  [[nodiscard]] std::string path() const;
  [[nodiscard]] bool has(const std::string& name) const;
  [[nodiscard]] bool is_in_target(const std::string& name) const;

  enum class Overwrite { no, yes };
  // These names, as far as they are here, come into the target. Overwriting, a file replaces a file, and a directory that is there gets what
  // is in the other one, and its owner, mode and times; what else is in it stays. kExists: something is in the way, and nothing was changed.
  [[nodiscard]] Result<> put_in_place(const std::vector<std::string>& names, Overwrite overwrite) const;

 private:
  Staging(Fd target, std::string target_name, std::string name, Fd fd)
      : target_(std::move(target)), target_name_(std::move(target_name)), name_(std::move(name)), fd_(std::move(fd)) {}
  Fd target_;
  std::string target_name_;  // for messages
  std::string name_;         // in the target
  Fd fd_;                    // locked
};

}  // namespace s3crate::cli
