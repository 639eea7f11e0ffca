// SPDX-License-Identifier: GPL-3.0-or-later
// Making records durable: group commit, and the rewriting after a failed fdatasync. See
// journal_file.h.
#include <algorithm>

#include "base/check.h"
#include "journal/journal_file.h"

namespace s3crate::journal {
namespace {

constexpr std::array<std::uint8_t, kSectorBytes> kZeros{};

}  // namespace

Result<> JournalFile::sync() {
  bool rewriting = false;
  Seq through;
  {
    MutexLock lock(mu_);
    const Seq target = appended_;
    for (;;) {
      if (durable_ >= target) return {};
      if (!syncing_) break;
      const bool covered = round_through_ >= target;
      const std::uint64_t round = round_;
      while (round_ == round) changed_->wait(mu_);
      if (covered && durable_ < target && round_error_) return fail(*round_error_);
    }
    syncing_ = true;
    rewriting = must_rewrite_;
    through = round_through_ = appended_;
  }
  Result<> done = sync_round(rewriting, through);
  MutexLock lock(mu_);
  syncing_ = false;
  ++round_;
  round_error_.reset();
  if (!done) round_error_ = done.error();
  CHECK(!done || durable_ >= through);
  changed_->notify_all();
  return done;
}

void JournalFile::acquire_sync() {
  while (syncing_) changed_->wait(mu_);
  syncing_ = true;
  round_through_ = Seq();  // it covers no record
}

void JournalFile::release_sync() {
  syncing_ = false;
  ++round_;
  round_error_.reset();
  changed_->notify_all();
}

// If its fdatasync fails, the kernel has told us what it might have told the next one of records.
Result<> JournalFile::write_durably(std::uint64_t at, ByteView bytes) {
  Result<> done = file_->write_at(at, bytes, io::Sync::yes);
  MutexLock lock(mu_);
  if (!done && !unsynced_.empty()) must_rewrite_ = true;
  return done;
}

Result<> JournalFile::probe() {
  {
    MutexLock lock(mu_);
    acquire_sync();
  }
  Result<> done = write_durably(kProbeOffset, kZeros);
  MutexLock lock(mu_);
  release_sync();
  return done;
}

Result<> JournalFile::sync_round(bool rewriting, Seq through) {
  if (!rewriting) {
    Result<> done = file_->datasync();
    MutexLock lock(mu_);
    if (done) {
      became_durable(through);
      ++stats_.syncs;
      return {};
    }
    ++stats_.failed_syncs;
    must_rewrite_ = true;
  }
  return rewrite();
}

void JournalFile::became_durable(Seq through) {
  while (!unsynced_.empty() && unsynced_.front().record->seq() <= through) {
    Unsynced& first = unsynced_.front();
    first.record->durable_at(std::move(first.written.place));
    unsynced_bytes_ -= first.written.bytes;
    durable_ = first.record->seq();
    durable_tag_ = first.written.tag;
    unsynced_.pop_front();
  }
}

Result<> JournalFile::rewrite() {
  std::deque<Unsynced> again;
  Tag previous;
  Seq durable;
  {
    MutexLock lock(mu_);
    acquire_writer();
    // The store has these: who still holds one goes on reading from memory.
    while (!unsynced_.empty() && unsynced_.front().record->seq() <= released_) {
      unsynced_bytes_ -= unsynced_.front().written.bytes;
      durable_ = unsynced_.front().record->seq();
      durable_tag_ = unsynced_.front().written.tag;
      unsynced_.pop_front();
    }
    again = unsynced_;
    previous = durable_tag_;
    durable = durable_;
  }
  Cursor cursor;
  Result<> done;
  for (Unsynced& one : again) {
    auto written =
        write_record(cursor, Room::all, one.record->seq(), *one.content, previous, durable);
    if (!written) {
      done = fail(written.error());
      break;
    }
    previous = written->tag;
    one.written = std::move(*written);
  }
  if (done && !again.empty()) done = file_->datasync();

  MutexLock lock(mu_);
  if (done) {
    // Of the abandoned slots only what was durable before is needed.
    for (const Unsynced& one : unsynced_) {
      Slot& slot = *one.written.place.slot.operator->();
      slot.last = slot.first <= durable ? durable : Seq();
    }
    for (const Unsynced& one : again) {
      Slot& slot = *one.written.place.slot.operator->();
      if (slot.first.value == 0) slot.first = one.record->seq();
      slot.last = one.record->seq();
    }
    unsynced_.swap(again);
    appended_tag_ = previous;
    cursor_ = std::move(cursor);
    must_rewrite_ = false;
    ++stats_.syncs;
    became_durable(appended_);
  } else {
    ++stats_.failed_syncs;
  }
  release_writer();
  return done;
}

}  // namespace s3crate::journal
