// SPDX-License-Identifier: GPL-3.0-or-later
// Guests: commits that another party than the volume's writer puts into the chain, in the same epoch:
// tags, pins and their like. The writer finds the number of its next commit taken, looks, and goes on
// above (the table in volume/chain.h); nobody is fenced, and it does not matter whether there is a
// writer at all.
//
// What a PUT answers means the same here, but for three things: whatever took the number, the guest
// stands on that and tries the next one, on the `open` of another epoch too; it does so a limited time,
// because somebody waits for it; and what is not known then may have been stored all the same.
#pragma once

#include "volume/commit_put.h"

namespace s3crate::volume {

struct GuestIdentity {
  std::array<std::uint8_t, 16> home{};
  std::string host;
};

struct GuestLimits {
  // A writer that puts commits without a pause wins most numbers: its next one needs half the round
  // trips that looking at the winner and putting the own one above it does. So it leaves gaps, shorter
  // and longer ones by turns (Chain::leave_gap).
  int tries = 1 << 20;  // the time comes first, but on stores that answer within microseconds
  Duration time = std::chrono::minutes(2);
};

class Guest {
 public:
  // Made before `head` is loaded, so that it knows if the machine slept since. `trouble` hears of every failed try.
  Guest(Env env, Volume& volume, GuestIdentity who, std::function<void(const Error&)> trouble, GuestLimits limits = {});

  // Commits `wanted` (its kind, and what only that kind has) above `head`, which is the newest as
  // loaded. If others are faster, `moved` hears of each of their commits, in order, and decides whether
  // to go on. kBadKey: this key may not; kTransient: the limits are reached, and it may be stored all
  // the same; kCorrupt: what took the number does not belong to the volume.
  [[nodiscard]] Result<CommitRef> append(Commit head, const CommitBody& wanted,
                                         const std::function<Result<>(const Commit&)>& moved);
  void stop() { put_.stop(); }  // kCancelled, soon

 private:
  [[nodiscard]] Result<Bytes> seal(const Commit& head, Commit& commit);
  using Moved = std::function<Result<>(const Commit&)>;
  [[nodiscard]] Result<> accept(const Commit& head, const Commit& winner);
  // Steps up from `head`, whose next number is taken, as far as commits are there; true if one of them is `own`.
  [[nodiscard]] Result<bool> catch_up(Commit& head, const Commit& own, const Moved& moved);
  [[nodiscard]] Result<CommitRef> stored(const Commit& commit);

  Env env_;
  Volume& volume_;
  const GuestIdentity who_;
  const segment::Uuid instance_;
  const GuestLimits limits_;
  CommitPut put_;
};

}  // namespace s3crate::volume
