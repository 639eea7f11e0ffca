// SPDX-License-Identifier: GPL-3.0-or-later
#include "fuse/past_files.h"

#include <sys/stat.h>

#include <cerrno>

#include "fuse/errno.h"

namespace s3crate::fuse {
namespace {

constexpr double kFixedSeconds = 3600;

int errno_of(const Error& error) {
  switch (error.code()) {
    case Code::kNotFound:
    case Code::kBadArgument: return ENOENT;  // a name of nothing
    case Code::kNoSpace: return ENFILE;      // too many are open
    default: return to_errno(error.code());
  }
}

Generation generation_of(fuse_ino_t ino) { return Generation(ino - kFirstPastInode); }
fuse_ino_t inode_of(Generation generation) { return kFirstPastInode + generation.value; }

}  // namespace

PastFiles::PastFiles(device::History* history, std::uint32_t block_size, uid_t uid, gid_t gid)
    : history_(history), block_size_(block_size), uid_(uid), gid_(gid) {}

struct stat PastFiles::describe(const device::Past& past) const {
  struct stat st = {};
  st.st_ino = inode_of(past.generation);
  st.st_mode = S_IFREG | 0400;
  st.st_nlink = 1;
  st.st_uid = uid_;
  st.st_gid = gid_;
  st.st_size = static_cast<off_t>(past.disk_bytes);
  st.st_blksize = block_size_;
  const auto ns = past.time.time_since_epoch().count();
  st.st_mtim = st.st_ctim = st.st_atim = {ns / 1'000'000'000, ns % 1'000'000'000};
  return st;
}

int PastFiles::lookup(const char* name, fuse_entry_param& entry) {
  const auto past = history_->find(name);
  if (!past) return errno_of(past.error());
  entry.ino = inode_of(past->generation);
  entry.generation = 1;
  entry.entry_timeout = past->fixed ? kFixedSeconds : 0;
  // How much of it is data costs some pages: the kernel is to ask when somebody wants to know.
  entry.attr = describe(*past);
  entry.attr_timeout = 0;
  return 0;
}

int PastFiles::attributes(fuse_ino_t ino, struct stat& st) {
  const auto past = history_->at(generation_of(ino));
  if (!past) return errno_of(past.error());
  st = describe(*past);
  const auto bytes = history_->allocated_bytes(past->generation);
  if (!bytes) return errno_of(bytes.error());
  st.st_blocks = static_cast<blkcnt_t>(*bytes / 512);
  return 0;
}

int PastFiles::open(fuse_ino_t ino, std::shared_ptr<device::Readable>& past) {
  auto opened = history_->open(generation_of(ino));
  if (!opened) return errno_of(opened.error());
  past = std::move(*opened);
  return 0;
}

int PastFiles::list(std::vector<Name>& names) {
  auto listed = history_->list();
  if (!listed) return errno_of(listed.error());
  names = {{".", kHistoryInode, S_IFDIR}, {"..", FUSE_ROOT_ID, S_IFDIR}};
  for (device::PastName& past : *listed) names.push_back({std::move(past.name), inode_of(past.generation), S_IFREG});
  return 0;
}

}  // namespace s3crate::fuse
