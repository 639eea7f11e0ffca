// SPDX-License-Identifier: GPL-3.0-or-later
// The encoder: takes whole batches in write order, makes extents of their full blocks, compresses and seals them once under the
// key of the open segment, appends them to the journal, and publishes them in the head.
//
// Whoever needs a batch encoded does it, or waits for who is at it; a task of the encoder's own sees to the rest.
// Extent numbers and nonces are used up when sealing starts: a batch that finds no room in the journal is encoded anew, in a new
// segment, because a cut may have closed the old one meanwhile.
#pragma once

#include <deque>
#include <optional>

#include "base/crew.h"
#include "compress/compress.h"
#include "device/head.h"
#include "device/journal_syncer.h"

namespace s3crate::device {

struct EncoderOptions {
  std::uint32_t block_size = 4096;
  std::uint32_t extent_bytes = 65536;
  std::uint32_t segment_bytes = 8 << 20;
  int compression_level = 1;
  Duration batch_delay = std::chrono::seconds(1);
};

struct EncoderCounters {
  std::atomic<std::uint64_t> extents{0}, patches{0}, zero_blocks{0}, bytes_before{0}, bytes_after{0};
};

// Seals extents into segments, with the help of a crew (may be null). One caller at a time.
class SegmentSealer {
 public:
  SegmentSealer(Env env, const volume::KeyRing& keys, volume::Chain& chain, const EncoderOptions& options,
                EncoderCounters& counters, Crew* crew = nullptr)
      : env_(env), keys_(keys), chain_(chain), options_(options), counters_(counters), crew_(crew) {}

  // Forgets the open segment: the next extent begins a new one.
  void close_segment() { open_.reset(); }
  // Appends the stored forms of stretches of neighbouring blocks to `out`, one behind the other, and describes them; opens segments
  // as need be.
  struct Sealed {
    PendingSegmentPtr segment;
    PendingExtent extent;       // without its record
    std::uint32_t ordinal = 0;  // of the segment
  };
  [[nodiscard]] Result<std::vector<Sealed>> seal(std::span<const ByteView> raws, Bytes& out);
  [[nodiscard]] Result<Sealed> seal(ByteView raw, Bytes& out);
  // The same of one block that is lost.
  [[nodiscard]] Result<Sealed> seal_lost(Bytes& out);
  // A segment of its own, to hold nothing but an index.
  [[nodiscard]] Result<PendingSegmentPtr> empty_segment();

 private:
  struct Open {
    PendingSegmentPtr segment;
    std::uint32_t ordinal = 0;
    crypto::SealingKey key;
    std::uint32_t next_number = 0;
    std::uint64_t bytes = 0;
  };
  [[nodiscard]] Result<> open_segment();
  [[nodiscard]] Result<> see_to_segment();
  [[nodiscard]] std::uint64_t room() const;
  [[nodiscard]] Sealed describe(ByteView stored, const crypto::Digest& digest, std::size_t offset, std::uint64_t blocks) const;
  void seal_some(std::span<const ByteView> raws, std::size_t bytes_max, Bytes& out, std::vector<Sealed>& sealed);
  void take(Sealed& sealed);
  Env env_;
  const volume::KeyRing& keys_;
  volume::Chain& chain_;
  const EncoderOptions& options_;
  EncoderCounters& counters_;
  Crew* const crew_;
  std::optional<Open> open_;
  std::uint32_t next_ordinal_ = 1;
};

// The run that `blocks` blocks from `block` on make of a sealed extent. Its offset is not known yet.
[[nodiscard]] volume::Run run_of(BlockIndex block, std::uint64_t blocks, const SegmentSealer::Sealed& sealed);

// Calls `data` with stretches of neighbouring full blocks that are not all zeros, each within one aligned extent's worth, and
// `zeros` with those that are. Stretches whose blocks do not lie behind each other in memory are copied to `joined`, the others
// stay where they are.
void for_each_extent(const std::map<BlockIndex, BlockData>& blocks, std::uint32_t block_size, std::uint32_t extent_bytes,
                     std::deque<Bytes>& joined, const std::function<void(BlockIndex, ByteView)>& data,
                     const std::function<void(BlockIndex, std::uint64_t)>& zeros);

class Encoder {
 public:
  // `journal` may be nullptr: then sealed extents stay in memory until they are stored.
  Encoder(Env env, Head& head, volume::PageLoader& pages, const volume::KeyRing& keys, volume::Chain& chain,
          journal::Journal* journal, const EncoderOptions& options, std::function<void(const Error&)> trouble,
          std::function<void()> ask_for_room);
  ~Encoder();
  void start();
  void join();  // of the task; the head must be stopped before

  // Returns when all batches up to `through` are encoded. While the journal is full that may take as long as an outage: then
  // `stop` or the deadline ends it, kCancelled.
  [[nodiscard]] Result<> encode_through(Seq through, StopFlag stop, MonotonicTime deadline = MonotonicTime::max());
  // After the journal could not be written to: nothing goes there any more, and fsync must wait for the store.
  [[nodiscard]] bool journal_failed() const { return journal_failed_; }
  [[nodiscard]] const EncoderCounters& counters() const { return counters_; }

 private:
  struct Draft;
  void run();
  [[nodiscard]] Result<> encode_one(const Head::Encoding& encoding, EncodedBatch& out);
  [[nodiscard]] Result<> encode_blocks(const Batch& batch, Draft& draft);
  [[nodiscard]] Result<> encode_data(Seq seq, std::span<const BlockIndex> blocks, std::span<const ByteView> raws, Draft& draft);
  [[nodiscard]] Result<> append(const Batch& batch, Draft& draft);
  void add_hole(BlockIndex from, BlockIndex to, Draft& draft);
  [[nodiscard]] Result<> wait_for_room(const Error& why, std::uint64_t used, StopFlag stop, MonotonicTime deadline);
  void give_journal_up(const Error& why);

  Env env_;
  Head& head_;
  volume::PageLoader& pages_;
  journal::Journal* const journal_;
  const EncoderOptions options_;
  const std::function<void(const Error&)> trouble_;
  const std::function<void()> ask_for_room_;
  EncoderCounters counters_;
  std::atomic<bool> journal_failed_{false};
  const std::uint64_t unsynced_max_;
  Crew crew_;
  SegmentSealer sealer_;               // of whoever encodes
  std::uint64_t sealer_generation_ = 0;  // likewise
  std::unique_ptr<JournalSyncer> syncer_;
  std::unique_ptr<Task> task_;
};

}  // namespace s3crate::device
