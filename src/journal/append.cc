// SPDX-License-Identifier: GPL-3.0-or-later
// Writing records: see journal_file.h.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "journal/journal_file.h"

namespace s3crate::journal {
namespace {

constexpr std::array<std::uint8_t, 16 * kSectorBytes> kZeros{};
constexpr std::uint32_t kPreparedBytes = 1 << 20;  // a power of two
constexpr std::uint64_t kSmallRecord = 128 << 10;

}  // namespace

std::uint64_t JournalFile::max_record_bytes() const {
  const std::uint64_t bytes =
      superblock_.slot_bytes - kSectorBytes - record_header_size() - crypto::kSealOverhead;
  return std::min<std::uint64_t>(bytes, kRecordBodyMax);
}

void JournalFile::acquire_writer() {
  while (writer_busy_) changed_->wait(mu_);
  writer_busy_ = true;
}

void JournalFile::release_writer() {
  writer_busy_ = false;
  changed_->notify_all();
}

Result<SlotPin> JournalFile::take_slot(Room room) {
  std::uint32_t grown = 0;
  {
    MutexLock lock(mu_);
    if (room != Room::more && slots_.free_count(released_) <= (room == Room::all_but_one ? 1 : 0)) {
      return fail(Code::kNoSpace,
                  "journal: all of its {} slots hold what the store lacks or what is being read",
                  slots_.capacity());
    }
    if (SlotPin slot = slots_.take(released_, next_sequence_,
                                   room == Room::more ? slots_.grown() : slots_.capacity())) {
      ++next_sequence_;
      return slot;
    }
    grown = slots_.grown() + 1;
  }
  if (auto done = file_->allocate(kSlotsOffset + std::uint64_t{grown} * superblock_.slot_bytes);
      !done) {
    const Code code = done.error().code();
    return fail(code == Code::kNoSpace ? Code::kTransient : code, "journal: {}",
                done.error().message());
  }
  MutexLock lock(mu_);
  slots_.grow();
  return slots_.take(released_, next_sequence_++, slots_.grown());
}

// How many zeros to put behind a record of `bytes` that ends at `end`. The blocks of a new place are reserved, not written; that some
// are is for the filesystem to note, durably, in its own journal, so a datasync takes two to three times as long. Who syncs small records has
// that done for many of them at once. (Larger ones gain less than it costs to write everything twice.)
std::uint32_t JournalFile::zeros_behind(const Slot& slot, std::uint32_t end, std::uint64_t bytes, Seq durable) const {
  const bool was_synced = slot.first.value != 0 && slot.first <= durable;
  if (!was_synced || !prepares_ || bytes > kSmallRecord || end <= slot.written) return 0;
  return std::min(superblock_.slot_bytes, (end | (kPreparedBytes - 1)) + 1) - end;
}

Result<JournalFile::Written> JournalFile::write_record(Cursor& cursor, Room room, Seq seq,
                                                       const Content& content, const Tag& previous,
                                                       Seq durable) {
  const std::uint64_t used =
      record_header_size() + content.body.size() + crypto::kSealOverhead + content.extents_view().size();
  const std::uint64_t bytes = round_up_to_sector(used);
  if (!cursor.slot || cursor.offset + bytes > superblock_.slot_bytes) {
    cursor.slot = TRY(take_slot(room));
    cursor.offset = 0;
    CHECK(cursor.slot);
  }
  const std::uint32_t incarnation = superblock_.incarnations.back().number;
  Bytes slot_header;
  if (cursor.offset == 0) {
    slot_header =
        encode_slot_header({superblock_.journal, incarnation, cursor.slot->sequence, seq});
    CHECK(slot_header.size() == kSectorBytes);
  }
  RecordHeader header;
  header.journal = superblock_.journal;
  header.incarnation = incarnation;
  header.slot_sequence = cursor.slot->sequence;
  header.seq = seq;
  header.previous_tag = previous;
  header.durable_through = durable;
  header.extents_length = static_cast<std::uint32_t>(content.extents_view().size());
  const SealedRecord sealed =
      seal_record(*key_, env_.random, superblock_.vid, header, content.body);

  const std::uint64_t at =
      kSlotsOffset + std::uint64_t{cursor.slot->index} * superblock_.slot_bytes + cursor.offset;
  const auto end = static_cast<std::uint32_t>(cursor.offset + slot_header.size() + bytes);
  std::vector<ByteView> parts{slot_header, sealed.bytes, content.extents_view()};
  const std::uint32_t prepared = zeros_behind(*cursor.slot.operator->(), end, bytes, durable);
  for (std::uint64_t zeros = bytes - used + prepared; zeros > 0; zeros -= parts.back().size())
    parts.push_back(ByteView(kZeros).first(std::min<std::uint64_t>(zeros, kZeros.size())));
  const io::WriteOp op{at, parts};
  if (auto written = file_->write({&op, 1}, io::Sync::no); !written) {
    cursor = {};
    const Code code = written.error().code();
    // A filesystem that writes everything to new blocks had reserved these for one write.
    if (code == Code::kNoSpace && prepared > 0) prepares_ = false;
    return fail(code == Code::kNoSpace ? Code::kTransient : code, "journal: {}",
                written.error().message());
  }
  cursor.offset = end;
  cursor.slot->written = std::max(cursor.slot->written, end + prepared);
  return Written{{cursor.slot, at + slot_header.size() + sealed.bytes.size()}, sealed.tag, bytes};
}

Result<RecordPtr> JournalFile::append(Seq seq, const RecordBody& body, SharedBytes extents) {
  auto content = std::make_shared<Content>(Content{encode_record_body(body), std::move(extents)});
  const std::size_t size = content->body.size() + content->extents_view().size();
  if (size > max_record_bytes())
    return fail(Code::kBadArgument, "journal: a batch of {} bytes, at most {} fit", size, max_record_bytes());

  Tag previous;
  Seq durable;
  {
    MutexLock lock(mu_);
    acquire_writer();
    CHECK(key_ && seq == appended_.next());
    previous = appended_tag_;
    durable = durable_;
  }
  auto written = write_record(cursor_, Room::all_but_one, seq, *content, previous, durable);
  MutexLock lock(mu_);
  release_writer();
  if (!written) return fail(written.error());
  auto record = std::make_shared<RecordFile>(file_, seq, content);
  Slot& slot = *written->place.slot.operator->();
  if (slot.first.value == 0) slot.first = seq;
  slot.last = seq;
  appended_ = seq;
  appended_tag_ = written->tag;
  unsynced_bytes_ += written->bytes;
  stats_.appends += 1;
  stats_.append_bytes += written->bytes;
  unsynced_.push_back({record, std::move(content), std::move(*written)});
  return record;
}

void JournalFile::release(Seq through) {
  Seq before;
  {
    MutexLock lock(mu_);
    before = std::exchange(released_, std::max(released_, through));
  }
  // What the store has is not read here any more.
  for (std::uint32_t i = 0;; ++i) {
    std::uint64_t offset = 0, size = 0;
    {
      MutexLock lock(mu_);
      while (i < slots_.grown() && !slots_.ends_within(i, before, through)) ++i;
      if (i == slots_.grown()) return;
      offset = slots_.offset_of(i);
      size = superblock_.slot_bytes;
    }
    file_->drop_cached(offset, size);
  }
}

Seq JournalFile::durable_through() const {
  MutexLock lock(mu_);
  return durable_;
}

std::uint64_t JournalFile::unsynced_bytes() const {
  MutexLock lock(mu_);
  return unsynced_bytes_;
}

Stats JournalFile::stats() const {
  MutexLock lock(mu_);
  Stats stats = stats_;
  stats.capacity_bytes = std::uint64_t{slots_.capacity()} * superblock_.slot_bytes;
  stats.used_bytes =
      stats.capacity_bytes - std::uint64_t{slots_.free_count(released_)} * superblock_.slot_bytes;
  return stats;
}

}  // namespace s3crate::journal
