// SPDX-License-Identifier: GPL-3.0-or-later
// The directory history/: past generations as files. There is no table of inodes: a generation's inode is its number behind
// kFirstPastInode, whatever name it was found by, so nothing grows with lookups, and there is nothing to forget.
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <string>
#include <vector>

#include "device/history.h"
#include "fuse/server.h"

namespace s3crate::fuse {

inline constexpr fuse_ino_t kHistoryInode = 1024;
inline constexpr fuse_ino_t kFirstPastInode = fuse_ino_t{1} << 32;

class PastFiles {
 public:
  // `history` may be null: then nothing is shown.
  PastFiles(device::History* history, std::uint32_t block_size, uid_t uid, gid_t gid);

  [[nodiscard]] bool shown() const { return history_ != nullptr; }
  [[nodiscard]] bool has(fuse_ino_t ino) const { return shown() && ino > kFirstPastInode; }

  // All of these answer 0 or an errno. A name that is not fixed is not to be remembered.
  [[nodiscard]] int lookup(const char* name, fuse_entry_param& entry);
  [[nodiscard]] int attributes(fuse_ino_t ino, struct stat& st);
  [[nodiscard]] int open(fuse_ino_t ino, std::shared_ptr<device::Readable>& past);
  struct Name {
    std::string name;
    fuse_ino_t ino = 0;
    mode_t type = S_IFREG;
  };
  [[nodiscard]] int list(std::vector<Name>& names);

 private:
  [[nodiscard]] struct stat describe(const device::Past& past) const;

  device::History* const history_;
  const std::uint32_t block_size_;
  const uid_t uid_;
  const gid_t gid_;
};

}  // namespace s3crate::fuse
