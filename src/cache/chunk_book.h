// SPDX-License-Identifier: GPL-3.0-or-later
// ChunkBook: which chunk of a cache file is what, and which goes next. In memory only.
//
//   fresh -> open -> closed -> free -> open ...
//
// fresh: the file does not reach there yet. free: what is in it is void. open: being filled. closed: full, in one of two queues.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "cache/cache_format.h"

namespace s3crate::cache {

class ChunkBook {
 public:
  explicit ChunkBook(std::uint32_t chunks) : chunks_(chunks) {}

  // Of all chunks, those that first-time items may keep when others want room.
  [[nodiscard]] std::uint32_t probation_target() const { return std::max(1u, in_use() / kProbationPart); }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(chunks_.size()); }
  // That the file reaches.
  [[nodiscard]] std::uint32_t in_use() const { return size() - fresh_left(); }
  [[nodiscard]] std::uint32_t fresh_left() const { return size() - next_fresh_; }
  [[nodiscard]] std::size_t free_count() const { return free_.size(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }  // of items in it

  // What the file is found to hold, in order of the chunks; then all others are fresh.
  void found_closed(std::uint32_t chunk, CacheQueue queue, std::uint64_t order, std::uint32_t bytes);
  void found_free(std::uint32_t chunk);

  // Opens a free chunk, or a fresh one.
  [[nodiscard]] std::optional<std::uint32_t> open_free();
  [[nodiscard]] std::optional<std::uint32_t> open_fresh();
  // A fresh one that could not be had.
  void give_back_fresh(std::uint32_t chunk);
  void add_bytes(std::uint32_t chunk, std::uint32_t bytes);
  // Puts an open chunk at the end of a queue; answers its order.
  std::uint64_t close(std::uint32_t chunk, CacheQueue queue);
  // Puts a closed chunk at the end of a queue, as if nothing in it had been used again.
  std::uint64_t requeue(std::uint32_t chunk, CacheQueue queue);
  void make_free(std::uint32_t chunk);
  [[nodiscard]] std::uint64_t next_order() const { return next_order_; }

  [[nodiscard]] std::optional<std::uint32_t> oldest(CacheQueue queue) const;
  [[nodiscard]] std::size_t count(CacheQueue queue) const { return queue_of(queue).size(); }
  [[nodiscard]] bool is_closed(std::uint32_t chunk) const { return chunks_[chunk].state == State::closed; }

  // So many bytes in it were used again for the first time.
  void note_used(std::uint32_t chunk, std::uint32_t bytes) { chunks_[chunk].used_bytes += bytes; }
  // So many are not what its table says; `used`: they counted as used again.
  void note_wrong(std::uint32_t chunk, std::uint32_t bytes, bool used);
  // More than half of it was used again.
  [[nodiscard]] bool is_popular(std::uint32_t chunk) const {
    return chunks_[chunk].used_bytes > chunks_[chunk].bytes / 2;
  }
  // A closed chunk of which more than half is wrong, if there is one. After a power cut that may be all but its table.
  struct Hollow {
    std::uint32_t chunk;
    CacheQueue queue;
  };
  [[nodiscard]] std::optional<Hollow> hollow() const;

 private:
  static constexpr std::uint32_t kProbationPart = 10;
  enum class State : std::uint8_t { fresh, free, open, closed };
  struct Chunk {
    State state = State::fresh;
    CacheQueue queue = CacheQueue::probation;
    std::uint32_t bytes = 0;
    std::uint32_t used_bytes = 0;
    std::uint64_t order = 0;
    std::uint32_t wrong_bytes = 0;
  };
  using Queue = std::map<std::uint64_t, std::uint32_t>;  // order, chunk
  [[nodiscard]] const Queue& queue_of(CacheQueue queue) const { return queues_[queue == CacheQueue::kept]; }
  [[nodiscard]] Queue& queue_of(CacheQueue queue) { return queues_[queue == CacheQueue::kept]; }
  void enqueue(std::uint32_t chunk, CacheQueue queue);

  std::vector<Chunk> chunks_;
  std::uint32_t next_fresh_ = 0;
  std::vector<std::uint32_t> free_;
  Queue queues_[2];
  std::uint64_t next_order_ = 1;
  std::uint64_t bytes_ = 0;
};

}  // namespace s3crate::cache
