// SPDX-License-Identifier: GPL-3.0-or-later
// The head of the disk: its newest state, in layers, newest first:
//
//   current batch | frozen batches | open generation | cut generations | committed changes | those being checkpointed | tree
//
// A change moves down one layer at a time, under one lock, so that every reader sees it exactly once: the encoder publishes a
// batch in the open generation and takes it out of the overlay in one step; a commit moves a generation into the committed changes
// in one step; a checkpoint swaps changes for a new root in one step. Nothing here does I/O, and the lock is never held across any.
//
// Budgets, each a bound on memory: overlay bytes and what else unsent data holds in memory (dirty_max), runs (delta_runs_max).
// Past them writers wait; readers never do.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <optional>

#include "device/gather.h"
#include "device/stop_flag.h"
#include "volume/chain.h"

namespace s3crate::device {

struct HeadLimits {
  std::uint64_t dirty_max = 64 << 20;
  std::uint64_t batch_bytes = 4 << 20;
  std::uint64_t delta_runs_max = 400'000;
  // A generation that waits for its turn takes batches until it has so many.
  std::uint64_t generation_runs = 65'536;
  std::uint64_t generation_bytes = 128 << 20;
};

struct HeadCounters {
  std::uint64_t dirty_bytes = 0, memory_bytes = 0, unsent_bytes = 0, delta_runs = 0, writer_waits = 0;
  std::uint64_t batches = 0, checkpoints = 0, commits = 0;
  MonotonicTime oldest{};  // change that is not in the store; {} if none
};

// What the encoder made of a batch.
struct EncodedBatch {
  std::vector<volume::Run> holes;
  std::vector<volume::Run> runs;
  std::vector<std::pair<BlockIndex, BlockData>> patches;
  // Segments new with this batch, and extents by the segment they belong to.
  std::vector<std::pair<PendingSegmentPtr, PendingExtent>> extents;
};

class Head {
 public:
  Head(Env env, std::uint32_t block_size, const HeadLimits& limits, volume::View view, Seq last_seq);

  // What may be read and written now.
  [[nodiscard]] std::uint64_t disk_bytes() const { return disk_bytes_; }
  [[nodiscard]] std::uint32_t block_size() const { return block_size_; }

  // --- users -------------------------------------------------------------------------------------------------------------
  // Waits for room. Longer than batch_bytes is kBadArgument: the caller splits.
  [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data, StopFlag stop);
  [[nodiscard]] Result<> discard(std::uint64_t offset, std::uint64_t length, StopFlag stop);
  // Ends the current batch; all that was acknowledged before is in batches up to the answer.
  // Who encodes it: the caller, at once, or the encoder's own task, which is woken then.
  enum class Encodes { background, caller };
  [[nodiscard]] Seq freeze(Encodes who = Encodes::background);
  // What the caller froze and could not encode.
  void leave_to_background();
  // Adds all layers in memory to `gather`, and answers the tree to go on with.
  [[nodiscard]] volume::MaybeRoot gather(Gather& gather);
  // Whether [from, to) is data, hole, or for the tree to say, in order: as far as goes by looking at 256 runs or blocks of each
  // layer, so that the lock is not held for long however much is in memory.
  enum class Kind { data, hole, tree };
  struct Part {
    BlockIndex from, to;
    Kind kind;
  };
  struct Classified {
    std::vector<Part> parts;
    BlockIndex until;  // above `from`
    volume::MaybeRoot root;
  };
  [[nodiscard]] Classified classify(BlockIndex from, BlockIndex to);

  // --- the encoder: one at a time, see begin_encoding -----------------------------------------------------------------------
  // Claims the oldest frozen batch, and says which open generation it will go into; waits while another call encodes. nullptr:
  // there is nothing up to `through` to encode.
  struct Encoding {
    std::shared_ptr<const Batch> batch;
    std::uint64_t generation = 0;
  };
  [[nodiscard]] Result<std::optional<Encoding>> begin_encoding(Seq through);
  // Gives the claim back, having published the batch, or not.
  void end_encoding(const Encoding& encoding, EncodedBatch* encoded);
  // Whether [from, to) is hole already, as far as memory knows. Only while encoding.
  [[nodiscard]] bool surely_hole(BlockIndex from, BlockIndex to, volume::PageLoader& pages);
  // For the background encoder: waits until there is a frozen batch; freezes the current one when it is older than `delay`.
  // The first one that is frozen; nullopt when stopped.
  [[nodiscard]] std::optional<Seq> wait_for_batch(Duration delay);
  // Puts what a journal held back into the open generation. Whether that ended it.
  [[nodiscard]] bool restore(Seq seq, EncodedBatch& encoded, MonotonicTime when);

