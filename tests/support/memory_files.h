// SPDX-License-Identifier: GPL-3.0-or-later
// MemoryFiles: a FileIo whose files are in memory, for whoever makes some thousand a second. What is written is durable, no
// error comes of itself, and there are no directories: every path's is there.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "io/file_io.h"

namespace s3crate::test {

class MemoryFiles final : public io::FileIo {
 public:
  // All files end there.
  explicit MemoryFiles(std::uint64_t file_bytes_max) : file_bytes_max_(file_bytes_max) {}

  // Makes a file, or another one of that name.
  void put(const std::string& path, Bytes bytes) {
    MutexLock lock(mu_);
    files_[path] = make(std::move(bytes));
  }
  [[nodiscard]] Bytes get(const std::string& path) {
    MutexLock lock(mu_);
    const auto found = files_.find(path);
    return found == files_.end() ? Bytes() : found->second->bytes;
  }

  [[nodiscard]] Result<std::unique_ptr<io::File>> open(const std::string& path, io::OpenMode mode) override {
    MutexLock lock(mu_);
    auto found = files_.find(path);
    if (found == files_.end()) {
      if (mode == io::OpenMode::read_only || mode == io::OpenMode::read_write) return fail(Code::kNotFound, "{}", path);
      found = files_.emplace(path, make({})).first;
    } else if (mode == io::OpenMode::create_new) {
      return fail(Code::kExists, "{}", path);
    }
    return std::make_unique<MemoryFile>(*this, found->second);
  }
  [[nodiscard]] Result<> link(const std::string& from, const std::string& to) override {
    MutexLock lock(mu_);
    const auto found = files_.find(from);
    if (found == files_.end()) return fail(Code::kNotFound, "{}", from);
    if (!files_.emplace(to, found->second).second) return fail(Code::kExists, "{}", to);
    return {};
  }
  [[nodiscard]] Result<> remove(const std::string& path) override {
    MutexLock lock(mu_);
    if (files_.erase(path) == 0) return fail(Code::kNotFound, "{}", path);
    return {};
  }
  [[nodiscard]] Result<> make_directories(const std::string&) override { return {}; }
  [[nodiscard]] Result<> sync_directory(const std::string&) override { return {}; }
  [[nodiscard]] Result<std::vector<io::DirectoryEntry>> list(const std::string&) override {
    return fail(Code::kBadArgument, "files in memory have no directories");
  }
  [[nodiscard]] Result<io::FileIdentity> identity(const std::string& path) override {
    MutexLock lock(mu_);
    const auto found = files_.find(path);
    if (found == files_.end()) return fail(Code::kNotFound, "{}", path);
    return io::FileIdentity{1, found->second->inode};
  }
  [[nodiscard]] Result<std::uint64_t> free_bytes(const std::string&) override { return file_bytes_max_; }

 private:
  struct Node {
    std::uint64_t inode = 0;
    Bytes bytes;
    const void* locked_by = nullptr;
  };

  class MemoryFile final : public io::File {
   public:
    MemoryFile(MemoryFiles& files, std::shared_ptr<Node> node) : files_(files), node_(std::move(node)) {}
    ~MemoryFile() override {
      MutexLock lock(files_.mu_);
      if (node_->locked_by == this) node_->locked_by = nullptr;
    }
    [[nodiscard]] Result<> read_at(std::uint64_t offset, MutableByteView out) override {
      MutexLock lock(files_.mu_);
      const Bytes& bytes = node_->bytes;
      if (offset > bytes.size() || out.size() > bytes.size() - offset)
        return fail(Code::kCorrupt, "the file ends before {}", offset + out.size());
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
      return {};
    }
    [[nodiscard]] Result<> write(std::span<const io::WriteOp> ops, io::Sync) override {
      MutexLock lock(files_.mu_);
      for (const io::WriteOp& op : ops) {
        std::uint64_t at = op.offset;
        for (const ByteView part : op.parts) {
          TRY(grow(at + part.size()));
          std::copy(part.begin(), part.end(), node_->bytes.begin() + static_cast<std::ptrdiff_t>(at));
          at += part.size();
        }
      }
      return {};
    }
    [[nodiscard]] Result<> datasync() override { return {}; }
    [[nodiscard]] Result<std::uint64_t> size() override {
      MutexLock lock(files_.mu_);
      return node_->bytes.size();
    }
    [[nodiscard]] Result<> allocate(std::uint64_t size) override {
      MutexLock lock(files_.mu_);
      return grow(size);
    }
    [[nodiscard]] Result<io::FileIdentity> identity() override { return io::FileIdentity{1, node_->inode}; }
    [[nodiscard]] Result<> lock() override {
      MutexLock lock(files_.mu_);
      if (node_->locked_by != nullptr && node_->locked_by != this) return fail(Code::kExists, "locked");
      node_->locked_by = this;
      return {};
    }

   private:
    Result<> grow(std::uint64_t size) REQUIRES(files_.mu_) {
      if (size > files_.file_bytes_max_) return fail(Code::kNoSpace, "a file of {} bytes", size);
      if (size > node_->bytes.size()) node_->bytes.resize(size);
      return {};
    }

    MemoryFiles& files_;
    const std::shared_ptr<Node> node_;
  };

  std::shared_ptr<Node> make(Bytes bytes) REQUIRES(mu_) {
    auto node = std::make_shared<Node>();
    node->inode = ++inodes_;
    node->bytes = std::move(bytes);
    return node;
  }

  const std::uint64_t file_bytes_max_;
  Mutex mu_;
  std::map<std::string, std::shared_ptr<Node>> files_ GUARDED_BY(mu_);
  std::uint64_t inodes_ GUARDED_BY(mu_) = 0;
};

}  // namespace s3crate::test
