// SPDX-License-Identifier: GPL-3.0-or-later
#include "journal/slots.h"

#include <algorithm>

namespace s3crate::journal {

SlotTable::SlotTable(std::uint32_t slot_bytes, std::uint32_t capacity, std::uint32_t grown)
    : slot_bytes_(slot_bytes), capacity_(capacity) {
  while (this->grown() < grown) {
    grow();
    slots_.back()->written = slot_bytes;  // most of them were full once
  }
}

bool SlotTable::is_free(const Slot& slot, Seq released) {
  return slot.last <= released && slot.pins.load(std::memory_order_acquire) == 0;
}

std::uint32_t SlotTable::free_count(Seq released) const {
  const std::uint32_t mine = std::min(grown(), capacity_);
  const auto free = std::count_if(slots_.begin(), slots_.begin() + mine,
                                  [&](const auto& slot) { return is_free(*slot, released); });
  return static_cast<std::uint32_t>(free) + capacity_ - mine;
}

SlotPin SlotTable::take(Seq released, std::uint64_t sequence, std::uint32_t count) {
  count = std::min(count, grown());
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::shared_ptr<Slot>& slot = slots_[(next_ + i) % count];
    if (!is_free(*slot, released)) continue;
    next_ = slot->index + 1;
    slot->sequence = sequence;
    slot->first = slot->last = Seq();
    return SlotPin(slot);
  }
  return SlotPin();
}

}  // namespace s3crate::journal