  // --- another size: one at a time --------------------------------------------------------------------------------------------
  // kExists: one is under way. When it shrinks the disk, nothing is written beyond the new end from here on.
  struct BegunResize {
    std::uint64_t from = 0;  // the size that it has
    Seq through;             // what was acknowledged before is in batches up to here
  };
  [[nodiscard]] Result<BegunResize> begin_resize(std::uint64_t bytes);
  void give_up_resize();
  // Puts the new size, and the hole where the tail was, behind all that is encoded. What grew is written to once that is stored.
  [[nodiscard]] Result<> queue_resize();
  [[nodiscard]] bool resizing_locked() const REQUIRES(mu_) { return resizing_.has_value(); }

  // --- a snapshot --------------------------------------------------------------------------------------------------------------
  // Ends the open generation, so that what comes from now on is in a later one.
  struct Cut {
    GenerationPtr generation;      // to be committed; nullptr: there is nothing that is not
    s3crate::Generation committed; // then: which holds everything
  };
  [[nodiscard]] Result<Cut> cut_now();

  // --- the uploader ----------------------------------------------------------------------------------------------------------
  // Cuts the open generation off if it holds anything and `wanted` says so; waits while a batch is being encoded. nullptr if not.
  [[nodiscard]] GenerationPtr cut_if(const std::function<bool(const PendingGeneration&)>& wanted);
  // Gathers a range as of a cut generation: its patches and runs, and all older layers.
  [[nodiscard]] volume::MaybeRoot gather_as_of(const PendingGeneration& generation, Gather& gather);
  // Replaces patches of a cut generation by the whole blocks made of them.
  void complete_patches(PendingGeneration& generation, EncodedBatch& completed);
  // The oldest cut generation is committed: its runs, now with their offsets, join the committed changes.
  void committed(const GenerationPtr& generation, s3crate::Generation number, std::span<const volume::Run> runs,
                 std::span<const segment::ObjectInfo> objects);
  // An open generation in which nothing changed needs no commit: once nothing older is under way, its batches count as stored.
  // Whether any were.
  [[nodiscard]] bool skip_empty();

  // A batch that came as a commit, without being written: the next number, when nothing else is under way.
  void note_imported(Seq seq);

  // --- the checkpointer --------------------------------------------------------------------------------------------------------
  // Sets the committed changes apart. They stay readable until end_checkpoint.
  struct Changes {
    s3crate::Generation as_of;
    std::shared_ptr<const volume::RunMap> runs;
    std::vector<segment::ObjectInfo> objects;  // named by commits since the last checkpoint
    volume::MaybeRoot root;                    // what the runs lie over
    std::optional<volume::MapState> state;     // after as_of
  };
  [[nodiscard]] Changes begin_checkpoint();
  // `carried`: those of the changes that stay over the new root, because a page of it cannot be read. `objects`: those that the
  // next one's table has to take: the checkpoint's own, and what this one's could not.
  void end_checkpoint(const volume::MaybeRoot& root, std::span<const volume::Run> carried,
                      std::span<const segment::ObjectInfo> objects);
  // The same of a rollback: `generation` has this root, and the disk this size. Whatever was in memory is no more.
  void end_rollback(s3crate::Generation generation, const volume::MaybeRoot& root, const volume::MapState& state,
                    std::span<const segment::ObjectInfo> objects);
  // Whether all that was acknowledged is committed.
  [[nodiscard]] bool is_all_committed();

  // --- state ---------------------------------------------------------------------------------------------------------------
  // From now on writes fail with this. The first one counts.
  void fail_writes(Error why);
  [[nodiscard]] std::optional<Error> failure();
  // Wakes all who wait, with kCancelled.
  void stop();
  [[nodiscard]] HeadCounters counters();

  // Everything up to here is encoded (and handed to the journal), or is in the store.
  [[nodiscard]] Seq encoded_through();
  [[nodiscard]] Seq stored_through();

  // For the parts that wait on the head's state with conditions of their own. Lock order: this before the locks of journal,
  // chain, caches.
  Mutex& mutex() RETURN_CAPABILITY(mu_) { return mu_; }
  // Notified on every change of: batches frozen for the background; generations cut, committed; failure, stop; and when a batch
  // was encoded, if the open generation had been empty, or has grown by another part of what it may be.
  CondVar& changed() { return *changed_; }
  [[nodiscard]] bool stopped_locked() const REQUIRES(mu_) { return stopped_; }
  [[nodiscard]] Seq stored_through_locked() const REQUIRES(mu_) { return stored_through_; }
  [[nodiscard]] Seq encoded_through_locked() const REQUIRES(mu_) { return encoded_through_; }
  [[nodiscard]] const std::optional<Error>& failure_locked() const REQUIRES(mu_) { return failure_; }
  [[nodiscard]] const std::deque<GenerationPtr>& generations_locked() const REQUIRES(mu_) { return generations_; }
  [[nodiscard]] std::size_t committed_runs_locked() const REQUIRES(mu_) { return committed_.size(); }
  // Of those, what the last checkpoint carried: another one would too.
  [[nodiscard]] std::size_t carried_runs_locked() const REQUIRES(mu_) { return carried_; }
  [[nodiscard]] std::uint64_t commits_since_checkpoint_locked() const REQUIRES(mu_) { return commits_since_checkpoint_; }
  // As encoded, about; also what was written over since.
  [[nodiscard]] std::uint64_t bytes_since_checkpoint_locked() const REQUIRES(mu_) { return bytes_since_checkpoint_; }
  [[nodiscard]] bool checkpointing_locked() const REQUIRES(mu_) { return checkpointing_ != nullptr; }
  // Writers wait for room that only uploads or a checkpoint can make.
  [[nodiscard]] bool pressed_locked() const REQUIRES(mu_) {
    return waiting_writers_ > 0 && (memory_bytes_ > limits_.dirty_max / 2 || runs_locked() > limits_.delta_runs_max / 2);
  }

