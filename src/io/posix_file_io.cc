// SPDX-License-Identifier: GPL-3.0-or-later
#include "io/posix_file_io.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace s3crate::io {
namespace {

template <typename Call>
auto uninterrupted(Call call) {
  for (;;) {
    auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

std::string parent_of(const std::string& path) {
  std::size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return "/";
  std::size_t slash = path.find_last_of('/', end);
  if (slash == std::string::npos) return ".";
  end = path.find_last_not_of('/', slash);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

FileIdentity identity_of(const struct stat& st) { return {st.st_dev, st.st_ino}; }

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::read_only:
      return O_RDONLY;
    case OpenMode::read_write:
      return O_RDWR;
    case OpenMode::create_new:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::create_or_open:
      return O_RDWR | O_CREAT;
  }
  return O_RDONLY;
}

}  // namespace

Error errno_error(int err, std::string_view doing, std::string_view path) {
  Code code = Code::kIo;
  switch (err) {
    case ENOENT:
      code = Code::kNotFound;
      break;
    case EEXIST:
      code = Code::kExists;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = Code::kDenied;
      break;
    case ENOSPC:
    case EDQUOT:
      code = Code::kNoSpace;
      break;
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case ENAMETOOLONG:
      code = Code::kBadArgument;
      break;
    default:
      break;
  }
  return {code, fmt::format("cannot {} {}: {}", doing, path, std::generic_category().message(err))};
}

PosixFile::~PosixFile() { ::close(fd_); }

Result<> PosixFile::read_at(std::uint64_t offset, MutableByteView out) {
  while (!out.empty()) {
    ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error(errno, "read", path_));
    if (n == 0) {
      return fail(Code::kCorrupt, "{} ends at {}, {} bytes before what was asked for", path_,
                  offset, out.size());
    }
    offset += static_cast<std::size_t>(n);
    out = out.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> PosixFile::write_chunk(Chunk chunk) {
  while (chunk.length > 0) {
    ssize_t n = ::pwritev(fd_, chunk.parts.data(), static_cast<int>(chunk.parts.size()),
                          static_cast<off_t>(chunk.offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(errno_error(errno, "write", path_));
    if (n == 0) return fail(Code::kIo, "cannot write {}: the kernel took no bytes", path_);
    advance(chunk, static_cast<std::size_t>(n));
  }
  return {};
}

Result<> PosixFile::write(std::span<const WriteOp> ops, Sync sync) {
  WritePlan plan(ops);
  for (const Chunk& chunk : plan.chunks()) TRY(write_chunk(chunk));
  if (sync == Sync::yes) TRY(datasync());
  return {};
}

Result<> PosixFile::datasync() {
  // EINTR is a failure like any other: an error of write-back may have been reported and forgotten
  // with it, and a second call would then say that all is well.
  if (::fdatasync(fd_) != 0) return fail(errno_error(errno, "sync", path_));
  return {};
}

void PosixFile::drop_cached(std::uint64_t offset, std::uint64_t size) {
  static_cast<void>(::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(size), POSIX_FADV_DONTNEED));
}

Result<std::uint64_t> PosixFile::size() {
  struct stat st {};
  if (::fstat(fd_, &st) != 0) return fail(errno_error(errno, "look at", path_));
  // Others have no size, and would pass for empty.
  if (!S_ISREG(st.st_mode)) return fail(Code::kBadArgument, "{} is not a regular file", path_);
  return static_cast<std::uint64_t>(st.st_size);
}

Result<> PosixFile::allocate(std::uint64_t size) {
  std::uint64_t now = TRY(this->size());
  if (size == 0) return {};
  auto reserve = [&] { return ::fallocate(fd_, 0, 0, static_cast<off_t>(size)); };
  if (uninterrupted(reserve) == 0) return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS)
    return fail(errno_error(errno, "reserve room in", path_));
  if (now >= size) return {};
  auto lengthen = [&] { return ::ftruncate(fd_, static_cast<off_t>(size)); };
  if (uninterrupted(lengthen) != 0) return fail(errno_error(errno, "lengthen", path_));
  return {};
}

Result<FileIdentity> PosixFile::identity() {
  struct stat st {};
  if (::fstat(fd_, &st) != 0) return fail(errno_error(errno, "look at", path_));
  return identity_of(st);
}

Result<> PosixFile::lock() {
  // flock(2) and not fcntl(2): its locks belong to the open file, so two Files of one process
  // exclude each other, and closing one of them does not give away the other's.
  if (uninterrupted([&] { return ::flock(fd_, LOCK_EX | LOCK_NB); }) == 0) return {};
  if (errno == EWOULDBLOCK) return fail(Code::kExists, "{} is locked by another process", path_);
  return fail(errno_error(errno, "lock", path_));
}

std::unique_ptr<File> PosixFileIo::make_file(int fd, const std::string& path) {
  return std::make_unique<PosixFile>(fd, path);
}

Result<std::unique_ptr<File>> PosixFileIo::open(const std::string& path, OpenMode mode) {
  int fd = uninterrupted([&] { return ::open(path.c_str(), flags_of(mode) | O_CLOEXEC, 0600); });
  if (fd < 0) return fail(errno_error(errno, "open", path));
  std::unique_ptr<File> file = make_file(fd, path);
  struct stat st {};
  if (::fstat(fd, &st) != 0) return fail(errno_error(errno, "look at", path));
  // open(2) lets a directory be opened for reading, to fail only later.
  if (S_ISDIR(st.st_mode)) return fail(errno_error(EISDIR, "open", path));
  return file;
}

Result<> PosixFileIo::link(const std::string& from, const std::string& to) {
  if (::link(from.c_str(), to.c_str()) != 0) {
    return fail(errno_error(errno, fmt::format("link {} to", from), to));
  }
  return {};
}

Result<> PosixFileIo::remove(const std::string& path) {
  if (std::remove(path.c_str()) != 0) return fail(errno_error(errno, "remove", path));
  return {};
}

Result<> PosixFileIo::make_directories(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent_of(path));
  if (errno == ENOENT && parent_of(path) != path) {
    TRY(make_directories(parent_of(path)));
    if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(parent_of(path));
  }
  if (errno != EEXIST) return fail(errno_error(errno, "make the directory", path));
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return fail(errno_error(errno, "look at", path));
  if (!S_ISDIR(st.st_mode)) return fail(errno_error(ENOTDIR, "make the directory", path));
  return {};
}

Result<> PosixFileIo::sync_directory(const std::string& path) {
  int fd = uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (fd < 0) return fail(errno_error(errno, "open the directory", path));
  int err = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  // EINVAL: this filesystem (some of FUSE and of the network) has no such thing; its names need
  // none.
  if (err != 0 && err != EINVAL) return fail(errno_error(err, "sync the directory", path));
  return {};
}

Result<std::vector<DirectoryEntry>> PosixFileIo::list(const std::string& path) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) return fail(errno_error(errno, "list", path));
  std::vector<DirectoryEntry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(dir.get());
    if (entry == nullptr && errno != 0) return fail(errno_error(errno, "list", path));
    if (entry == nullptr) break;
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_directory = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN || entry->d_type == DT_LNK) {
      struct stat st {};
      is_directory =
          ::fstatat(::dirfd(dir.get()), entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
    }
    entries.push_back({std::move(name), is_directory});
  }
  std::ranges::sort(entries, {}, &DirectoryEntry::name);
  return entries;
}

Result<FileIdentity> PosixFileIo::identity(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return fail(errno_error(errno, "look at", path));
  return identity_of(st);
}

Result<std::uint64_t> PosixFileIo::free_bytes(const std::string& path) {
  struct statvfs st {};
  if (uninterrupted([&] { return ::statvfs(path.c_str(), &st); }) != 0) {
    return fail(errno_error(errno, "look at the filesystem of", path));
  }
  return static_cast<std::uint64_t>(st.f_bavail) * st.f_frsize;
}

FileIo& posix_file_io() {
  static PosixFileIo io;
  return io;
}

}  // namespace s3crate::io
