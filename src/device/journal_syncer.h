// SPDX-License-Identifier: GPL-3.0-or-later
// JournalSyncer: makes durable what the encoder appends to the journal, while the encoder goes on: records stay in memory, and their
// places in the journal taken, until they are. A task of its own syncs once half of the bound has been appended; the encoder waits at
// the bound. Whoever flushes syncs himself, and shares the fdatasync that is under way.
//
// Threading: appended() by one task at a time.
#pragma once

#include "journal/journal.h"

namespace s3crate::device {

class JournalSyncer {
 public:
  // `trouble` is told of each sync that fails.
  JournalSyncer(Executor& executor, journal::Journal& journal, std::uint64_t unsynced_max, std::function<void(const Error&)> trouble);
  // Waits for the sync that is under way.
  ~JournalSyncer();

  // While more than the bound is not durable this waits, for the sync that is under way and one after it at most, as whoever flushes
  // appends meanwhile. The error of the one that it waited for.
  [[nodiscard]] Result<> appended();

 private:
  void run();

  journal::Journal& journal_;
  const std::uint64_t unsynced_max_;
  const std::function<void(const Error&)> trouble_;
  const std::unique_ptr<CondVar> changed_;

  Mutex mu_;
  bool wanted_ GUARDED_BY(mu_) = false;
  bool ending_ GUARDED_BY(mu_) = false;
  std::uint64_t rounds_begun_ GUARDED_BY(mu_) = 0;
  std::uint64_t rounds_ended_ GUARDED_BY(mu_) = 0;
  Result<> last_ GUARDED_BY(mu_);
  std::unique_ptr<Task> task_;
};

}  // namespace s3crate::device
