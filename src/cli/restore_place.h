// SPDX-License-Identifier: GPL-3.0-or-later
// Where a restore copies to: a directory inside the target, from which what is complete takes its place by renames.
#pragma once

#include <string>
#include <vector>

#include "cli/files.h"

namespace s3crate::cli {

// Removed with all in it when it goes.
class Staging {
 public:
  // What restores into that target that were killed have left is removed first: nobody holds its lock.
  [[nodiscard]] static Result<Staging> make(const std::string& target);
  Staging(Staging&& other) noexcept : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
  Staging& operator=(Staging&&) = delete;
  ~Staging();
  [[nodiscard]] std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Staging(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  Fd lock_;
};

[[nodiscard]] bool is_there(const std::string& path);

enum class Overwrite { no, yes };
// These names of the staging directory, as far as they are there, come into `target`. Overwriting, a file replaces a file, and a directory that is there
// gets what is in the other one, and its owner, mode and times; what else is in it stays. kExists: something is in the way, and nothing was changed.
[[nodiscard]] Result<> put_in_place(const std::vector<std::string>& names, const Staging& staging, const std::string& target, Overwrite overwrite);

}  // namespace s3crate::cli
