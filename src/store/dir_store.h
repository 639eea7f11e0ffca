// SPDX-License-Identifier: GPL-3.0-or-later
// DirStore: objects as files of a directory, names as paths, one to one: a copy made by rsync or by
// any S3 tool is a store, and so is a copy of a bucket.
//
// A put writes a temporary file, syncs it, links it to its name (link(2) takes no name that is
// taken) and syncs the directory: a crash at any step leaves the whole object or none, and a file
// under an object's name is never written, renamed over or, except by remove(), deleted. Temporary
// files live in kTempDir, which no object's name can reach, are locked while in use, and those of
// dead processes are cleared away by the next process that writes. A process that only reads
// changes nothing.
//
// A directory that is missing or empty after it held objects is an outage (kTransient): its
// filesystem is not mounted. So is a full or failing disk.
//
// An object's name cannot be the beginning of another's path ("a" and "a/b"): kBadArgument.
#pragma once

#include <atomic>
#include <set>

#include "base/mutex.h"
#include "base/random.h"
#include "io/file_io.h"
#include "store/object_store.h"

namespace s3crate::store {

class DirStore final : public ObjectStore {
 public:
  static constexpr std::string_view kTempDir = ".tmp+";

  // Touches nothing: the first put() makes the directory if there is none.
  DirStore(io::FileIo& files, Random& random, std::string root);

  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset,
                                   MutableByteView out) override;
  [[nodiscard]] Result<ObjectInfo> head(const std::string& name) override;
  [[nodiscard]] Result<ListPage> list(const std::string& prefix, const std::string& start_after,
                                      std::size_t max_keys) override;
  [[nodiscard]] Result<> remove(const std::string& name) override;
  [[nodiscard]] StoreCaps caps() const override { return {.local = true}; }
  [[nodiscard]] std::string describe() const override { return "file://" + root_; }

 private:
  struct TempFile;
  struct Query;

  [[nodiscard]] Result<> put_once(const std::string& name, std::span<const ByteView> parts);
  [[nodiscard]] Result<> prepare();
  void clear_leftovers();
  [[nodiscard]] Result<std::unique_ptr<TempFile>> make_temp();
  [[nodiscard]] Result<> make_parents_durable(const std::string& name);
  [[nodiscard]] Result<std::unique_ptr<io::File>> open_object(const std::string& name);
  [[nodiscard]] Result<> check_not_away();
  [[nodiscard]] Result<> walk(const std::string& dir, Query& query);
  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[nodiscard]] std::string directory_of(const std::string& name) const;

  io::FileIo& files_;
  Random& random_;
  const std::string root_;

  std::atomic<bool> seen_objects_ = false;  // so an empty directory is one whose filesystem is away
  std::atomic<bool> cleared_ = false;       // the leftovers of dead processes

  Mutex mu_;
  bool prepared_ GUARDED_BY(mu_) = false;
  // Directories of objects whose own names, and those of what we may have seen in them, are durable.
  std::set<std::string, std::less<>> durable_ GUARDED_BY(mu_);
  std::uint64_t lists_ GUARDED_BY(mu_) = 0;
};

}  // namespace s3crate::store
