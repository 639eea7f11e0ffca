// SPDX-License-Identifier: GPL-3.0-or-later
#include "fuse/filesystem.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>

#include "fuse/errno.h"

namespace s3crate::fuse {
namespace {

constexpr double kNameSeconds = 3600;  // names and inodes never change
constexpr double kAttrSeconds = 1;     // st_blocks and times do

timespec to_timespec(std::int64_t ns) { return {ns / 1'000'000'000, ns % 1'000'000'000}; }

// A request that finds no memory fails alone.
template <typename Body>
void guarded(fuse_req_t req, Body body) {
  try {
    body();
  } catch (const std::bad_alloc&) {
    fuse_reply_err(req, ENOMEM);
  }
}

Filesystem& self(fuse_req_t req) { return *static_cast<Filesystem*>(fuse_req_userdata(req)); }

}  // namespace

Filesystem::Filesystem(Clock& clock, device::Disk& disk, const ServerOptions& options)
    : clock_(clock),
      disk_(disk),
      disk_name_(options.disk_name),
      text_files_(options.text_files),
      uid_(::getuid()),
      gid_(::getgid()),
      mounted_(clock.wall_now()),
      past_(disk.history(), disk.block_size(), uid_, gid_),
      changed_ns_(mounted_.time_since_epoch().count()) {}

void Filesystem::init(fuse_conn_info* connection) {
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ | FUSE_CAP_ATOMIC_O_TRUNC |
                                             FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_READDIRPLUS);
  const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS;
  connection->want |= wanted & connection->capable;
  connection->max_write = kRequestMax;
  connection->max_readahead = kRequestMax;
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax / 4 * 3;
  connection->time_gran = 1;
}

bool Filesystem::exists(fuse_ino_t ino) const {
  return (ino >= FUSE_ROOT_ID && ino < kFirstTextInode + text_files_.size()) || is_directory(ino);
}

std::uint64_t Filesystem::allocated_bytes() {
  // Counting may need pages of the map from the store; when that is away, an old figure is better than no `ls`.
  if (auto bytes = disk_.allocated_bytes()) allocated_bytes_ = *bytes;
  return allocated_bytes_;
}

struct stat Filesystem::attributes(fuse_ino_t ino) {
  struct stat st = {};
  st.st_ino = ino;
  st.st_uid = uid_;
  st.st_gid = gid_;
  st.st_nlink = !is_directory(ino) ? 1 : ino == FUSE_ROOT_ID && past_.shown() ? 3 : 2;
  st.st_blksize = 4096;
  st.st_mtim = st.st_ctim = st.st_atim = to_timespec(mounted_.time_since_epoch().count());
  if (is_directory(ino)) {
    st.st_mode = S_IFDIR | (ino == FUSE_ROOT_ID ? 0755 : 0555);
  } else if (ino == kDiskInode) {
    st.st_mode = S_IFREG | (disk_.read_only() ? 0400 : 0600);
    st.st_size = static_cast<off_t>(disk_.size());
    st.st_blocks = static_cast<blkcnt_t>(allocated_bytes() / 512);
    st.st_blksize = disk_.block_size();
    st.st_mtim = st.st_ctim = to_timespec(changed_ns_);
  } else {
    st.st_mode = S_IFREG | 0444;
    st.st_mtim = st.st_ctim = to_timespec(clock_.wall_now().time_since_epoch().count());
  }
  return st;
}

void Filesystem::lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  if (parent != FUSE_ROOT_ID) {
    fuse_entry_param past = {};
    const int error = is_directory(parent) ? past_.lookup(name, past) : ENOTDIR;
    if (error != 0) fuse_reply_err(req, error);
    else fuse_reply_entry(req, &past);
    return;
  }
  fuse_ino_t ino = 0;
  if (past_.shown() && name == std::string_view(kHistoryName)) ino = kHistoryInode;
  if (name == disk_name_) ino = kDiskInode;
  for (std::size_t i = 0; i < text_files_.size(); ++i) {
    if (name == text_files_[i].name) ino = kFirstTextInode + i;
  }
  fuse_entry_param entry = {};
  entry.entry_timeout = kNameSeconds;  // of inode 0: for so long there is no such name
  if (ino != 0) {
    entry.ino = ino;
    entry.generation = 1;
    entry.attr = attributes(ino);
    entry.attr_timeout = kAttrSeconds;
  }
  fuse_reply_entry(req, &entry);
}

void Filesystem::reply_attributes(fuse_req_t req, fuse_ino_t ino) {
  struct stat st = {};
  int error = 0;
  if (past_.has(ino)) error = past_.attributes(ino, st);
  else st = attributes(ino);
  if (error != 0) fuse_reply_err(req, error);
  else fuse_reply_attr(req, &st, past_.has(ino) ? kNameSeconds : kAttrSeconds);
}