 private:
  [[nodiscard]] bool has_room(std::uint64_t bytes) const REQUIRES(mu_);
  [[nodiscard]] Result<> check_inside(std::uint64_t offset, std::uint64_t length) const;
  [[nodiscard]] Result<> wait_for_room(std::uint64_t bytes, StopFlag stop) REQUIRES(mu_);
  Batch& current() REQUIRES(mu_);
  Seq freeze_locked(Encodes who = Encodes::background) REQUIRES(mu_);
  void wake_encoder_for_alarm() REQUIRES(mu_);
  void add_overlay(Gather& gather) const REQUIRES(mu_);
  void add_committed(Gather& gather) const REQUIRES(mu_);
  void publish(PendingGeneration& into, EncodedBatch& encoded) REQUIRES(mu_);
  void forget_memory(PendingGeneration& generation) REQUIRES(mu_);
  [[nodiscard]] std::uint64_t runs_locked() const REQUIRES(mu_);
  void open_generation() REQUIRES(mu_);
  bool end_if_full() REQUIRES(mu_);

  Env env_;
  const std::uint32_t block_size_;
  const HeadLimits limits_;
  std::atomic<std::uint64_t> disk_bytes_;  // changes under the lock
  std::unique_ptr<CondVar> changed_;
  std::unique_ptr<CondVar> encoding_done_;  // nobody encodes, or a cut no longer waits
  std::unique_ptr<CondVar> room_;

  Mutex mu_;
  std::unique_ptr<Batch> current_ GUARDED_BY(mu_);
  bool encoder_without_alarm_ GUARDED_BY(mu_) = false;
  std::deque<std::shared_ptr<Batch>> frozen_ GUARDED_BY(mu_);  // oldest first
  std::deque<GenerationPtr> generations_ GUARDED_BY(mu_);      // oldest first; the last one is open
  PendingSegments pending_ GUARDED_BY(mu_);
  volume::RunMap committed_ GUARDED_BY(mu_);
  std::shared_ptr<const volume::RunMap> checkpointing_ GUARDED_BY(mu_);
  volume::MaybeRoot root_ GUARDED_BY(mu_);
  s3crate::Generation committed_generation_ GUARDED_BY(mu_);  // what committed_ and all below it hold
  std::optional<volume::MapState> committed_state_ GUARDED_BY(mu_);  // after that one
  std::vector<segment::ObjectInfo> new_objects_ GUARDED_BY(mu_);
  std::uint64_t commits_since_checkpoint_ GUARDED_BY(mu_) = 0;
  std::uint64_t bytes_since_checkpoint_ GUARDED_BY(mu_) = 0;
  std::size_t carried_ GUARDED_BY(mu_) = 0;

  struct Resizing {
    std::uint64_t from = 0, to = 0;
    GenerationPtr generation;  // once it is queued
  };
  std::optional<Resizing> resizing_ GUARDED_BY(mu_);
  bool encoding_ GUARDED_BY(mu_) = false;
  std::uint64_t cuts_waiting_ GUARDED_BY(mu_) = 0;  // of cut_now(): the next batch waits for them
  bool stopped_ GUARDED_BY(mu_) = false;
  std::optional<Error> failure_ GUARDED_BY(mu_);
  Seq last_frozen_ GUARDED_BY(mu_);
  Seq encoded_through_ GUARDED_BY(mu_);
  Seq stored_through_ GUARDED_BY(mu_);
  std::uint64_t next_ordinal_ GUARDED_BY(mu_) = 1;
  std::uint64_t dirty_bytes_ GUARDED_BY(mu_) = 0;   // of all batches
  std::uint64_t memory_bytes_ GUARDED_BY(mu_) = 0;  // of all generations
  std::uint64_t waiting_writers_ GUARDED_BY(mu_) = 0;
  HeadCounters counters_ GUARDED_BY(mu_);
};

}  // namespace s3crate::device
