// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/image_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/time_text.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kZerosAtATime = 1 << 20;
constexpr std::uint64_t kZeroRangeAtATime = 1 << 30;

// A pipe that nobody has open at its other end must not hold us up before we know that it is one.
Fd open_at_once(const std::string& path, int flags) { return Fd(::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC)); }

std::pair<std::string, std::string> split_path(const std::string& path) {
  const auto slash = path.rfind('/');
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

// --- read --------------------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<ImageFile>> ImageFile::open(const std::string& path) {
  Fd fd = open_at_once(path, O_RDONLY);
  if (!fd) return fail(system_error(errno, "open", path));
  auto out = std::unique_ptr<ImageFile>(new ImageFile(path, std::move(fd)));
  if (::fstat(out->fd_.get(), &out->as_opened_) != 0) return fail(system_error(errno, "look at", path));
  const auto mode = out->as_opened_.st_mode;
  if (!S_ISREG(mode) && !S_ISBLK(mode)) return fail(Code::kBadArgument, "{} is neither a file nor a block device", path);
  const off_t end = ::lseek(out->fd_.get(), 0, SEEK_END);
  if (end < 0) return fail(system_error(errno, "find the size of", path));
  out->size_ = static_cast<std::uint64_t>(end);
  return out;
}

Result<> ImageFile::read(std::uint64_t offset, MutableByteView out) {
  while (!out.empty()) {
    const auto n = ::pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(system_error(errno, "read", fmt::format("{} at {}", path_, offset)));
    if (n == 0) return fail(Code::kIo, "{} became shorter while it was read", path_);
    out = out.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

// What a filesystem cannot tell is data.
Result<std::uint64_t> ImageFile::next_data(std::uint64_t offset) {
  if (!S_ISREG(as_opened_.st_mode)) return offset;
  const off_t at = ::lseek(fd_.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (at < 0) return errno == ENXIO ? size_ : offset;
  return std::min(size_, static_cast<std::uint64_t>(at));
}

Result<bool> ImageFile::unchanged() {
  struct stat now = {};
  if (::fstat(fd_.get(), &now) != 0) return fail(system_error(errno, "look at", path_));
  const off_t end = ::lseek(fd_.get(), 0, SEEK_END);
  if (end < 0 || static_cast<std::uint64_t>(end) != size_) return false;
  return !S_ISREG(now.st_mode) ||
         (now.st_mtim.tv_sec == as_opened_.st_mtim.tv_sec && now.st_mtim.tv_nsec == as_opened_.st_mtim.tv_nsec);
}

// --- write -------------------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<ImageTarget>> ImageTarget::open(const std::string& path, std::uint64_t size, device::StopFlag stop) {
  const auto make = [&](Kind kind, const std::string& where) {
    return std::unique_ptr<ImageTarget>(new ImageTarget(kind, where, stop));
  };
  if (path == "-") {
    if (::isatty(STDOUT_FILENO) != 0) return fail(Code::kBadArgument, "standard output is a terminal: send the image to a file or a pipe");
    auto out = make(Kind::stream, "standard output");
    out->fd_.reset(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    if (!out->fd_) return fail(system_error(errno, "write", "standard output"));
    return out;
  }
  struct stat there = {};
  const bool exists = ::stat(path.c_str(), &there) == 0;
  if (exists && S_ISDIR(there.st_mode)) return fail(Code::kBadArgument, "{} is a directory: name a file in it", path);
  if (!exists || S_ISREG(there.st_mode)) {
    auto out = make(Kind::file, canonical_path(path));
    TRY(out->open_file(size));
    return out;
  }
  auto out = make(S_ISBLK(there.st_mode) ? Kind::device : Kind::stream, path);
  if (S_ISBLK(there.st_mode)) {
    TRY(out->open_device(size));
    return out;
  }
  out->fd_.reset(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!out->fd_) return fail(system_error(errno, "open", path));
  return out;
}

ImageTarget::~ImageTarget() {
  if (!beside_.empty()) ::unlink(beside_.c_str());
}

Error ImageTarget::write_error(int error) const {
  if (error == ENOSPC || error == EDQUOT)
    return {Code::kNoSpace, fmt::format("there is no room for the image in {}: {}", kind_ == Kind::file ? split_path(path_).first : path_,
                                        std::strerror(error))};
  if (error == EFBIG || error == EINVAL)
    return {Code::kNoSpace, fmt::format("the filesystem of {} holds no file as large as the disk", path_)};
  return system_error(error, "write", path_);
}

Result<> ImageTarget::open_file(std::uint64_t size) {
  const auto [directory, name] = split_path(path_);
  const std::string beside = fmt::format("{}/.{}.{}.partial", directory == "/" ? "" : directory, name, ::getpid());
  fd_.reset(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd_) return fail(system_error(errno, "make", path_));
  beside_ = beside;
  if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return fail(write_error(errno));
  return {};
}

Result<> ImageTarget::open_device(std::uint64_t size) {
  // Exclusive: a device that is mounted, or part of another one, is refused.
  fd_.reset(::open(path_.c_str(), O_WRONLY | O_EXCL | O_CLOEXEC));
  if (!fd_ && errno == EBUSY) return fail(Code::kIo, "{} is in use: unmount it, or take it out of what it is part of", path_);
  if (!fd_) return fail(system_error(errno, "open", path_));
  const off_t end = ::lseek(fd_.get(), 0, SEEK_END);
  if (end < 0) return fail(system_error(errno, "find the size of", path_));
  if (static_cast<std::uint64_t>(end) < size)
    return fail(Code::kNoSpace, "{} has {}, the disk has {}: nothing was written", path_, format_bytes(static_cast<std::uint64_t>(end)), format_bytes(size));
  return {};
}

Result<> ImageTarget::data(std::uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    const auto n = kind_ == Kind::stream ? ::write(fd_.get(), bytes.data(), bytes.size())
                                         : ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR && !device::is_set(stop_)) continue;
    if (n < 0) return fail(write_error(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<> ImageTarget::write_zeros(std::uint64_t offset, std::uint64_t length) {
  const Bytes zeros(std::min(length, kZerosAtATime));
  while (length > 0) {
    if (device::is_set(stop_)) return fail(Code::kCancelled, "stopped");
    const std::uint64_t n = std::min<std::uint64_t>(length, zeros.size());
    TRY(data(offset, ByteView(zeros).first(n)));
    offset += n;
    length -= n;
  }
  return {};
}

Result<> ImageTarget::zeros(std::uint64_t offset, std::uint64_t length) {
  if (kind_ == Kind::file) return {};  // it is a hole there
  while (kind_ == Kind::device && length > 0) {
    if (device::is_set(stop_)) return fail(Code::kCancelled, "stopped");
    const std::uint64_t n = std::min(length, kZeroRangeAtATime);
    if (::fallocate(fd_.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(n)) != 0) break;
    offset += n;
    length -= n;
  }
  return write_zeros(offset, length);
}

Result<> ImageTarget::finish() {
  if (kind_ == Kind::stream) return {};
  if (::fsync(fd_.get()) != 0) return fail(write_error(errno));
  if (kind_ == Kind::device) return {};
  if (::rename(beside_.c_str(), path_.c_str()) != 0) return fail(system_error(errno, "replace", path_));
  beside_.clear();
  const auto directory = split_path(path_).first;
  const Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::fsync(fd.get()) != 0) return fail(system_error(errno, "sync", directory));
  return {};
}

}  // namespace s3crate::cli
