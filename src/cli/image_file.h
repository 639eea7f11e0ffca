// SPDX-License-Identifier: GPL-3.0-or-later
// Images of disks as files, block devices and streams.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>

#include "cli/files.h"
#include "device/transfer.h"

namespace s3crate::cli {

// A regular file or a block device that is read. Holes of a file are holes.
class ImageFile final : public device::ImageSource {
 public:
  // kNotFound, kBadArgument (of another type), kIo.
  [[nodiscard]] static Result<std::unique_ptr<ImageFile>> open(const std::string& path);

  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] Result<> read(std::uint64_t offset, MutableByteView out) override;
  [[nodiscard]] Result<std::uint64_t> next_data(std::uint64_t offset) override;
  [[nodiscard]] Result<bool> unchanged() override;

 private:
  ImageFile(std::string path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  const std::string path_;
  const Fd fd_;
  struct stat as_opened_ = {};
  std::uint64_t size_ = 0;
};

// Where an image is written:
//
//   a file           beside it, under another name, which it gets when all is on the disk: what is there under its own name
//                    is either the old file or the whole image. Mode 0600: it is in the clear
//   a block device   in place, if nobody else has it
//   a stream         standard output ("-"), a pipe or a character device
class ImageTarget final : public device::ImageSink {
 public:
  // kBadArgument, kNoSpace, kIo. `stop` ends long stretches of zeros.
  [[nodiscard]] static Result<std::unique_ptr<ImageTarget>> open(const std::string& path, std::uint64_t size, device::StopFlag stop);
  ~ImageTarget() override;
  ImageTarget(const ImageTarget&) = delete;
  ImageTarget& operator=(const ImageTarget&) = delete;

  [[nodiscard]] bool is_stream() const { return kind_ == Kind::stream; }
  [[nodiscard]] Result<> data(std::uint64_t offset, ByteView bytes) override;
  [[nodiscard]] Result<> zeros(std::uint64_t offset, std::uint64_t length) override;
  // Durable, and under its name.
  [[nodiscard]] Result<> finish();

 private:
  enum class Kind { file, device, stream };
  ImageTarget(Kind kind, std::string path, device::StopFlag stop) : kind_(kind), path_(std::move(path)), stop_(stop) {}
  [[nodiscard]] Result<> open_file(std::uint64_t size);
  [[nodiscard]] Result<> open_device(std::uint64_t size);
  [[nodiscard]] Result<> write_zeros(std::uint64_t offset, std::uint64_t length);
  [[nodiscard]] Error write_error(int error) const;

  const Kind kind_;
  const std::string path_;
  const device::StopFlag stop_;
  std::string beside_;  // the name that a file has until it is whole; empty: none now
  Fd fd_;
};

}  // namespace s3crate::cli
