// SPDX-License-Identifier: GPL-3.0-or-later
// Images of disks in memory: sources, and sinks that hold what they are given to their contract.
#pragma once

#include <algorithm>
#include <atomic>
#include <random>

#include "base/check.h"
#include "device/transfer.h"

namespace s3crate::test {

// Content that does not shrink.
inline Bytes noise(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes out(size);
  for (std::size_t at = 0; at < size; at += 8) {
    const std::uint64_t word = random();
    std::memcpy(out.data() + at, &word, std::min<std::size_t>(8, size - at));
  }
  return out;
}

class MemoryImage final : public device::ImageSource {
 public:
  explicit MemoryImage(Bytes content) : bytes(std::move(content)) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes.size(); }
  [[nodiscard]] Result<> read(std::uint64_t offset, MutableByteView out) override {
    CHECK(offset <= bytes.size() && out.size() <= bytes.size() - offset);
    std::memcpy(out.data(), bytes.data() + offset, out.size());
    return {};
  }
  // As a filesystem with blocks of 4 KiB would tell it.
  [[nodiscard]] Result<std::uint64_t> next_data(std::uint64_t offset) override {
    while (offset < bytes.size()) {
      const std::uint64_t end = std::min<std::uint64_t>(bytes.size(), (offset / 4096 + 1) * 4096);
      if (!all_zero(ByteView(bytes).subspan(offset, end - offset))) return offset;
      offset = end;
    }
    return bytes.size();
  }
  [[nodiscard]] Result<bool> unchanged() override { return !changed; }

  Bytes bytes;
  std::atomic<bool> changed = false;
};

class MemorySink final : public device::ImageSink {
 public:
  [[nodiscard]] Result<> data(std::uint64_t offset, ByteView more) override {
    CHECK(offset == bytes.size());
    append(bytes, more);
    return {};
  }
  [[nodiscard]] Result<> zeros(std::uint64_t offset, std::uint64_t length) override {
    CHECK(offset == bytes.size());
    bytes.resize(offset + length);
    return {};
  }
  Bytes bytes;
};

class CountingSink final : public device::ImageSink {
 public:
  [[nodiscard]] Result<> data(std::uint64_t offset, ByteView bytes) override {
    if (data_bytes == 0) first_data = offset;
    data_bytes += bytes.size();
    return {};
  }
  [[nodiscard]] Result<> zeros(std::uint64_t, std::uint64_t length) override {
    zero_bytes += length;
    return {};
  }
  std::uint64_t data_bytes = 0, zero_bytes = 0, first_data = 0;
};

}  // namespace s3crate::test
