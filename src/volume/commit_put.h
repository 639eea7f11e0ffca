// SPDX-License-Identifier: GPL-3.0-or-later
// How a commit gets the next number: what a volume's writer (volume/chain.h, with the table of all
// answers and what they mean) and its guests (volume/guest.h) have in common.
//
// Threading: stop() any time, the rest one call at a time.
#pragma once

#include <functional>
#include <memory>

#include "base/mutex.h"
#include "volume/volume.h"

namespace s3crate::volume {

class CommitPut {
 public:
  enum class Outcome { stored, taken };
  enum class Refused { passing, final };  // what the store does not allow, or does not offer

  // `trouble` hears of every failed try; it must not call back.
  CommitPut(Env env, Volume& volume, std::function<void(const Error&)> trouble);
  ~CommitPut();

  // Whether the store refuses to overwrite the volume object by its own bytes, which changes nothing; single writers need
  // not know. Comes before anything else is put: where conditions are ignored, a commit could replace another's. kDenied.
  [[nodiscard]] Result<> prove_conditions();
  // The same with what was just stored.
  [[nodiscard]] Result<> prove_conditions(const std::string& name, const Bytes& stored);

  // Puts the same bytes until the outcome is known.
  [[nodiscard]] Result<Outcome> until_known(Generation generation, const Bytes& bytes, Refused refused);
  // The commit above `below`, whose number is taken: verified, and it stands on that one. kBadKey: it
  // took this key's rights; kCorrupt: unverifiable, or of another history.
  [[nodiscard]] Result<Commit> load_winner(const Commit& below);

  // Whether the last contact with the head of the chain is so long ago that others may have gone on, and what they
  // left been pruned. As this machine's clock or the store's tells it: that of a machine that was halted from
  // outside, as virtual ones are, stood still.
  [[nodiscard]] bool was_away();
  void note_contact();
  void set_away_limit(Duration limit) { away_limit_ = limit; }

  // From now on no wait is longer than until then; kTransient after it.
  void give_up_at(MonotonicTime when) { give_up_at_ = when; }
  [[nodiscard]] Result<> pause(Duration how_long);
  // Ends all waits, with kCancelled.
  void stop();

 private:
  [[nodiscard]] Result<Outcome> once(const std::string& name, const Bytes& bytes);
  [[nodiscard]] Result<> read_back(const std::string& name, const Bytes& bytes);

  Env env_;
  Volume& volume_;
  const std::function<void(const Error&)> trouble_;
  Duration away_limit_ = std::chrono::minutes(15);
  BootTime last_contact_;
  std::optional<WallTime> last_store_time_;  // then
  std::optional<MonotonicTime> give_up_at_;
  Mutex mu_;
  std::unique_ptr<CondVar> stopping_;
  bool stopped_ GUARDED_BY(mu_) = false;
};

// kDenied: what is said of a store that cannot decide between two writers. `what` is wrong with it.
[[nodiscard]] Error needs_single_writer(std::string_view what);

// What only another try can resolve. The store's own retries come before this.
[[nodiscard]] bool may_pass(Code code);
inline constexpr Duration kCommitPauseFirst = std::chrono::milliseconds(100);
inline constexpr Duration kCommitPauseMax = std::chrono::seconds(10);

// What every commit takes from the one that it stands on: header, time, size of the disk, checkpoint, and
// how far the writer's batches are in the store.
void stand_on(const Commit& parent, Env env, const Volume& volume, Commit& commit);

}  // namespace s3crate::volume