void Filesystem::getattr(fuse_req_t req, fuse_ino_t ino) {
  if (exists(ino) || past_.has(ino)) reply_attributes(req, ino);
  else fuse_reply_err(req, ENOENT);
}

void Filesystem::setattr(fuse_req_t req, fuse_ino_t ino, struct stat* attr, int to_set, bool of_handle) {
  if (!exists(ino) && !past_.has(ino)) {
    fuse_reply_err(req, ENOENT);
    return;
  }
  if ((to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    fuse_reply_err(req, EPERM);
    return;
  }
  // As on a block device, O_TRUNC means nothing: who copies an image onto the disk opens it so. That the kernel asks for it, and is told
  // of a size that has not changed, is why it never takes the disk for empty.
  const bool opens = ino == kDiskInode && attr->st_size == 0 && !of_handle;
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0 && !opens && (ino != kDiskInode || attr->st_size != static_cast<off_t>(disk_.size()))) {
    fuse_reply_err(req, EPERM);
    return;
  }
  reply_attributes(req, ino);  // times are ours: setting them is granted and forgotten
}

int Filesystem::open_file(fuse_ino_t ino, fuse_file_info* info, std::unique_ptr<Handle>& handle) {
  const bool is_past = past_.has(ino);
  if (!is_past && !exists(ino)) return ENOENT;
  if (is_directory(ino)) return EISDIR;
  const bool writes = (info->flags & O_ACCMODE) != O_RDONLY;
  if (writes && (is_past || (ino == kDiskInode && disk_.read_only()))) return EROFS;
  if (writes && ino != kDiskInode) return EACCES;
  if (is_past || ino == kDiskInode) {
    std::shared_ptr<device::Readable> past;
    if (const int error = is_past ? past_.open(ino, past) : 0; error != 0) return error;
    handle.reset(new Handle{.text = {}, .past = std::move(past)});
    info->keep_cache = 1;
  } else {
    handle.reset(new Handle{text_files_[ino - kFirstTextInode].render()});
    info->direct_io = 1;  // st_size is 0: without this the kernel would not ask
  }
  return 0;
}

void Filesystem::open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  std::unique_ptr<Handle> handle;
  if (const int error = open_file(ino, info, handle); error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  info->fh = reinterpret_cast<std::uint64_t>(handle.get());
  if (fuse_reply_open(req, info) == 0) static_cast<void>(handle.release());
}

// Turns true when the kernel takes the request back: a process that waits for room must be killable. Ends before the reply, which
// frees the request.
class Interrupt {
 public:
  explicit Interrupt(fuse_req_t req) : req_(req) {
    fuse_req_interrupt_func(req, [](fuse_req_t, void* self) { static_cast<Interrupt*>(self)->flag_ = true; }, this);
  }
  ~Interrupt() { fuse_req_interrupt_func(req_, nullptr, nullptr); }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  [[nodiscard]] device::StopFlag flag() const { return &flag_; }
  [[nodiscard]] int error(const Error& error) const {
    return error.code() == Code::kCancelled && flag_ ? EINTR : to_errno(error.code());
  }

 private:
  fuse_req_t req_;
  std::atomic<bool> flag_{false};
};

void Filesystem::read(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info* info) {
  const auto from = static_cast<std::uint64_t>(offset);
  const Handle& handle = handle_of(info);
  if (ino != kDiskInode && !handle.past) {
    const std::string& text = handle.text;
    const std::size_t begin = std::min<std::uint64_t>(from, text.size());
    fuse_reply_buf(req, text.data() + begin, std::min(size, text.size() - begin));
    return;
  }
  device::Readable& disk = handle.past ? *handle.past : disk_;
  const std::uint64_t end = disk.size();
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(size, end - std::min(from, end)));
  if (length == 0) {
    fuse_reply_buf(req, nullptr, 0);
    return;
  }
  thread_local Bytes buffer;
  if (buffer.size() < length) buffer.resize(length);
  if (auto done = disk.read(from, {buffer.data(), length}); !done) {
    fuse_reply_err(req, to_errno(done.error().code()));
    return;
  }
  fuse_reply_buf(req, reinterpret_cast<const char*>(buffer.data()), length);
}

void Filesystem::note_change(Handle& handle) {
  handle.written = true;
  changed_ns_ = clock_.wall_now().time_since_epoch().count();
}

void Filesystem::write(fuse_req_t req, const char* data, std::size_t size, off_t offset, fuse_file_info* info) {
  const auto from = static_cast<std::uint64_t>(offset);
  const std::uint64_t end = disk_.size();
  if (from >= end && size > 0) {
    fuse_reply_err(req, ENOSPC);
    return;
  }
  // What crosses the end is written up to there, as on any block device.
  const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(size, end - from));
  note_change(handle_of(info));
  int error = 0;
  {
    Interrupt interrupt(req);
    auto done = disk_.write(from, as_bytes({data, length}), interrupt.flag());
    if (!done) error = interrupt.error(done.error());
  }
  if (error != 0) fuse_reply_err(req, error);
  else fuse_reply_write(req, length);
}

