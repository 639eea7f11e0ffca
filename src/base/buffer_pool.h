// SPDX-License-Identifier: GPL-3.0-or-later
// BufferPool: large buffers that are used again. The pages of a fresh one cost the kernel (to clear and to map) about what it
// costs to fill them, once for each segment that is read or made.
#pragma once

#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"

namespace s3crate {

// Thread-safe. Lives longer than what it has lent.
class BufferPool {
 public:
  // Of what came back, buffers of at most `kept_bytes_max` together wait for the next who wants one.
  explicit BufferPool(std::size_t kept_bytes_max);
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // What is smaller is not worth keeping.
  static constexpr std::size_t kPooledMin = 256 << 10;

  struct Buffer {
    std::unique_ptr<std::uint8_t[]> bytes;  // null: moved away
    std::size_t capacity = 0;
  };
  // Gives its buffer back at its end.
  class Lease {
   public:
    Lease(Lease&& other) noexcept : pool_(other.pool_), buffer_(std::move(other.buffer_)), size_(other.size_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() { pool_->give_back(std::move(buffer_)); }
    [[nodiscard]] MutableByteView view() { return {buffer_.bytes.get(), size_}; }
    [[nodiscard]] ByteView view() const { return {buffer_.bytes.get(), size_}; }

   private:
    friend class BufferPool;
    Lease(BufferPool* pool, Buffer buffer, std::size_t size) : pool_(pool), buffer_(std::move(buffer)), size_(size) {}
    BufferPool* pool_;
    Buffer buffer_;
    std::size_t size_;
  };

  // Of exactly `size` bytes, whatever they are: what somebody else left there.
  [[nodiscard]] Lease lend(std::size_t size);
  [[nodiscard]] std::size_t kept_bytes() const;

 private:
  Buffer take_out(std::vector<Buffer>::iterator it) REQUIRES(mu_);
  void give_back(Buffer buffer);

  const std::size_t kept_bytes_max_;
  mutable Mutex mu_;  // a leaf
  std::vector<Buffer> kept_ GUARDED_BY(mu_);
  std::size_t kept_bytes_ GUARDED_BY(mu_) = 0;
};

}  // namespace s3crate
