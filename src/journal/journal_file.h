// SPDX-License-Identifier: GPL-3.0-or-later
// The Journal over one file.
//
// WRITING. One at a time writes (writer_busy_: an append, or the rewriting after a failed
// fdatasync) and one at a time makes durable (syncing_: the leader of a group commit; all others
// wait for it, and one of them leads next). Both are flags, not locks, so mu_ is never held across
// I/O, and records are appended while an fdatasync runs.
//
// A FAILED FDATASYNC says nothing about any byte that was not durable before, and the same pages
// must not be asked about again. So the leader waits for a running append, and writes all records
// that are not durable, in order, from memory into fresh slots, sealed anew (a new slot sequence
// stands in their headers; the first is chained to the last durable record), and syncs. Only if
// that succeeds do the records take their new places; if not, must_rewrite_ stays set, the fresh
// slots are given back, and the next sync() tries again, into other places if there are any. Why
// replay finds the right copies: scan.h. Records whose batches the store got meanwhile need no
// copy.
//
// The page cache may be all that has what such an fdatasync left (reads see it, and no later sync writes it). release() drops no
// more of that than a power cut would take, and nothing that is needed then: unsynced records are read from memory.
//
// A FAILED WRITE leaves bytes of unknown state behind the last record: the slot is not appended to
// again.
//
// RECOVERY, each step of which may crash and be done again:
//   1. open: lock the file; the valid superblock of the higher version counts; make the file's
//      name durable.
//   2. replay: read the slot headers; for each incarnation that may hold batches the store lacks,
//      oldest first, find the chain of its records by the rules in scan.h.
//   3. Hand out the batches behind the committed one, in order. Of those that no claim covers (the
//      last sync group) every extent must match its digest; the first that does not ends the
//      journal. An earlier end than a claim, or than an earlier replay found, is damage.
//   4. If the machine has not been booted since the superblock was written, a failed fdatasync of
//      the last process may have left those unclaimed records in the page cache only, clean: they
//      are copied, slot by slot and byte by byte, to free places, beyond the file's bound if need
//      be. What a crash leaves of that are two slots of one sequence, of which the one that is
//      right further counts; the other is not written over, since it may be the one that is on the
//      disk.
//   5. fdatasync. What was handed out is durable. The headers of slots that were copied, and of
//      older copies, are blanked.
//   6. note_intent: superblock with epoch, instance, base. Where the machine was not booted since,
//      the current superblock's bytes are first written once more in their place: it might be in
//      the page cache only as well, and the next write goes over its older twin.
//   7. start_incarnation: superblock with the new incarnation, the last one's end fixed to what
//      was found (so that no later replay sees more or fewer), and without those that the store
//      has all of.
//   8. The first append takes a free slot; what replay found is never written to again before it
//      is released.
#pragma once

#include <deque>

#include "base/mutex.h"
#include "crypto/crypto.h"
#include "io/file_io.h"
#include "journal/journal.h"
#include "journal/record.h"
#include "journal/scan.h"
#include "journal/slots.h"

namespace s3crate::journal {

class JournalFile final : public Journal {
 public:
  // `fresh`: nothing to replay.
  JournalFile(Env env, std::shared_ptr<io::File> file, const Options& options,
              const Superblock& superblock, const io::FileIdentity& identity,
              std::uint64_t file_size, bool fresh);

  [[nodiscard]] const Superblock& superblock() const override { return superblock_; }
  [[nodiscard]] bool was_copied() const override { return copied_; }
  [[nodiscard]] Result<Seq> replay(Seq committed, const KeyOpener& open_key,
                                   const std::function<Result<>(Replayed)>& each) override;
  [[nodiscard]] Result<std::uint64_t> pending_bytes(Seq committed) override;
  [[nodiscard]] Result<> note_intent(std::uint32_t epoch, const Uuid& instance, Generation base,
                                     const Hash& base_hash) override;
  [[nodiscard]] Result<> start_incarnation(Seq next, std::uint32_t ring,
                                           const crypto::PublicKey& data_key) override;
  [[nodiscard]] Result<RecordPtr> append(Seq seq, const RecordBody& body, SharedBytes extents) override;
  [[nodiscard]] Result<> sync() override;
  [[nodiscard]] Result<> note_commits(const NotedCommits& noted) override;
  [[nodiscard]] Result<> probe() override;
  [[nodiscard]] Seq durable_through() const override;
  [[nodiscard]] std::uint64_t unsynced_bytes() const override;
  void release(Seq through) override;
  [[nodiscard]] Stats stats() const override;
  [[nodiscard]] std::uint64_t max_record_bytes() const override;

