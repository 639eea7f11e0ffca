// SPDX-License-Identifier: GPL-3.0-or-later
// The system-call implementation of FileIo, as a base for uring_file_io, which changes one step of
// it. Nothing outside src/io includes this.
#pragma once

#include <memory>
#include <string>

#include "io/file_io.h"
#include "io/write_plan.h"

namespace s3crate::io {

// What errno says, in the codes of file_io.h. `doing` is a verb: "open", "write".
[[nodiscard]] Error errno_error(int err, std::string_view doing, std::string_view path);

class PosixFile : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override;
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  [[nodiscard]] Result<> read_at(std::uint64_t offset, MutableByteView out) override;
  [[nodiscard]] Result<> write(std::span<const WriteOp> ops, Sync sync) override;
  [[nodiscard]] Result<> datasync() override;
  [[nodiscard]] Result<std::uint64_t> size() override;
  [[nodiscard]] Result<> allocate(std::uint64_t size) override;
  [[nodiscard]] Result<FileIdentity> identity() override;
  void drop_cached(std::uint64_t offset, std::uint64_t size) override;
  [[nodiscard]] Result<> lock() override;

 protected:
  // Writes what is left of the chunk, whatever the kernel takes at a time.
  [[nodiscard]] Result<> write_chunk(Chunk chunk);
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const int fd_;
  const std::string path_;
};

class PosixFileIo : public FileIo {
 public:
  [[nodiscard]] Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  [[nodiscard]] Result<> link(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<> remove(const std::string& path) override;
  [[nodiscard]] Result<> make_directories(const std::string& path) override;
  [[nodiscard]] Result<> sync_directory(const std::string& path) override;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list(const std::string& path) override;
  [[nodiscard]] Result<FileIdentity> identity(const std::string& path) override;
  [[nodiscard]] Result<std::uint64_t> free_bytes(const std::string& path) override;

 protected:
  [[nodiscard]] virtual std::unique_ptr<File> make_file(int fd, const std::string& path);
};

}  // namespace s3crate::io
