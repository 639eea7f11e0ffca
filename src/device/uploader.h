// SPDX-License-Identifier: GPL-3.0-or-later
// The uploader: cuts generations, completes their partial blocks, puts their segments in parallel, commits them in order.
//
//   open -> cut -> started (patches completed, segments placed, puts under way) -> all put -> committed
//
// A cut comes when the open generation fills a segment, is older than the upload delay, is demanded, or writers wait; but only
// so many generations are under way at once, so that under load a commit serves many segments. The journal is freed only up to the
// cut of a commit known to be stored.
#pragma once

#include "device/assemble.h"
#include "device/encoder.h"
#include "device/put_limit.h"

namespace s3crate::device {

struct UploaderOptions {
  Duration upload_delay = std::chrono::seconds(30);
  std::uint32_t puts_at_start = 4;  // at a time, of segments; see PutLimit
  std::uint32_t puts_max = 4;
  std::uint32_t generations_in_flight = 4;
  std::uint64_t segment_bytes = 8 << 20;
  std::uint64_t commit_bytes = 8 << 20;  // that a generation grows to while more is written
  std::uint32_t continues_epoch = 0;  // who acknowledged the batches before ours
  Seq continues_seq;                  // the last of those
  std::optional<segment::LinePlace> continues_place = {};  // the newest generation with data among them; nullopt: unknown
  // Extents of so many bytes stand in their commit: for whoever waits for the store that is one round trip instead of two.
  std::uint64_t inline_max = 0;
};

struct UploaderCounters {
  std::atomic<std::uint64_t> segments{0}, segment_bytes{0}, left_out{0};
};

class Uploader {
 public:
  // What it works with; all outlive it.
  struct Parts {
    Head& head;
    volume::Volume& volume;
    volume::Chain& chain;
    volume::ObjectTable& objects;
    cache::ExtentCache& cache;
    cache::ExtentSource& source;
    cache::SealedCache* sealed;     // may be nullptr
    journal::Journal* journal;      // may be nullptr
    BufferPool& buffers;            // for the segments that are made
    SegmentSealer& sealer;          // the uploader's own: for completed patches
    std::function<void(const Error&)> trouble;
    std::function<Result<>()> before_commit;  // may be empty
    std::function<void(const volume::CommitRef&)> committed;  // in order, from one task
  };
  Uploader(Env env, const Parts& parts, const UploaderOptions& options);
  ~Uploader();
  void start();
  void join();  // of its tasks; the head must be stopped before, and the chain if the store is away

  // All encoded batches up to `through` shall be stored as soon as can be.
  void demand(Seq through);
  // The journal is full: what the store has, or does not need, shall be freed.
  void make_room();
  // Appends to the chain; one at a time, in the order of arrival.
  [[nodiscard]] Result<volume::CommitRef> append(volume::CommitBody body, std::optional<Generation> only_as = std::nullopt,
                                                 ByteView inline_extents = {});
  // Puts a segment that is no generation's of the head, under a fresh name, through outages. Thread-safe; only kCancelled.
  [[nodiscard]] Result<segment::ObjectInfo> put_segment(const PlacedSegment& placed);
  // Of the next generation that has segments: its place in the epoch, and who acknowledged the batch before `first`.
  [[nodiscard]] PlaceContext context_of(Seq first) const;
  // The index of a segment that is put from now on tells of it, for a repair without commits.
  void tell(volume::CheckpointMark mark);
  // Puts it into the index of a segment that others than this put, if it is still untold.
  void tell_in(segment::SegmentIndex& index);
  // Another task has committed it, while there was nothing to upload.
  void note_placed() { placed_++; }
  [[nodiscard]] const UploaderCounters& counters() const { return counters_; }

 private:
  // A generation whose segments are being put.
  struct Active {
    GenerationPtr generation;
    PlacedGeneration placed;
    std::size_t next_put = 0;   // of placed.segments
    std::size_t puts_left = 0;
    std::vector<segment::ObjectInfo> objects;
    Bytes inline_extents;
    std::uint64_t ordinal = 0;  // as in PlaceContext
  };
  void coordinate();
  void put_segments();
  [[nodiscard]] std::shared_ptr<Active> active_with_more() REQUIRES(head_.mutex());
  [[nodiscard]] bool wants_cut(const PendingGeneration& open) REQUIRES(head_.mutex());
  [[nodiscard]] MonotonicTime cut_due(const PendingGeneration& open) REQUIRES(head_.mutex());
  [[nodiscard]] GenerationPtr next_to_start() REQUIRES(head_.mutex());
  [[nodiscard]] bool front_is_put() REQUIRES(head_.mutex());
  [[nodiscard]] bool wait_for_work();
  [[nodiscard]] Result<> start_generation(const GenerationPtr& generation);
  [[nodiscard]] Result<> complete_patches(PendingGeneration& generation);
  [[nodiscard]] Result<EncodedBatch> whole_blocks(BlockIndex from, const BufferPtr& buffer, Seq seq);
  [[nodiscard]] Result<EncodedBatch> lost_block(BlockIndex block, Seq seq);
  [[nodiscard]] bool is_disk_away(std::span<const Error> errors);
  void tell_in_locked(segment::SegmentIndex& index) REQUIRES(head_.mutex());
  void make_inline(Active& active);
  [[nodiscard]] Result<> commit(Active& active);
  [[nodiscard]] bool must_free_journal();
  [[nodiscard]] Result<> commit_nothing();
  void offer(const PlacedSegment& placed, ByteView object);
  [[nodiscard]] Result<> put_object(const std::string& name, ByteView object);
  // Waits a while after trouble; kCancelled when stopped.
  [[nodiscard]] Result<> pause(const Error& why);

  Env env_;
  const Parts parts_;
  Head& head_;
  const UploaderOptions options_;
  UploaderCounters counters_;
  std::unique_ptr<CondVar> work_;  // of the putters; with the head's mutex, like all below
  std::deque<std::shared_ptr<Active>> active_ GUARDED_BY(head_.mutex());
  Seq demanded_ GUARDED_BY(head_.mutex());
  bool room_wanted_ GUARDED_BY(head_.mutex()) = false;
  MonotonicTime last_start_ GUARDED_BY(head_.mutex()){};  // of a generation's uploads
  std::optional<volume::CheckpointMark> untold_ GUARDED_BY(head_.mutex());
  PutLimit put_limit_ GUARDED_BY(head_.mutex());
  std::uint32_t putting_ GUARDED_BY(head_.mutex()) = 0;
  bool appending_ GUARDED_BY(head_.mutex()) = false;
  std::atomic<std::uint64_t> placed_{0};  // generations with segments
  std::vector<std::unique_ptr<Task>> tasks_;
};

}  // namespace s3crate::device
