// SPDX-License-Identifier: GPL-3.0-or-later
// The directory that is shown, as libfuse's low-level operations. server.cc mounts it and runs it.
//
// - Inode 1 is the directory, 2 the disk, 3 and up the text files; past generations are in past_files.h.
// - The disk's pages are cached by the kernel (keep_cache: nobody changes them behind its back but a resize, which tells), so that plain losetup
//   and readers of the file get read-ahead. O_DIRECT passes the cache by, which is what losetup --direct-io=on does.
// - A flush is real: FSYNC always, FLUSH and RELEASE when this handle has written since the last one.
// - Data moves by plain read and write of /dev/fuse. Splicing pays when it ends in a file; ours ends in memory,
//   where a pipe in between only adds work.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <atomic>
#include <string>
#include <vector>

#include "base/executor.h"
#include "fuse/past_files.h"
#include "fuse/server.h"

namespace s3crate::fuse {

inline constexpr std::uint32_t kRequestMax = 1 << 20;
inline constexpr fuse_ino_t kDiskInode = 2;
inline constexpr fuse_ino_t kFirstTextInode = 3;

// A writer that waits for room holds a thread, and /dev/fuse is first come, first served: reads get through only if
// there is always one thread more than there are writers waiting. A loop device has at most 128 requests under way
// of at most 1280 KiB each, which are two of ours; the rest is for programs that use the file itself.
inline constexpr unsigned kThreadsMax = 2 * 128 + 64;
inline constexpr unsigned kThreadsIdleMax = 16;  // a thread owns a buffer of 1 MiB: those not needed end
// Asynchronous direct I/O counts as background. The kernel's own queue must never be where a read waits.
inline constexpr std::uint16_t kBackgroundMax = 1024;

class Filesystem {
 public:
  Filesystem(Clock& clock, device::Disk& disk, const ServerOptions& options);

  [[nodiscard]] static const fuse_lowlevel_ops& operations();

  void init(fuse_conn_info* connection);
  void lookup(fuse_req_t req, fuse_ino_t parent, const char* name);
  void getattr(fuse_req_t req, fuse_ino_t ino);
  void setattr(fuse_req_t req, fuse_ino_t ino, struct stat* attr, int to_set, bool of_handle);
  void open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info);
  void read(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info* info);
  void write(fuse_req_t req, const char* data, std::size_t size, off_t offset, fuse_file_info* info);
  void flush(fuse_req_t req, fuse_file_info* info);
  void release(fuse_req_t req, fuse_file_info* info);
  void fsync(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info);
  void fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, fuse_file_info* info);
  void lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, fuse_file_info* info);
  void opendir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info);
  void readdir(fuse_req_t req, std::size_t size, off_t offset, fuse_file_info* info);
  void releasedir(fuse_req_t req, fuse_file_info* info);
  void statfs(fuse_req_t req);

 private:
  struct Handle {
    const std::string text;             // of a text file
    std::shared_ptr<device::Readable> past = nullptr;  // of a past generation
    std::atomic<bool> written = false;  // since this handle's last flush
  };
  struct Directory {
    std::vector<PastFiles::Name> names;  // as when it was opened
  };
  static Handle& handle_of(const fuse_file_info* info) { return *reinterpret_cast<Handle*>(info->fh); }

  [[nodiscard]] bool exists(fuse_ino_t ino) const;
  [[nodiscard]] bool is_directory(fuse_ino_t ino) const { return ino == FUSE_ROOT_ID || (past_.shown() && ino == kHistoryInode); }
  [[nodiscard]] struct stat attributes(fuse_ino_t ino);
  void reply_attributes(fuse_req_t req, fuse_ino_t ino);
  [[nodiscard]] int open_file(fuse_ino_t ino, fuse_file_info* info, std::unique_ptr<Handle>& handle);
  [[nodiscard]] std::uint64_t allocated_bytes();
  // 0 or an errno.
  [[nodiscard]] int flush_disk(fuse_req_t req, Handle& handle);
  [[nodiscard]] int zero(fuse_req_t req, int mode, std::uint64_t offset, std::uint64_t length);
  void note_change(Handle& handle);

  Clock& clock_;
  device::Disk& disk_;
  const std::string disk_name_;
  const std::vector<TextFile> text_files_;
  const uid_t uid_;
  const gid_t gid_;
  const WallTime mounted_;
  PastFiles past_;
  std::atomic<std::int64_t> changed_ns_;             // mtime of the disk
  std::atomic<std::uint64_t> allocated_bytes_ = 0;   // as last known
};

}  // namespace s3crate::fuse