int Filesystem::flush_disk(fuse_req_t req, Handle& handle) {
  // Cleared first: a write that comes meanwhile wants a flush of its own.
  handle.written = false;
  Interrupt interrupt(req);
  if (auto done = disk_.flush(interrupt.flag()); !done) {
    handle.written = true;
    return interrupt.error(done.error());
  }
  return 0;
}

void Filesystem::flush(fuse_req_t req, fuse_file_info* info) {
  Handle& handle = handle_of(info);
  fuse_reply_err(req, handle.written ? flush_disk(req, handle) : 0);
}

void Filesystem::release(fuse_req_t req, fuse_file_info* info) {
  const std::unique_ptr<Handle> handle(&handle_of(info));
  fuse_reply_err(req, handle->written ? flush_disk(req, *handle) : 0);
}

void Filesystem::fsync(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  fuse_reply_err(req, ino == kDiskInode ? flush_disk(req, handle_of(info)) : 0);
}

int Filesystem::zero(fuse_req_t req, int mode, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = disk_.size();
  const bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
  if (length > end || offset > end - length) {
    if (!keep_size) return EFBIG;
    length = end - std::min(offset, end);
  }
  // Space is not reserved here: a write never fails for want of it, it waits.
  if ((mode & ~FALLOC_FL_KEEP_SIZE) == 0 || length == 0) return 0;
  Interrupt interrupt(req);
  auto done = disk_.discard(offset, length, interrupt.flag());
  return done ? 0 : interrupt.error(done.error());
}

void Filesystem::fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, fuse_file_info* info) {
  const int kind = mode & ~FALLOC_FL_KEEP_SIZE;
  const bool known = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) || kind == FALLOC_FL_ZERO_RANGE || kind == 0;
  if (ino != kDiskInode || !known) {
    fuse_reply_err(req, EOPNOTSUPP);
    return;
  }
  if (offset < 0 || length <= 0) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  note_change(handle_of(info));
  fuse_reply_err(req, zero(req, mode, static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length)));
}

void Filesystem::lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, fuse_file_info* info) {
  const Handle& handle = handle_of(info);
  if ((ino != kDiskInode && !handle.past) || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  device::Readable& disk = handle.past ? *handle.past : disk_;
  const std::uint64_t end = disk.size();
  if (offset < 0 || static_cast<std::uint64_t>(offset) >= end) {
    fuse_reply_err(req, ENXIO);
    return;
  }
  auto found = disk.seek(static_cast<std::uint64_t>(offset), whence == SEEK_HOLE);
  if (!found) {
    fuse_reply_err(req, to_errno(found.error().code()));
  } else if (whence == SEEK_DATA && *found >= end) {
    fuse_reply_err(req, ENXIO);
  } else {
    fuse_reply_lseek(req, static_cast<off_t>(*found));
  }
}

void Filesystem::opendir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  auto directory = std::make_unique<Directory>();
  int error = is_directory(ino) ? 0 : ENOTDIR;
  auto& names = directory->names;
  if (ino == FUSE_ROOT_ID) {
    names = {{".", FUSE_ROOT_ID, S_IFDIR}, {"..", FUSE_ROOT_ID, S_IFDIR}, {disk_name_, kDiskInode}};
    for (std::size_t i = 0; i < text_files_.size(); ++i) names.push_back({text_files_[i].name, kFirstTextInode + i});
    if (past_.shown()) names.push_back({kHistoryName, kHistoryInode, S_IFDIR});
  } else if (error == 0) {
    error = past_.list(names);
  }
  if (error != 0) {
    fuse_reply_err(req, error);
    return;
  }
  info->fh = reinterpret_cast<std::uint64_t>(directory.get());
  if (fuse_reply_open(req, info) == 0) static_cast<void>(directory.release());
}

void Filesystem::readdir(fuse_req_t req, std::size_t size, off_t offset, fuse_file_info* info) {
  const auto& names = reinterpret_cast<Directory*>(info->fh)->names;
  std::vector<char> out(std::min<std::size_t>(size, kRequestMax));
  std::size_t used = 0;
  for (auto i = static_cast<std::size_t>(std::max<off_t>(offset, 0)); i < names.size(); ++i) {
    struct stat st = {};
    st.st_ino = names[i].ino;
    st.st_mode = names[i].type;
    const std::size_t needed = fuse_add_direntry(req, out.data() + used, out.size() - used, names[i].name.c_str(), &st,
                                                 static_cast<off_t>(i + 1));
    if (needed > out.size() - used) break;
    used += needed;
  }
  fuse_reply_buf(req, out.data(), used);
}

