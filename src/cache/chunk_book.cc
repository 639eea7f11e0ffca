// SPDX-License-Identifier: GPL-3.0-or-later
#include "cache/chunk_book.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::cache {

void ChunkBook::found_closed(std::uint32_t chunk, CacheQueue queue, std::uint64_t order, std::uint32_t bytes) {
  CHECK(chunk == next_fresh_ && chunk < size());
  ++next_fresh_;
  // A chunk that was written again, or not by us, may claim another's place.
  while (queue_of(queue).contains(order)) ++order;
  chunks_[chunk] = {.state = State::closed, .queue = queue, .bytes = bytes, .order = order};
  queue_of(queue).emplace(order, chunk);
  next_order_ = std::max(next_order_, order + 1);
  bytes_ += bytes;
}

void ChunkBook::found_free(std::uint32_t chunk) {
  CHECK(chunk == next_fresh_ && chunk < size());
  ++next_fresh_;
  chunks_[chunk].state = State::free;
  free_.push_back(chunk);
}

std::optional<std::uint32_t> ChunkBook::open_free() {
  if (free_.empty()) return std::nullopt;
  const std::uint32_t chunk = free_.back();
  free_.pop_back();
  chunks_[chunk] = {.state = State::open};
  return chunk;
}

std::optional<std::uint32_t> ChunkBook::open_fresh() {
  if (fresh_left() == 0) return std::nullopt;
  chunks_[next_fresh_] = {.state = State::open};
  return next_fresh_++;
}

void ChunkBook::give_back_fresh(std::uint32_t chunk) {
  CHECK(chunk + 1 == next_fresh_ && chunks_[chunk].state == State::open);
  bytes_ -= chunks_[chunk].bytes;
  chunks_[chunk] = {};
  --next_fresh_;
}

void ChunkBook::add_bytes(std::uint32_t chunk, std::uint32_t bytes) {
  CHECK(chunks_[chunk].state == State::open);
  chunks_[chunk].bytes += bytes;
  bytes_ += bytes;
}

void ChunkBook::enqueue(std::uint32_t chunk, CacheQueue queue) {
  Chunk& c = chunks_[chunk];
  c.state = State::closed;
  c.queue = queue;
  c.order = next_order_++;
  queue_of(queue).emplace(c.order, chunk);
}

std::uint64_t ChunkBook::close(std::uint32_t chunk, CacheQueue queue) {
  CHECK(chunks_[chunk].state == State::open);
  enqueue(chunk, queue);
  return chunks_[chunk].order;
}

std::uint64_t ChunkBook::requeue(std::uint32_t chunk, CacheQueue queue) {
  Chunk& c = chunks_[chunk];
  CHECK(c.state == State::closed && queue_of(c.queue).erase(c.order) == 1);
  c.used_bytes = 0;
  enqueue(chunk, queue);
  return c.order;
}

void ChunkBook::make_free(std::uint32_t chunk) {
  Chunk& c = chunks_[chunk];
  CHECK(c.state == State::open || c.state == State::closed);
  if (c.state == State::closed) queue_of(c.queue).erase(c.order);
  bytes_ -= c.bytes;
  c = {.state = State::free};
  free_.push_back(chunk);
}

void ChunkBook::note_wrong(std::uint32_t chunk, std::uint32_t bytes, bool used) {
  Chunk& c = chunks_[chunk];
  c.wrong_bytes += bytes;
  if (used) c.used_bytes -= std::min(c.used_bytes, bytes);
}

std::optional<ChunkBook::Hollow> ChunkBook::hollow() const {
  const auto found = std::ranges::find_if(chunks_, [](const Chunk& c) { return c.state == State::closed && c.wrong_bytes > c.bytes / 2; });
  if (found == chunks_.end()) return std::nullopt;
  return Hollow{static_cast<std::uint32_t>(found - chunks_.begin()), found->queue};
}

std::optional<std::uint32_t> ChunkBook::oldest(CacheQueue queue) const {
  const Queue& q = queue_of(queue);
  return q.empty() ? std::nullopt : std::optional(q.begin()->second);
}

}  // namespace s3crate::cache
