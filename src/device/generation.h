// SPDX-License-Identifier: GPL-3.0-or-later
// A generation on its way into the store: what its batches changed, and the segments that hold it. The newest one is open and
// takes batches; a cut freezes it. Guarded by the Head's lock, but for what is said otherwise.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "device/overlay.h"
#include "journal/journal.h"
#include "segment/part.h"

namespace s3crate::device {

// The stored form of an extent that no committed segment holds yet: in a record of the journal, or in memory.
struct PendingExtent {
  journal::RecordPtr record;
  std::shared_ptr<const Bytes> memory;  // if there is no record
  std::uint32_t offset = 0;             // in the record's extents, or in the memory
  std::uint32_t length = 0;
  std::uint32_t number = 0;
  std::uint16_t blocks = 0;
  segment::Digest digest{};
  Seq seq;
  std::optional<std::uint32_t> crc;     // CRC-32C of its bytes; none of what replay found
};

// A segment not yet in the store. Its extents are sealed under a secret that stays with them, under whatever name it is put.
struct PendingSegment {
  segment::ObjectId id;
  std::uint32_t ring = 0;
  segment::SealedSecret sealed_secret{};
  std::shared_ptr<const crypto::OpeningKey> key;
  std::map<std::uint32_t, PendingExtent> extents;  // by number
};
using PendingSegmentPtr = std::shared_ptr<PendingSegment>;

struct PendingGeneration {
  std::uint64_t ordinal = 0;   // of this mount: 1, 2, 3 ...
  volume::RunMap runs;         // extents without their offsets, which are known when the segment is assembled
  std::map<BlockIndex, BlockData> patches;  // partial blocks, over the runs and over older generations
  std::vector<PendingSegmentPtr> segments;
  Seq first, last;
  std::uint64_t disk_bytes = 0;
  bool resizes = false;        // the disk has another size from here on
  std::uint64_t bytes = 0;     // stored bytes of its extents and patches
  std::uint64_t memory = 0;    // of those, what is held in memory: extents without a record, and patches
  MonotonicTime oldest{};      // its first change
  s3crate::Generation number;  // once it is committed
  std::optional<segment::LinePlace> place;  // once its segments are placed

  [[nodiscard]] bool empty() const { return runs.empty() && patches.empty(); }
};
using GenerationPtr = std::shared_ptr<PendingGeneration>;

}  // namespace s3crate::device
