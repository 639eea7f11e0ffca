// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace s3crate::cli {

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Error system_error(int error, std::string_view doing, std::string_view path) {
  const Code code = error == ENOENT || error == ENOTDIR ? Code::kNotFound : Code::kIo;
  return {code, fmt::format("cannot {} {}: {}", doing, path, std::strerror(error))};
}

Result<std::string> read_small_file(int fd, const std::string& name, std::size_t max) {
  std::string content;
  char buffer[4096];
  for (;;) {
    const auto n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(system_error(errno, "read", name));
    if (n == 0) return content;
    content.append(buffer, static_cast<std::size_t>(n));
    if (content.size() > max) return fail(Code::kBadArgument, "{} is longer than {} bytes", name, max);
  }
}

Result<std::string> read_small_file(const std::string& path, std::size_t max) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(system_error(errno, "open", path));
  return read_small_file(fd.get(), path, max);
}

std::string on_one_line(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') out += "\\n";
    else if (byte < 0x20 || byte == 0x7f) out += fmt::format("\\x{:02x}", byte);
    else out += c;
  }
  return out;
}

std::string canonical_path(const std::string& path) {
  std::error_code error;
  auto absolute = std::filesystem::absolute(path, error);
  if (error) return path;
  auto canonical = std::filesystem::weakly_canonical(absolute, error);
  // A mount whose daemon died cannot be looked at, but its parent can.
  if (error) {
    const auto clean = absolute.lexically_normal();
    const auto bare = clean.has_filename() ? clean : clean.parent_path();
    canonical = std::filesystem::weakly_canonical(bare.parent_path(), error);
    if (error) return absolute.lexically_normal();
    canonical /= bare.filename();
  }
  std::string text = canonical;
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

bool is_inside(const std::string& inner, const std::string& outer) {
  return inner == outer || (inner.starts_with(outer) && (outer == "/" || inner[outer.size()] == '/'));
}

}  // namespace s3crate::cli
