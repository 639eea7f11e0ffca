// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/buffer_pool.h"

#include <algorithm>
#include <utility>

namespace s3crate {

namespace {
// So that a buffer serves whoever wants a little more as well.
constexpr std::size_t kStep = 1 << 20;
}  // namespace

BufferPool::BufferPool(std::size_t kept_bytes_max) : kept_bytes_max_(kept_bytes_max) { kept_.reserve(kept_bytes_max / kStep); }

BufferPool::Lease BufferPool::lend(std::size_t size) {
  if (size < kPooledMin) return {this, {std::make_unique_for_overwrite<std::uint8_t[]>(size), size}, size};
  {
    MutexLock lock(mu_);
    auto best = kept_.end();
    for (auto it = kept_.begin(); it != kept_.end(); ++it)
      if (it->capacity >= size && (best == kept_.end() || it->capacity < best->capacity)) best = it;
    if (best != kept_.end()) return {this, take_out(best), size};
  }
  const std::size_t capacity = (size + kStep - 1) / kStep * kStep;
  return {this, {std::make_unique_for_overwrite<std::uint8_t[]>(capacity), capacity}, size};
}

BufferPool::Buffer BufferPool::take_out(std::vector<Buffer>::iterator it) {
  kept_bytes_ -= it->capacity;
  std::swap(*it, kept_.back());
  Buffer buffer = std::move(kept_.back());
  kept_.pop_back();
  return buffer;
}

void BufferPool::give_back(Buffer buffer) {
  if (buffer.bytes == nullptr || buffer.capacity < kPooledMin || buffer.capacity > kept_bytes_max_) return;
  MutexLock lock(mu_);
  // The smallest go first: a larger one serves whoever wants less.
  while (kept_bytes_ + buffer.capacity > kept_bytes_max_) {
    const auto least = std::ranges::min_element(kept_, {}, &Buffer::capacity);
    if (least->capacity >= buffer.capacity) return;
    take_out(least);
  }
  kept_bytes_ += buffer.capacity;
  kept_.push_back(std::move(buffer));
}

std::size_t BufferPool::kept_bytes() const {
  MutexLock lock(mu_);
  return kept_bytes_;
}

}  // namespace s3crate
