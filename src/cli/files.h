// SPDX-License-Identifier: GPL-3.0-or-later
// Small files and paths, for the command line layer only: what lies on disk for good goes through FileIo.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace s3crate::cli {

// Owns a file descriptor.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1);

 private:
  int fd_;
};

// errno in words, behind "cannot DO PATH": kNotFound for ENOENT and ENOTDIR, else kIo.
[[nodiscard]] Error system_error(int error, std::string_view doing, std::string_view path);

// kNotFound; kBadArgument if it is longer than `max`. Works on pipes; "-" is nothing special.
[[nodiscard]] Result<std::string> read_small_file(const std::string& path, std::size_t max);
[[nodiscard]] Result<std::string> read_small_file(int fd, const std::string& name, std::size_t max);

// A name for a line of text: what would end the line or move the cursor is written as in \n and \x1b.
[[nodiscard]] std::string on_one_line(std::string_view name);

// Absolute and without symbolic links, as far as the path exists; the rest is appended as it is.
[[nodiscard]] std::string canonical_path(const std::string& path);
// Whether `inner` is `outer` or below it; both canonical.
[[nodiscard]] bool is_inside(const std::string& inner, const std::string& outer);

}  // namespace s3crate::cli
