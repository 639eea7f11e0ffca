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
  {
    MutexLock lock(mu_);
    ask_for_round();
  }
  // The one that is under way may not cover what was appended last.
  for (int round = 0; round < 2 && journal_.unsynced_bytes() > unsynced_max_; ++round) TRY(wait_for_round());
  return {};
}

void JournalSyncer::ask_for_round() {
  wanted_ = true;
  changed_->notify_all();
}

Result<> JournalSyncer::wait_for_round() {
  MutexLock lock(mu_);
  ask_for_round();
  for (const std::uint64_t before = rounds_; rounds_ == before;) changed_->wait(mu_);
  return last_;
}

void JournalSyncer::run() {
  for (;;) {
    {
      MutexLock lock(mu_);
      while (!wanted_ && !ending_) changed_->wait(mu_);
      if (ending_) return;
      wanted_ = false;
    }
    const Result<> synced = journal_.unsynced_bytes() > unsynced_max_ / 2 ? journal_.sync() : Result<>();
    if (!synced) trouble_(synced.error());
    MutexLock lock(mu_);
    ++rounds_;
    last_ = synced;
    changed_->notify_all();
  }
}

}  // namespace s3crate::device