 private:
  // Where the next record goes: behind the last one, or into a fresh slot if there is none.
  struct Cursor {
    SlotPin slot;
    std::uint32_t offset = 0;
  };
  struct Written {
    Place place;
    Tag tag{};
    std::uint64_t bytes = 0;
  };
  struct Unsynced {
    std::shared_ptr<RecordFile> record;
    std::shared_ptr<const Content> content;
    Written written;
  };
  struct Tail;  // of a replay

  // superblock.cc
  [[nodiscard]] Result<> write_superblock(Superblock next);
  [[nodiscard]] Result<> write_next(Superblock& next);

  // append.cc; only for whoever has writer_busy_, without mu_
  enum class Room {
    all_but_one,
    all,
    more
  };  // how many of the free slots count; more: beyond the file's bound
  [[nodiscard]] Result<SlotPin> take_slot(Room room);
  [[nodiscard]] Result<Written> write_record(Cursor& cursor, Room room, Seq seq,
                                             const Content& content, const Tag& previous,
                                             Seq durable);
  [[nodiscard]] std::uint32_t zeros_behind(const Slot& slot, std::uint32_t end, std::uint64_t bytes,
                                           Seq durable) const;
  void acquire_writer() REQUIRES(mu_);
  void release_writer() REQUIRES(mu_);

  // sync.cc; whoever makes something durable that is no record
  void acquire_sync() REQUIRES(mu_);
  void release_sync() REQUIRES(mu_);

  // sync.cc; only for whoever has syncing_, without mu_
  [[nodiscard]] Result<> write_durably(std::uint64_t at, ByteView bytes);
  [[nodiscard]] Result<> sync_round(bool rewriting, Seq through);
  [[nodiscard]] Result<> rewrite();
  void became_durable(Seq through) REQUIRES(mu_);

  // replay.cc
  [[nodiscard]] Geometry geometry(std::uint64_t file_size) const;
  [[nodiscard]] Result<> replay_incarnation(Tail& tail, const Incarnation& incarnation,
                                            const KeyOpener& open_key,
                                            const std::function<Result<>(Replayed)>& each);
  [[nodiscard]] Result<> move_tail(Tail& tail);
  [[nodiscard]] Result<> copy_slot(std::uint32_t from, const SlotPin& to, std::uint32_t bytes);
  void pin_copies(Tail& tail);

  const Env env_;
  const std::shared_ptr<io::File> file_;
  const Options options_;
  const io::FileIdentity identity_;
  const bool copied_;
  const bool same_boot_;

  // Change in open, replay, note_intent and start_incarnation only, which come one at a time and
  // before appends.
  Superblock superblock_;
  bool superblock_settled_;
  bool replayed_;
  Seq found_;  // the last seq that replay found

  // Belong to whoever has syncing_.
  std::uint64_t written_version_;      // of a superblock
  std::optional<NotedCommits> noted_;  // in it

  // Belong to whoever has writer_busy_.
  bool prepares_ = true;  // writes zeros behind small records
  std::optional<crypto::SealingKey> key_;
  Cursor cursor_;

  const std::unique_ptr<CondVar> changed_;
  mutable Mutex mu_;
  bool writer_busy_ GUARDED_BY(mu_) = false;
  bool syncing_ GUARDED_BY(mu_) = false;
  bool must_rewrite_ GUARDED_BY(mu_) = false;
  std::uint64_t round_ GUARDED_BY(mu_) = 0;  // of sync
  Seq round_through_ GUARDED_BY(mu_);        // what the running or last round covers at least
  std::optional<Error> round_error_ GUARDED_BY(mu_);  // of the last round
  SlotTable slots_ GUARDED_BY(mu_);
  std::uint64_t next_sequence_ GUARDED_BY(mu_) = 1;
  Seq released_ GUARDED_BY(mu_);
  Seq appended_ GUARDED_BY(mu_);  // the last one
  Seq durable_ GUARDED_BY(mu_);
  Tag appended_tag_ GUARDED_BY(mu_){};
  Tag durable_tag_ GUARDED_BY(mu_){};
  std::deque<Unsynced> unsynced_ GUARDED_BY(mu_);
  std::uint64_t unsynced_bytes_ GUARDED_BY(mu_) = 0;
  Stats stats_ GUARDED_BY(mu_);
};

}  // namespace s3crate::journal
