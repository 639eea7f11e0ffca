// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/restore_place.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace s3crate::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = ".s3crate-restore.";

Fd lock_of(const std::string& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 ? std::move(fd) : Fd();
}

void clear_remains(const std::string& target) {
  std::error_code error;
  for (fs::directory_iterator it(target, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().starts_with(kPrefix)) continue;
    std::error_code ignored;
    if (const Fd lock = lock_of(it->path())) fs::remove_all(it->path(), ignored);
  }
}

bool is_directory(const std::string& path) {
  struct stat st = {};
  return ::lstat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

Result<std::vector<std::string>> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) names.push_back(it->path().filename());
  if (error) return fail(system_error(error.value(), "read", directory));
  return names;
}

Result<> look_in_the_way(const std::string& from, const std::string& to, Overwrite overwrite) {
  if (!is_there(from) || !is_there(to)) return {};
  if (overwrite == Overwrite::no) return fail(Code::kExists, "{} has come to be meanwhile, and stays", to);
  if (is_directory(from) != is_directory(to))
    return fail(Code::kExists, "{} is {} a directory, and was {} at that point: move it away first", to, is_directory(to) ? "now" : "not", is_directory(from) ? "one" : "none");
  if (!is_directory(from)) return {};
  for (const auto& name : TRY(names_in(from))) TRY(look_in_the_way(from + "/" + name, to + "/" + name, overwrite));
  return {};
}

Result<> move_in(const std::string& from, const std::string& to, Overwrite overwrite) {
  if (!is_directory(from) || !is_directory(to)) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), overwrite == Overwrite::no ? RENAME_NOREPLACE : 0) == 0) return {};
    if (errno == EEXIST) return fail(Code::kExists, "{} has come to be meanwhile, and stays", to);
    return fail(system_error(errno, "put in place", to));
  }
  struct stat st = {};
  if (::lstat(from.c_str(), &st) != 0) return fail(system_error(errno, "look at", from));
  for (const auto& name : TRY(names_in(from))) TRY(move_in(from + "/" + name, to + "/" + name, overwrite));
  const timespec times[] = {st.st_atim, st.st_mtim};
  if (::lchown(to.c_str(), st.st_uid, st.st_gid) != 0 || ::chmod(to.c_str(), st.st_mode & 07777) != 0 ||
      ::utimensat(AT_FDCWD, to.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
    return fail(system_error(errno, "change the attributes of", to));
  return {};
}

}  // namespace

Result<Staging> Staging::make(const std::string& target) {
  clear_remains(target);
  auto path = fmt::format("{}/{}XXXXXX", target, kPrefix);
  if (::mkdtemp(path.data()) == nullptr) return fail(system_error(errno, "make a directory in", target));
  return Staging(path, lock_of(path));
}

Staging::~Staging() {
  std::error_code error;
  if (!path_.empty()) fs::remove_all(path_, error);
}

bool is_there(const std::string& path) {
  struct stat st = {};
  return ::lstat(path.c_str(), &st) == 0;
}

Result<> put_in_place(const std::vector<std::string>& names, const Staging& staging, const std::string& target, Overwrite overwrite) {
  for (const auto& name : names) TRY(look_in_the_way(staging.path_of(name), target + "/" + name, overwrite));
  for (const auto& name : names)
    if (is_there(staging.path_of(name))) TRY(move_in(staging.path_of(name), target + "/" + name, overwrite));
  return {};
}

}  // namespace s3crate::cli
