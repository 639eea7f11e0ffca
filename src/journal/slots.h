// SPDX-License-Identifier: GPL-3.0-or-later
// The places of a journal file: which are in use, and until when.
//
// A place may be taken when nothing in it is needed: all batches that count on it are released, and
// nobody pins it (the records that are not durable yet, and the readers of those that are, hold
// pins). Places are taken in turn, so that one whose fdatasync failed is the last to be tried
// again; the file grows by one place at a time. Not thread-safe but for pins: the journal's mu_
// guards it.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "journal/format.h"

namespace s3crate::journal {

struct Slot {
  explicit Slot(std::uint32_t i) : index(i) {}
  const std::uint32_t index;
  std::uint64_t sequence = 0;
  Seq first;  // of the first record in it
  Seq last;   // needed until this batch is released
  std::uint32_t written = 0;  // so many bytes, from its beginning on, the filesystem has written before; only the writer's
  std::atomic<std::uint32_t> pins{0};
};

// Keeps a place from being taken.
class SlotPin {
 public:
  SlotPin() = default;
  explicit SlotPin(std::shared_ptr<Slot> slot) : slot_(std::move(slot)) {
    if (slot_) slot_->pins.fetch_add(1, std::memory_order_relaxed);
  }
  SlotPin(const SlotPin& other) : SlotPin(other.slot_) {}
  SlotPin(SlotPin&& other) noexcept : slot_(std::move(other.slot_)) {}
  SlotPin& operator=(SlotPin other) noexcept {
    slot_.swap(other.slot_);
    return *this;
  }
  ~SlotPin() {
    if (slot_) slot_->pins.fetch_sub(1, std::memory_order_release);
  }
  Slot* operator->() const { return slot_.get(); }
  explicit operator bool() const { return slot_ != nullptr; }

 private:
  std::shared_ptr<Slot> slot_;
};

class SlotTable {
 public:
  // `capacity`: the most places that the file may grow to. `grown`: those it has, which may be
  // more.
  SlotTable(std::uint32_t slot_bytes, std::uint32_t capacity, std::uint32_t grown);

  [[nodiscard]] std::uint64_t offset_of(std::uint32_t index) const {
    return kSlotsOffset + std::uint64_t{index} * slot_bytes_;
  }
  [[nodiscard]] std::uint32_t grown() const { return static_cast<std::uint32_t>(slots_.size()); }
  // Places that can be taken now, counting those the file has yet to grow.
  [[nodiscard]] std::uint32_t free_count(Seq released) const;
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }

  // Whether it was needed until a batch in (before, through], as far as is known now: more may be written there, or the place be
  // taken, at any time.
  [[nodiscard]] bool ends_within(std::uint32_t index, Seq before, Seq through) const {
    return before < slots_[index]->last && slots_[index]->last <= through;
  }

  // The next free place of the first `count` that the file has, or nothing.
  [[nodiscard]] SlotPin take(Seq released, std::uint64_t sequence, std::uint32_t count);
  void grow() { slots_.push_back(std::make_shared<Slot>(grown())); }
  [[nodiscard]] SlotPin pin(std::uint32_t index) { return SlotPin(slots_.at(index)); }

 private:
  [[nodiscard]] static bool is_free(const Slot& slot, Seq released);

  std::uint32_t slot_bytes_;
  std::uint32_t capacity_;
  std::uint32_t next_ = 0;
  std::vector<std::shared_ptr<Slot>> slots_;
};

}  // namespace s3crate::journal
