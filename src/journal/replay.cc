// SPDX-License-Identifier: GPL-3.0-or-later
// Recovery, steps 2 to 5 of journal_file.h.
#include <algorithm>

#include "base/check.h"
#include "journal/journal_file.h"

namespace s3crate::journal {

struct JournalFile::Tail {
  struct Unclaimed {
    FoundRecord found;
    std::shared_ptr<RecordFile> record;
    Place moved;
  };
  Geometry geometry;
  std::vector<FoundSlot> slots;
  Seq last;                          // handed out, or committed
  std::vector<Unclaimed> unclaimed;  // handed out, and perhaps in the page cache only
  std::vector<SlotPin> copies;       // all slots of the sequences that those are in
};

Geometry JournalFile::geometry(std::uint64_t file_size) const {
  return {*file_,          file_size,          superblock_.slot_bytes, options_.block_size,
          superblock_.vid, superblock_.journal};
}

Result<Seq> JournalFile::replay(Seq committed, const KeyOpener& open_key,
                                const std::function<Result<>(Replayed)>& each) {
  const std::uint64_t size = TRY(file_->size());
  Tail tail{geometry(size), {}, committed, {}, {}};
  tail.slots = TRY(find_slots(tail.geometry));
  {
    MutexLock lock(mu_);
    CHECK(!key_ && unsynced_.empty());
    slots_ = SlotTable(superblock_.slot_bytes, slots_.capacity(), tail.geometry.slots());
    released_ = committed;
    for (const FoundSlot& slot : tail.slots) {
      if (slot.header) next_sequence_ = std::max(next_sequence_, slot.header->sequence + 1);
    }
  }
  for (const Incarnation& incarnation : superblock_.incarnations) {
    if (incarnation.last_seq.value != 0 && incarnation.last_seq <= committed) continue;
    TRY(replay_incarnation(tail, incarnation, open_key, each));
  }
  if (same_boot_) {
    pin_copies(tail);
    TRY(move_tail(tail));
  }
  TRY(file_->datasync());
  if (same_boot_) {
    for (Tail::Unclaimed& one : tail.unclaimed) one.record->durable_at(std::move(one.moved));
    const Bytes blank(kSectorBytes);
    for (const SlotPin& old : tail.copies)
      TRY(file_->write_at(tail.geometry.offset_of(old->index), blank));
  }
  found_ = tail.last;
  replayed_ = true;
  return found_;
}

Result<> JournalFile::replay_incarnation(Tail& tail, const Incarnation& incarnation,
                                         const KeyOpener& open_key,
                                         const std::function<Result<>(Replayed)>& each) {
  const bool newest = incarnation.last_seq.value == 0;
  if (newest && std::none_of(tail.slots.begin(), tail.slots.end(), [&](const FoundSlot& slot) {
        return !slot.header || slot.header->incarnation == incarnation.number;
      })) {
    return {};
  }
  const crypto::OpeningKey key(TRY(open_key(incarnation.ring, incarnation.sealed_key)));
  Scanner scanner(tail.geometry, incarnation, key);
  const Seq start = tail.last;
  const Seq before = std::max(start, Seq(incarnation.first_seq.value - 1));
  const Scanner::Chain chain = TRY(scanner.find_chain(tail.slots, before));
  const Seq known = newest ? chain.claimed : incarnation.last_seq;

  for (const FoundRecord& found : chain.records) {
    if (found.seq <= before) continue;
    if (found.seq != tail.last.next() || (!newest && found.seq > known)) break;
    Replayed replayed{incarnation.number, found.seq, {}, nullptr};
    replayed.body = TRY(scanner.read_body(found));
    if (found.seq > known && !TRY(scanner.extents_match(found, replayed.body))) break;
    std::shared_ptr<RecordFile> record;
    {
      MutexLock lock(mu_);
      SlotPin slot = slots_.pin(found.slot);
      slot->last = std::max(slot->last, found.seq);
      const std::uint64_t at = tail.geometry.offset_of(found.slot) + found.offset +
                               record_header_size() + found.sealed_length;
      record = std::make_shared<RecordFile>(file_, found.seq, found.extents_length,
                                            Place{std::move(slot), at});
    }
    if (found.seq > known) tail.unclaimed.push_back({found, record, {}});
    replayed.record = std::move(record);
    TRY(each(std::move(replayed)));
    tail.last = found.seq;
  }
  const bool any = known > before || (!chain.records.empty() && chain.records.back().seq > before);
  const bool gap = any && start < before;  // between two incarnations
  if (gap || (known > before && tail.last < known)) {
    return fail(
        Code::kCorrupt,
        "journal: it is damaged: batch {} cannot be read, though batches up to {} were durable",
        tail.last.next(), std::max(known, before));
  }
  return {};
}

void JournalFile::pin_copies(Tail& tail) {
  const auto is_unclaimed = [&](const FoundSlot& slot) {
    return std::any_of(tail.unclaimed.begin(), tail.unclaimed.end(),
                       [&](const Tail::Unclaimed& one) { return one.found.slot == slot.index; });
  };
  MutexLock lock(mu_);
  for (const FoundSlot& one : tail.slots) {
    if (!one.header || !is_unclaimed(one)) continue;
    for (const FoundSlot& copy : tail.slots) {
      const bool same = copy.header && copy.header->incarnation == one.header->incarnation &&
                        copy.header->sequence == one.header->sequence;
      if (same) tail.copies.push_back(slots_.pin(copy.index));
    }
  }
}

// Step 4.
Result<> JournalFile::move_tail(Tail& tail) {
  for (auto first = tail.unclaimed.begin(); first != tail.unclaimed.end();) {
    const std::uint32_t from = first->found.slot;
    const auto end = std::find_if(first, tail.unclaimed.end(),
                                  [&](const auto& one) { return one.found.slot != from; });
    const SlotPin to = TRY(take_slot(Room::more));
    TRY(copy_slot(from, to, (end - 1)->found.end()));
    MutexLock lock(mu_);
    const std::uint64_t there = slots_.offset_of(to->index);
    for (; first != end; ++first) {
      const FoundRecord& found = first->found;
      first->moved = {to, there + found.offset + record_header_size() + found.sealed_length};
      to->last = found.seq;
    }
  }
  return {};
}

// What the free slot held may be an older copy of the same records, and more of them, whose header was lost. None may follow.
Result<> JournalFile::copy_slot(std::uint32_t from, const SlotPin& to, std::uint32_t bytes) {
  const auto write = [&](std::uint32_t at, ByteView part) -> Result<> {
    auto written = file_->write_at(kSlotsOffset + std::uint64_t{to->index} * superblock_.slot_bytes + at, part);
    if (written) return {};
    const Code code = written.error().code();
    return fail(code == Code::kNoSpace ? Code::kTransient : code, "journal: {}", written.error().message());
  };
  if (bytes < superblock_.slot_bytes) TRY(write(bytes, Bytes(kSectorBytes)));
  Bytes buffer;
  for (std::uint32_t done = 0; done < bytes; done += static_cast<std::uint32_t>(buffer.size())) {
    buffer.resize(std::min<std::uint32_t>(bytes - done, 1 << 20));
    TRY(file_->read_at(kSlotsOffset + std::uint64_t{from} * superblock_.slot_bytes + done, buffer));
    TRY(write(done, buffer));
  }
  return {};
}

}  // namespace s3crate::journal
