// SPDX-License-Identifier: GPL-3.0-or-later
// ReadStreams: finds readers that go on where they were, among all reads of a disk, and says how
// far each may be read ahead.
//
// A stream is a range of blocks that were read without a gap, however the kernel split the reads
// and in whatever order its threads brought them: a read that touches the end of a stream extends
// it, streams that come to touch become one. So reads that arrive early are short streams of their
// own until the gap before them is filled. After `trigger` reads a stream is established: it has a
// window, which reaches from its end, and reads within it belong to it. Random reads touch nothing;
// each makes a stream that is soon forgotten for another.
//
// The window begins small. It doubles when the reads had to wait for what was being read ahead, at
// most once each time they have come as far as had been read ahead by then (which is once a round
// trip), and not when they took long to come there: more than kWindowTime's worth of what the
// reader takes is of no use. It is halved when what was read ahead was lost.
//
// Pure bookkeeping in blocks. Not thread-safe.
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/strong.h"

namespace s3crate::device {

struct ReadStreamsOptions {
  std::uint64_t trigger = 2;     // reads, at least 1
  std::uint64_t window_min = 1;  // blocks: where windows begin; they shrink to no less
  std::uint64_t window_max = 1;  // blocks
  std::uint64_t total_max = 1;   // blocks: all windows share them
  BlockIndex disk_end;
};

class ReadStreams {
 public:
  static constexpr std::size_t kStreamsMax = 64;
  // Of those that are not established, which are few, as a random read must not find its neighbour.
  static constexpr std::size_t kNewMax = 16;
  static constexpr Duration kActive = std::chrono::seconds(10);
  static constexpr Duration kWindowTime = std::chrono::seconds(1);

  using Id = std::uint64_t;  // 0: none
  // What is to be read ahead next.
  struct Piece {
    Id stream = 0;
    BlockIndex from, to;
  };

  explicit ReadStreams(const ReadStreamsOptions& options);
  void disk_ends_at(BlockIndex end) { disk_end_ = end; }

  // [from, to) is about to be read. The established stream that it belongs to, if any.
  Id note(BlockIndex from, BlockIndex to, MonotonicTime now);
  // A read of that stream had to wait for what was being read ahead, or came before it.
  void grow(Id id, MonotonicTime now);
  // What had been read ahead for it was no longer there.
  void shrink(Id id);

  // A piece of at most `blocks_max` (at least 1) and `credit` blocks for that stream, which gets no
  // other until planned(). Small ones are put off as long as others are before it.
  [[nodiscard]] std::optional<Piece> take(Id id, std::uint64_t blocks_max, std::uint64_t credit,
                                          MonotonicTime now);
  // The stream has been read ahead up to `ahead`, or will be.
  void planned(Id id, BlockIndex ahead);

  // Whether [from, to) lies where that stream has been read ahead, by its newest pieces.
  [[nodiscard]] bool is_ahead(Id id, BlockIndex from, BlockIndex to) const;
  // Established ones that were read lately.
  [[nodiscard]] std::size_t active(MonotonicTime now) const;
  // Blocks; 0 for one that is not established.
  [[nodiscard]] std::uint64_t window(Id id) const;

 private:
  struct Stream {
    Id id = 0;
    BlockIndex begin, end;     // read, as far as it is remembered
    std::uint64_t reads = 0;   // that went on where it ended
    std::uint64_t blocks = 0;  // read by them
    MonotonicTime used{};
    // Of an established one:
    std::uint64_t window = 0;
    BlockIndex ahead_from, ahead;  // read ahead from here on without a gap, up to there
    BlockIndex grow_from;  // it grows next when its reads have passed this
    MonotonicTime grown{};
    bool planning = false;
  };
  [[nodiscard]] Stream* find(Id id);
  [[nodiscard]] const Stream* find(Id id) const;
  [[nodiscard]] Stream* home_of(BlockIndex from, BlockIndex to);
  [[nodiscard]] Stream& fresh();
  [[nodiscard]] Stream* merge(Stream* stream);
  [[nodiscard]] bool is_active(const Stream& stream, MonotonicTime now) const;
  [[nodiscard]] std::uint64_t share(MonotonicTime now) const;

  const ReadStreamsOptions options_;
  BlockIndex disk_end_;
  std::vector<Stream> streams_;
  Id last_id_ = 0;
};

}  // namespace s3crate::device
