// SPDX-License-Identifier: GPL-3.0-or-later
// Shows a Disk as a file: one directory with the disk and some text files, served by libfuse's own threads.
//
// The life of a Server: mount(), run() until somebody unmounts or calls stop(), then the destructor, which unmounts
// if that is still to be done. No call into the Disk is under way once run() has returned.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "device/disk.h"

namespace s3crate::fuse {

// The directory of past generations, if the disk has a history.
inline constexpr const char* kHistoryName = "history";

// A small file whose content is made when it is opened, and stays as it is for that reader.
struct TextFile {
  std::string name;
  std::function<std::string()> render;  // thread-safe
};

struct ServerOptions {
  std::string mountpoint;
  std::string fsname;  // what the mount table calls the source
  std::string disk_name = "disk";
  std::vector<TextFile> text_files;
  bool allow_other = false;
};

class Server {
 public:
  // kDenied: the kernel or fusermount3 refuses; kBadArgument: two files would have one name. `disk` must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Server>> mount(Env env, device::Disk& disk, ServerOptions options);
  virtual ~Server() = default;

  // Serves until the filesystem is unmounted or stop() is called. Once.
  [[nodiscard]] virtual Result<> run() = 0;
  // Ends run() and returns when it has ended; from any thread but those that serve. Requests under way are
  // completed first: whoever must not wait for them cancels the disk.
  virtual void stop() = 0;
  // The disk has another size, and reads as zeros from `from` on: the kernel forgets what it has. Not from a thread that serves.
  virtual void size_changed(std::uint64_t from) = 0;
  // Takes the mount away, lazily if it is in use. After run().
  virtual void unmount() = 0;
};

}  // namespace s3crate::fuse
