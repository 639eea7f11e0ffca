// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/journal_syncer.h"

namespace s3crate::device {

JournalSyncer::JournalSyncer(Executor& executor, journal::Journal& journal, std::uint64_t unsynced_max,
                             std::function<void(const Error&)> trouble)
    : journal_(journal), unsynced_max_(unsynced_max), trouble_(std::move(trouble)), changed_(executor.cond_var()) {
  task_ = executor.spawn("journal-sync", [this] { run(); });
}

JournalSyncer::~JournalSyncer() {
  {
    MutexLock lock(mu_);
    ending_ = true;
    changed_->notify_all();
  }
  task_.reset();
}

Result<> JournalSyncer::appended() {
  if (journal_.unsynced_bytes() <= unsynced_max_ / 2) return {};
  MutexLock lock(mu_);
  wanted_ = true;
  changed_->notify_all();
  // The round that is under way may not cover what was appended last.
  for (const std::uint64_t covering = rounds_begun_ + 1; journal_.unsynced_bytes() > unsynced_max_; changed_->wait(mu_))
    if (rounds_ended_ >= covering) return last_;
  return {};
}

void JournalSyncer::run() {
  for (;;) {
    {
      MutexLock lock(mu_);
      while (!wanted_ && !ending_) changed_->wait(mu_);
      if (ending_) return;
      wanted_ = false;
      ++rounds_begun_;
    }
    const Result<> synced = journal_.unsynced_bytes() > unsynced_max_ / 2 ? journal_.sync() : Result<>();
    if (!synced) trouble_(synced.error());
    MutexLock lock(mu_);
    ++rounds_ended_;
    last_ = synced;
    changed_->notify_all();
  }
}

}  // namespace s3crate::device