void Filesystem::releasedir(fuse_req_t req, fuse_file_info* info) {
  delete reinterpret_cast<Directory*>(info->fh);
  fuse_reply_err(req, 0);
}

void Filesystem::statfs(fuse_req_t req) {
  struct statvfs st = {};
  st.f_bsize = st.f_frsize = disk_.block_size();
  st.f_blocks = disk_.size() / disk_.block_size();
  st.f_bfree = st.f_bavail = st.f_blocks - std::min<std::uint64_t>(st.f_blocks, allocated_bytes() / disk_.block_size());
  st.f_files = 2 + text_files_.size() + (past_.shown() ? 1 : 0);
  st.f_namemax = 255;
  fuse_reply_statfs(req, &st);
}

const fuse_lowlevel_ops& Filesystem::operations() {
  static const fuse_lowlevel_ops ops = [] {
    fuse_lowlevel_ops o = {};
    // No name comes or goes. Without these the kernel would say that it does not know how.
    o.mknod = [](fuse_req_t r, fuse_ino_t, const char*, mode_t, dev_t) { fuse_reply_err(r, EROFS); };
    o.mkdir = [](fuse_req_t r, fuse_ino_t, const char*, mode_t) { fuse_reply_err(r, EROFS); };
    o.unlink = o.rmdir = [](fuse_req_t r, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
    o.symlink = [](fuse_req_t r, const char*, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
    o.link = [](fuse_req_t r, fuse_ino_t, fuse_ino_t, const char*) { fuse_reply_err(r, EROFS); };
    o.rename = [](fuse_req_t r, fuse_ino_t, const char*, fuse_ino_t, const char*, unsigned) { fuse_reply_err(r, EROFS); };
    o.init = [](void* userdata, fuse_conn_info* c) { static_cast<Filesystem*>(userdata)->init(c); };
    o.lookup = [](fuse_req_t r, fuse_ino_t parent, const char* name) { guarded(r, [&] { self(r).lookup(r, parent, name); }); };
    o.getattr = [](fuse_req_t r, fuse_ino_t ino, fuse_file_info*) { guarded(r, [&] { self(r).getattr(r, ino); }); };
    o.setattr = [](fuse_req_t r, fuse_ino_t ino, struct stat* st, int set, fuse_file_info* i) {
      guarded(r, [&] { self(r).setattr(r, ino, st, set, i != nullptr); });
    };
    o.open = [](fuse_req_t r, fuse_ino_t ino, fuse_file_info* i) { guarded(r, [&] { self(r).open(r, ino, i); }); };
    o.read = [](fuse_req_t r, fuse_ino_t ino, size_t size, off_t offset, fuse_file_info* i) {
      guarded(r, [&] { self(r).read(r, ino, size, offset, i); });
    };
    o.write = [](fuse_req_t r, fuse_ino_t, const char* data, size_t size, off_t offset, fuse_file_info* i) {
      guarded(r, [&] { self(r).write(r, data, size, offset, i); });
    };
    o.flush = [](fuse_req_t r, fuse_ino_t, fuse_file_info* i) { guarded(r, [&] { self(r).flush(r, i); }); };
    o.release = [](fuse_req_t r, fuse_ino_t, fuse_file_info* i) { guarded(r, [&] { self(r).release(r, i); }); };
    o.fsync = [](fuse_req_t r, fuse_ino_t ino, int, fuse_file_info* i) { guarded(r, [&] { self(r).fsync(r, ino, i); }); };
    o.fallocate = [](fuse_req_t r, fuse_ino_t ino, int mode, off_t offset, off_t length, fuse_file_info* i) {
      guarded(r, [&] { self(r).fallocate(r, ino, mode, offset, length, i); });
    };
    o.lseek = [](fuse_req_t r, fuse_ino_t ino, off_t offset, int whence, fuse_file_info* i) {
      guarded(r, [&] { self(r).lseek(r, ino, offset, whence, i); });
    };
    o.opendir = [](fuse_req_t r, fuse_ino_t ino, fuse_file_info* i) { guarded(r, [&] { self(r).opendir(r, ino, i); }); };
    o.readdir = [](fuse_req_t r, fuse_ino_t, size_t size, off_t offset, fuse_file_info* i) {
      guarded(r, [&] { self(r).readdir(r, size, offset, i); });
    };
    o.releasedir = [](fuse_req_t r, fuse_ino_t, fuse_file_info* i) { guarded(r, [&] { self(r).releasedir(r, i); }); };
    o.statfs = [](fuse_req_t r, fuse_ino_t) { guarded(r, [&] { self(r).statfs(r); }); };
    return o;
  }();
  return ops;
}

}  // namespace s3crate::fuse
