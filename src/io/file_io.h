// SPDX-License-Identifier: GPL-3.0-or-later
// FileIo: the only way to the local disk: the journal, the directory store and the cache file stand on it.
//
// Implementations: posix_file_io (one system call a step), uring_file_io (batches of writes and their
// fdatasync in one io_uring submission, where the kernel has it), and the simulator's, which drops unsynced
// writes in a crash. All are thread-safe, and so are the Files they open; calls block.
//
// Errors: kNotFound, kExists, kDenied (EACCES, EPERM, EROFS), kNoSpace (ENOSPC, EDQUOT), kBadArgument
// (ENOTDIR, EISDIR, ENOTEMPTY, ENAMETOOLONG), kIo for all else; the text names the path and the cause.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::io {

enum class Sync { no, yes };

struct WriteOp {
  std::uint64_t offset = 0;
  std::span<const ByteView> parts;  // written one behind the other
};

struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

class File {
 public:
  virtual ~File() = default;  // closes, and gives a lock back

  // Fills all of `out`; kCorrupt if the file ends before.
  [[nodiscard]] virtual Result<> read_at(std::uint64_t offset, MutableByteView out) = 0;

  // Writes all ops, in no order among themselves. With Sync::yes they, and every write of this File that
  // returned before, are durable when it returns without an error. After an error any subset may be on disk,
  // torn or whole, and the caller must neither count on those places nor sync them again (Linux reports a
  // failed write-back once, then calls the page clean).
  [[nodiscard]] virtual Result<> write(std::span<const WriteOp> ops, Sync sync) = 0;
  [[nodiscard]] Result<> write_at(std::uint64_t offset, ByteView data, Sync sync = Sync::no) {
    WriteOp op{offset, {&data, 1}};
    return write({&op, 1}, sync);
  }
  // fdatasync(2).
  [[nodiscard]] virtual Result<> datasync() = 0;

  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
  // Makes the file at least `size` long with its blocks reserved where the filesystem can, else just long.
  // kNoSpace if there is no room. Never changes what is there.
  [[nodiscard]] virtual Result<> allocate(std::uint64_t size) = 0;
  [[nodiscard]] virtual Result<FileIdentity> identity() = 0;
  // A hint: what is durable of that range is not going to be read soon, so the kernel need not keep it in memory.
  virtual void drop_cached(std::uint64_t /*offset*/, std::uint64_t /*size*/) {}
  // An advisory lock of this open file, against other processes and other Files alike; kExists if another
  // holds it.
  [[nodiscard]] virtual Result<> lock() = 0;
};

enum class OpenMode {
  read_only,
  read_write,
  create_new,      // kExists if there is one; mode 0600
  create_or_open,  // mode 0600
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;
};

class FileIo {
 public:
  virtual ~FileIo() = default;

  [[nodiscard]] virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  // link(2): `to` becomes another name of `from`; kExists if there is one. Not durable before sync_directory.
  [[nodiscard]] virtual Result<> link(const std::string& from, const std::string& to) = 0;
  [[nodiscard]] virtual Result<> remove(const std::string& path) = 0;
  // mkdir -p with mode 0700; each new directory is durable when it returns.
  [[nodiscard]] virtual Result<> make_directories(const std::string& path) = 0;
  // fsync(2) of a directory: names made or removed in it before are durable when it returns.
  [[nodiscard]] virtual Result<> sync_directory(const std::string& path) = 0;
  // The entries of a directory in byte order, without . and ..
  [[nodiscard]] virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
  [[nodiscard]] virtual Result<FileIdentity> identity(const std::string& path) = 0;
  [[nodiscard]] virtual Result<std::uint64_t> free_bytes(const std::string& path) = 0;
};

FileIo& posix_file_io();
// posix_file_io() where the kernel has no io_uring or forbids it.
FileIo& uring_file_io();

}  // namespace s3crate::io
