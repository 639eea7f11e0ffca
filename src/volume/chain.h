// SPDX-License-Identifier: GPL-3.0-or-later
// The writer's end of the chain of commits: one conditional PUT a generation, and what each of its outcomes means.
//
//   answer                          what it means                  what is done
//   stored                          it is ours                     go on
//   name taken, by our own bytes    an earlier try succeeded       go on
//   name taken, by a guest          somebody tagged, pinned, ...   verify it, re-parent, take the next number
//   name taken, by keys             the keys changed               the same, sealed under the new ring; fenced if revoked
//   name taken, by a higher epoch   somebody took over             kFenced, for good
//   name taken, by anything else    unverifiable                   kCorrupt, for good
//   away, busy, no reply            unknown                        the same bytes again until resolved; never rebuilt
//   denied, not offered, refused    permissions, settings          reported; the same bytes again. Of `open`: given up
//   nonsense                        unknown                        reported; the same bytes again
//
// An `open` that is given up may be stored all the same, if an earlier try of it got no reply. That is what a crash at this
// point leaves: the journal says that it is ours.
//
// Threading: append() calls one at a time (the caller's uploader sees to it); head() any time.
#pragma once

#include <deque>
#include <functional>

#include "volume/commit_put.h"
#include "volume/delta_levels.h"
#include "volume/volume.h"

namespace s3crate::volume {

// Who writes, as each of its commits says.
struct WriterIdentity {
  std::uint32_t epoch = 0;
  Uuid instance{};
  std::array<std::uint8_t, 16> home{};
  std::string host;
  Uuid journal{};
};

class Chain {
 public:
  // `head` is the newest commit as loaded. `trouble` hears of every failed try, for the log and the health; it may be called
  // from any call, and must not call back.
  Chain(Env env, Volume& volume, const Commit& head, std::function<void(const Error&)> trouble);
  ~Chain();

  // Whether the store refuses to overwrite the volume object by its own bytes, which changes nothing; single writers need not
  // know. Comes before open_term: where conditions are ignored, `open` itself could replace another writer's commit, and would
  // leave a volume open that nobody has. kDenied.
  [[nodiscard]] Result<> prove_conditions();

  // Takes the volume over: wins the next number with an `open` commit of the next epoch, and proves that the store enforces
  // conditions for a fresh name too, by putting the same bytes again. If others commit in between, `head_moved` decides on each
  // new head whether to go on. Answers the commit that `open` stands on.
  [[nodiscard]] Result<Commit> open_term(WriterIdentity who, const std::function<Result<>(const Commit&)>& head_moved);
  // What load_view found for the newest commit with changes: without it the levels of the delta base are passed over until they
  // have begun anew.
  void continue_from(DeltaLevels levels);

  // Completes `body` (who, term, time, delta base and what is repeated since then, checkpoint, and unless it is a resize the size
  // of the disk) and commits it as the next generation. Blocks through outages; kCancelled after stop(). After kFenced or kCorrupt nothing more can be appended.
  // `only_as`, if given: it may become no other generation, kExists if a guest took the number. `inline_extents`: of the one
  // object of that kind that the body then names.
  [[nodiscard]] Result<CommitRef> append(CommitBody body, std::optional<Generation> only_as = std::nullopt, ByteView inline_extents = {});
  void stop();
  // Nothing can be appended any more. The appender's alone.
  [[nodiscard]] bool broken() const { return broken_.has_value(); }

  [[nodiscard]] Generation head() const;
  [[nodiscard]] const WriterIdentity& who() const { return who_; }
  // The generations that this chain has seen become part of it, up to and with `through`, oldest first; without a gap but at the
  // old end, where only so many are kept.
  [[nodiscard]] std::vector<Event> events(Generation through) const;
  void forget_events(Generation through);
  // Commits with changes that a mount would read, were it now.
  [[nodiscard]] std::size_t bases() const;
  // Only a checkpoint helps: many guests came since the last one, or the changes were too many for a level of the delta base.
  [[nodiscard]] bool wants_checkpoint() const;
  // A fresh object id of this epoch. kNoSpace after 2^40 of them.
  [[nodiscard]] Result<ObjectId> new_object_id();

  // Called before each commit but `open` is put, with the newest that is no guest, the last batch in that, and with it: so that a journal
  // knows them. Where it fails, the commit says that it is not noted, and is put all the same.
  using Note = std::function<Result<>(const CommitRef& stored, Seq through, const CommitRef& next)>;
  void note_with(Note note) { note_ = std::move(note); }

  void set_away_limit(Duration limit) { put_.set_away_limit(limit); }

 private:
  [[nodiscard]] Result<Bytes> seal(Commit& commit);
  [[nodiscard]] Result<Bytes> seal_noted(const std::function<Commit()>& make, Commit& commit);
  // The next number is taken: accepts a guest as the new head, else kFenced or kCorrupt. True if it was `mine` after all.
  [[nodiscard]] Result<bool> accept_next(const Commit* mine);
  [[nodiscard]] Result<> look_after_absence();
  [[nodiscard]] Result<> leave_gap();
  void advance(const Commit& commit);
  void choose_delta_base(CommitBody& body, Generation generation);
  void hint_at_bases(CommitBody& body);
  void note_levels();

  Env env_;
  Volume& volume_;
  const std::function<void(const Error&)> trouble_;
  CommitPut put_;
  WriterIdentity who_;

  mutable Mutex mu_;
  CommitRef head_ GUARDED_BY(mu_);
  std::deque<Event> events_ GUARDED_BY(mu_);
  std::uint64_t next_counter_ GUARDED_BY(mu_) = 1;
  std::size_t bases_ GUARDED_BY(mu_) = 0;
  bool wants_checkpoint_ GUARDED_BY(mu_) = false;

  // The appender's alone.
  Note note_;                 // may be empty
  Commit newest_;             // what the next commit stands on; without its runs and objects
  CommitRef newest_own_;      // since open_term the newest that is no guest
  DeltaLevels levels_;        // as of it
  std::uint32_t guests_ = 0;  // seen since the checkpoint
  std::optional<Error> broken_;  // final
  MonotonicTime last_end_{};     // of the last PUT
  Duration last_put_{};          // how long it took
  MonotonicTime last_gap_{};     // end of the last pause that was long enough for a guest
  int gap_step_ = 0;             // how long the next one is to be
};

}  // namespace s3crate::volume
