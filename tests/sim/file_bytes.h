// SPDX-License-Identifier: GPL-3.0-or-later
// FileBytes: what a simulated file holds, as pages that its copies share until one of them writes there. Pages that were never
// written are not there, and read as zeros.
//
// A journal is a megabyte of hole and some slots, a cache file as large again: every growth, power cut and picture of a disk
// would copy all of it.
#pragma once

#include <array>
#include <memory>

#include "base/bytes.h"

namespace s3crate::sim {

class FileBytes {
 public:
  FileBytes() = default;
  explicit FileBytes(ByteView bytes) : FileBytes() {
    resize(bytes.size());
    write(0, bytes);
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }
  void resize(std::uint64_t size);  // what is new is zeros

  // All of it within the size.
  void read(std::uint64_t offset, MutableByteView out) const;
  void write(std::uint64_t offset, ByteView data);
  [[nodiscard]] Bytes part(std::uint64_t offset, std::uint64_t length) const;
  [[nodiscard]] Bytes all() const { return part(0, size_); }
  [[nodiscard]] std::uint8_t at(std::uint64_t offset) const { return part(offset, 1).front(); }
  void flip(std::uint64_t offset, std::uint8_t bits);

  friend bool operator==(const FileBytes& a, const FileBytes& b);

 private:
  static constexpr std::uint64_t kPage = 4096;
  using Page = std::array<std::uint8_t, kPage>;

  Page& own(std::uint64_t page);

  std::uint64_t size_ = 0;
  std::vector<std::shared_ptr<Page>> pages_;  // null: zeros; so is what lies behind the size
};

}  // namespace s3crate::sim
