// SPDX-License-Identifier: GPL-3.0-or-later
// The contract of io/file_io.h as tests. An implementation instantiates it in a few lines:
//
//   INSTANTIATE_TEST_SUITE_P(Posix, FileIoContract, ::testing::Values(FileIoFactory{...}));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/file_io.h"

namespace s3crate::test {

// A FileIo and an existing, empty directory in it.
struct FileIoUnderTest {
  virtual ~FileIoUnderTest() = default;
  virtual io::FileIo& io() = 0;
  virtual std::string root() = 0;
  // Whether its Files may be used from several threads (the simulator's tasks are fibers of one).
  virtual bool threads() { return true; }
};
using FileIoFactory = std::function<std::unique_ptr<FileIoUnderTest>()>;

class FileIoContract : public ::testing::TestWithParam<FileIoFactory> {
 protected:
  void SetUp() override { subject_ = GetParam()(); }
  io::FileIo& io() { return subject_->io(); }
  std::string at(const std::string& name) { return subject_->root() + "/" + name; }
  std::unique_ptr<io::File> open(const std::string& name, io::OpenMode mode) {
    auto file = io().open(at(name), mode);
    EXPECT_TRUE(file) << file.error().message();
    return file ? std::move(*file) : nullptr;
  }
  std::unique_ptr<io::File> create(const std::string& name) {
    return open(name, io::OpenMode::create_new);
  }
  static std::string read(io::File& file, std::uint64_t offset, std::size_t length) {
    std::string text(length, '?');
    auto done = file.read_at(offset, {reinterpret_cast<std::uint8_t*>(text.data()), length});
    EXPECT_TRUE(done) << done.error().message();
    return text;
  }
  static void write(io::File& file, std::uint64_t offset, std::string_view text) {
    auto done = file.write_at(offset, as_bytes(text));
    EXPECT_TRUE(done) << done.error().message();
  }
  std::vector<std::string> names(const std::string& dir) {
    auto entries = io().list(at(dir));
    EXPECT_TRUE(entries) << entries.error().message();
    std::vector<std::string> names;
    if (entries) {
      for (const auto& entry : *entries)
        names.push_back(entry.name + (entry.is_directory ? "/" : ""));
    }
    return names;
  }

  std::unique_ptr<FileIoUnderTest> subject_;
};

}  // namespace s3crate::test
