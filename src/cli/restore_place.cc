// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/restore_place.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>

namespace s3crate::cli {
namespace {

namespace fs = std::filesystem;

using Overwrite = Staging::Overwrite;

constexpr std::string_view kPrefix = ".s3crate-restore.";
constexpr int kNamesTried = 100;
// Says which directory it was made in, so that a copy of one, restored from a filesystem that had it, is none.
constexpr const char* kMark = ".s3crate-restore";
constexpr const char* kAcls[] = {"system.posix_acl_access", "system.posix_acl_default"};
constexpr std::size_t kMarkMax = 64, kAclMax = 64 << 10;

Fd open_directory(int parent, const std::string& name) {
  return Fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

bool lock(const Fd& directory) { return ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0; }

std::string path_of(const Fd& fd) { return fmt::format("/proc/{}/fd/{}", ::getpid(), fd.get()); }

// nullopt: it is not there.
std::optional<struct stat> look(const Fd& directory, const std::string& name) {
  struct stat st = {};
  if (::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return std::nullopt;
  return st;
}

Result<std::vector<std::string>> names_in(const Fd& directory, const std::string& shown) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(path_of(directory), error), end; !error && it != end; it.increment(error)) names.push_back(it->path().filename());
  if (error) return fail(system_error(error.value(), "read", shown));
  return names;
}

void remove_all_in(const Fd& directory) {
  std::error_code error, ignored;
  for (fs::directory_iterator it(path_of(directory), error), end; !error && it != end; it.increment(error)) fs::remove_all(it->path(), ignored);
}

std::string mark_of(const struct stat& st) { return fmt::format("{} {}", st.st_dev, st.st_ino); }

bool is_marked(const Fd& directory, const struct stat& st) {
  const Fd mark(::openat(directory.get(), kMark, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  const auto text = mark ? read_small_file(mark.get(), kMark, kMarkMax) : fail(Code::kNotFound, "");
  return text && *text == mark_of(st);
}

bool put_mark(const Fd& directory, const struct stat& st) {
  const Fd mark(::openat(directory.get(), kMark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const auto text = mark_of(st);
  return mark && ::write(mark.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void clear_remains(const Fd& target) {
  std::error_code error;
  for (fs::directory_iterator it(path_of(target), error), end; !error && it != end; it.increment(error)) {
    const auto name = it->path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    const Fd left = open_directory(target.get(), name);
    struct stat st = {};
    if (!left || ::fstat(left.get(), &st) != 0 || st.st_uid != ::geteuid() || !is_marked(left, st) || !lock(left)) continue;
    remove_all_in(left);
    ::unlinkat(target.get(), name.c_str(), AT_REMOVEDIR);
  }
}

// One name of two directories, and what is below it.
struct Pair {
  const Fd& from;
  const Fd& to;
  const std::string& name;
  std::string shown;  // of `to`
};

struct Inner {
  Fd from, to;
  std::vector<std::string> names;  // in `from`
};

Result<Inner> enter(const Pair& pair) {
  Inner inner{open_directory(pair.from.get(), pair.name), open_directory(pair.to.get(), pair.name), {}};
  if (!inner.from || !inner.to) return fail(system_error(errno, "open", pair.shown));
  inner.names = TRY(names_in(inner.from, pair.shown));
  return inner;
}

Result<> look_in_the_way(const Pair& pair, dev_t device, Overwrite overwrite) {
  const auto from = look(pair.from, pair.name), to = look(pair.to, pair.name);
  if (!from || !to) return {};
  if (overwrite == Overwrite::no) return fail(Code::kExists, "{} has come to be meanwhile, and stays", pair.shown);
  if (to->st_dev != device) return fail(Code::kExists, "another filesystem, or subvolume, stands at {}: restore into that by itself", pair.shown);
  const bool was = S_ISDIR(from->st_mode), is = S_ISDIR(to->st_mode);
  if (was != is)
    return fail(Code::kExists, "{} is {} a directory, and was {} at that point: move it away first", pair.shown, is ? "now" : "not", was ? "one" : "none");
  if (!was) return {};
  const auto inner = TRY(enter(pair));
  for (const auto& name : inner.names) TRY(look_in_the_way({inner.from, inner.to, name, pair.shown + "/" + name}, device, overwrite));
  return {};
}

// Owner, mode, access lists and times. At no moment may anybody more than before or after.
Result<> take_attributes(const Fd& from, const struct stat& st, const Fd& to, const std::string& shown) {
  const auto failed = [&] { return fail(system_error(errno, "change the attributes of", shown)); };
  const int fd = to.get();
  if (::fchmod(fd, st.st_mode & 0700) != 0 || ::fchown(fd, st.st_uid, st.st_gid) != 0) return failed();
  for (const char* name : kAcls) {
    std::vector<char> list(kAclMax);
    const auto n = ::fgetxattr(from.get(), name, list.data(), list.size());
    if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP) return failed();
    if (n < 0 && ::fremovexattr(fd, name) != 0 && errno != ENODATA && errno != EOPNOTSUPP) return failed();
    if (n >= 0 && ::fsetxattr(fd, name, list.data(), static_cast<std::size_t>(n), 0) != 0) return failed();
  }
  const timespec times[] = {st.st_atim, st.st_mtim};
  // With a list, the mode of the group is its mask, which came with it.
  if (::fchmod(fd, st.st_mode & 07777) != 0 || ::futimens(fd, times) != 0) return failed();
  return {};
}

Result<> move_in(const Pair& pair, Overwrite overwrite) {
  const auto from = look(pair.from, pair.name), to = look(pair.to, pair.name);
  if (!from || !to || !S_ISDIR(from->st_mode) || !S_ISDIR(to->st_mode)) {
    const unsigned flags = overwrite == Overwrite::no ? RENAME_NOREPLACE : 0;
    if (::renameat2(pair.from.get(), pair.name.c_str(), pair.to.get(), pair.name.c_str(), flags) == 0) return {};
    if (errno == EEXIST) return fail(Code::kExists, "{} has come to be meanwhile, and stays", pair.shown);
    return fail(system_error(errno, "put in place", pair.shown));
  }
  const auto inner = TRY(enter(pair));
  for (const auto& name : inner.names) TRY(move_in({inner.from, inner.to, name, pair.shown + "/" + name}, overwrite));
  return take_attributes(inner.from, *from, inner.to, pair.shown);
}

}  // namespace

Result<Staging> Staging::make(Random& random, const std::string& target) {
  Fd directory = open_directory(AT_FDCWD, target);
  if (!directory) return fail(system_error(errno, "open", target));
  clear_remains(directory);
  for (int i = 0; i < kNamesTried; ++i) {
    auto name = fmt::format("{}{}", kPrefix, to_hex(random.array<8>()));
    if (::mkdirat(directory.get(), name.c_str(), 0700) != 0) {
      if (errno == EEXIST) continue;
      return fail(system_error(errno, "make a directory in", target));
    }
    // Somebody may have put another one there by now.
    Fd made = open_directory(directory.get(), name);
    struct stat st = {};
    if (!made || ::fstat(made.get(), &st) != 0 || st.st_uid != ::geteuid() || (st.st_mode & 077) != 0 || !lock(made)) {
      ::unlinkat(directory.get(), name.c_str(), AT_REMOVEDIR);
      return fail(Code::kIo, "nothing was restored: {} holds no directory that only root enters: it is being changed by somebody, or its filesystem "
                  "has no owners", target);
    }
    Staging staging(std::move(directory), target, std::move(name), std::move(made));
    if (!put_mark(staging.fd_, st)) return fail(system_error(errno, "write to", target));
    return staging;
  }
  return fail(Code::kExists, "cannot make a directory in {}: all names are taken", target);
}

Staging::~Staging() {
  if (!fd_) return;
  remove_all_in(fd_);
  ::unlinkat(target_.get(), name_.c_str(), AT_REMOVEDIR);
}

std::string Staging::path() const { return path_of(fd_); }

bool Staging::has(const std::string& name) const { return look(fd_, name).has_value(); }

bool Staging::is_in_target(const std::string& name) const { return look(target_, name).has_value(); }

Result<> Staging::put_in_place(const std::vector<std::string>& names, Overwrite overwrite) const {
  const auto pair = [&](const std::string& name) { return Pair{fd_, target_, name, target_name_ + "/" + name}; };
  struct stat st = {};
  if (::fstat(target_.get(), &st) != 0) return fail(system_error(errno, "look at", target_name_));
  for (const auto& name : names) TRY(look_in_the_way(pair(name), st.st_dev, overwrite));
  for (const auto& name : names) {
    auto moved = has(name) ? move_in(pair(name), overwrite) : Result<>();
    if (!moved) return fail(moved.error().code(), "{}: what could be put in place until then is; the same command with --overwrite does the rest", moved.error().message());
  }
  return {};
}

}  // namespace s3crate::cli
