// SPDX-License-Identifier: GPL-3.0-or-later
// StepFileIo: a FileIo that writes down every step that changes something, and each hint, and can die before any
// of them: as in a killed process, nothing is done from then on, not even cleaning up.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "io/file_io.h"

namespace s3crate::test {

class StepFileIo final : public io::FileIo {
 public:
  // Paths are written down without `root`.
  StepFileIo(io::FileIo& inner, std::string root) : inner_(inner), root_(std::move(root)) {}

  // The next `steps` steps are done, and none after them.
  void die_after(std::size_t steps) {
    MutexLock lock(mu_);
    steps_left_ = steps;
  }
  // The next step that begins so ("sync seg") fails with this error, and only that one.
  void fail_next(std::string step, Error error) {
    MutexLock lock(mu_);
    failing_.emplace(std::move(step), std::move(error));
  }
  // Called before every step, without a lock held.
  void set_hook(std::function<void(const std::string& step)> hook) { hook_ = std::move(hook); }
  [[nodiscard]] std::vector<std::string> take_steps() {
    MutexLock lock(mu_);
    return std::exchange(steps_, {});
  }
  [[nodiscard]] bool died() const {
    MutexLock lock(mu_);
    return died_;
  }

  [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path,
                                                       io::OpenMode mode) override {
    bool creates = mode == io::OpenMode::create_new || mode == io::OpenMode::create_or_open;
    if (creates) TRY(step("create", path));
    if (!creates) TRY(alive());
    auto file = TRY(inner_.open(path, mode));
    return std::make_unique<StepFile>(*this, path, std::move(file));
  }
  [[nodiscard]] Result<> link(const std::string& from, const std::string& to) override {
    TRY(step("link", to));
    return inner_.link(from, to);
  }
  [[nodiscard]] Result<> remove(const std::string& path) override {
    TRY(step("remove", path));
    return inner_.remove(path);
  }
  [[nodiscard]] Result<> make_directories(const std::string& path) override {
    TRY(step("make", path));
    return inner_.make_directories(path);
  }
  [[nodiscard]] Result<> sync_directory(const std::string& path) override {
    TRY(step("syncdir", path));
    return inner_.sync_directory(path);
  }
  [[nodiscard]] Result<std::vector<io::DirectoryEntry>> list(const std::string& path) override {
    TRY(alive());
    return inner_.list(path);
  }
  [[nodiscard]] Result<io::FileIdentity> identity(const std::string& path) override {
    TRY(alive());
    return inner_.identity(path);
  }
  [[nodiscard]] Result<std::uint64_t> free_bytes(const std::string& path) override {
    TRY(alive());
    return inner_.free_bytes(path);
  }

 private:
  class StepFile final : public io::File {
   public:
    StepFile(StepFileIo& io, std::string path, std::unique_ptr<io::File> file)
        : io_(io), path_(std::move(path)), file_(std::move(file)) {}
    [[nodiscard]] Result<> read_at(std::uint64_t offset, MutableByteView out) override {
      TRY(io_.alive());
      return file_->read_at(offset, out);
    }
    [[nodiscard]] Result<> write(std::span<const io::WriteOp> ops, io::Sync sync) override {
      TRY(io_.step("write", path_));
      TRY(file_->write(ops, io::Sync::no));
      return sync == io::Sync::yes ? datasync() : Result<>{};
    }
    [[nodiscard]] Result<> datasync() override {
      TRY(io_.step("sync", path_));
      return file_->datasync();
    }
    [[nodiscard]] Result<std::uint64_t> size() override { return file_->size(); }
    [[nodiscard]] Result<> allocate(std::uint64_t size) override {
      TRY(io_.step("allocate", path_));
      return file_->allocate(size);
    }
    [[nodiscard]] Result<io::FileIdentity> identity() override { return file_->identity(); }
    void drop_cached(std::uint64_t offset, std::uint64_t size) override {
      if (io_.step(fmt::format("drop {}+{} of", offset, size), path_)) file_->drop_cached(offset, size);
    }
    [[nodiscard]] Result<> lock() override {
      TRY(io_.step("lock", path_));
      return file_->lock();
    }

   private:
    StepFileIo& io_;
    const std::string path_;
    const std::unique_ptr<io::File> file_;
  };

  Result<> alive() {
    MutexLock lock(mu_);
    if (died_) return fail(Code::kIo, "the process is dead");
    return {};
  }

  Result<> step(const std::string& verb, const std::string& path) {
    std::string name = path == root_ ? "/" : path;
    if (path.starts_with(root_ + "/")) name = path.substr(root_.size() + 1);
    std::string what = verb + " " + name;
    if (hook_) hook_(what);
    MutexLock lock(mu_);
    if (died_ || steps_left_ == 0) {
      died_ = true;
      return fail(Code::kIo, "the process is dead");
    }
    --steps_left_;
    steps_.push_back(what);
    if (failing_ && what.starts_with(failing_->first)) {
      Error error = std::move(failing_->second);
      failing_.reset();
      return fail(std::move(error));
    }
    return {};
  }

  io::FileIo& inner_;
  const std::string root_;
  std::function<void(const std::string&)> hook_;

  mutable Mutex mu_;
  std::size_t steps_left_ GUARDED_BY(mu_) = std::numeric_limits<std::size_t>::max();
  bool died_ GUARDED_BY(mu_) = false;
  std::vector<std::string> steps_ GUARDED_BY(mu_);
  std::optional<std::pair<std::string, Error>> failing_ GUARDED_BY(mu_);
};

}  // namespace s3crate::test
