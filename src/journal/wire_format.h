// SPDX-License-Identifier: GPL-3.0-or-later
// Constants and fixed parts of what stands in a journal file: s3crate-blk-format(5). Only the
// codecs of this layer include it.
#pragma once

#include "base/wire.h"
#include "journal/format.h"

namespace s3crate::journal::wire {

using Magic = std::array<char, 8>;

inline constexpr Magic kSuperblockMagic = {'S', '3', 'C', 'B', '-', 'J', 'S', 'B'};
inline constexpr Magic kSlotMagic = {'S', '3', 'C', 'B', '-', 'J', 'S', 'L'};
inline constexpr Magic kRecordMagic = {'S', '3', 'C', 'B', '-', 'J', 'R', 'C'};
inline constexpr std::uint16_t kVersion = 1;

// Of what is counted up from what is found. So high nobody counts: what says more was not written by us, and could not be counted up.
inline constexpr std::uint64_t kCountedMax = (std::uint64_t{1} << 62) - 1;

inline constexpr std::uint32_t kSlotBytesMin = 16 << 10;
inline constexpr std::uint32_t kSlotBytesMax = 64 << 20;

// Superblocks and slot headers are sectors.
using segment::kSectorContent;

struct SuperblockHead {
  Magic magic = kSuperblockMagic;
  Le16 format{kVersion};
  Le16 reserved;
  Le32 slot_bytes;
  Le64 version;
  Vid vid{};
  Hash home{};
  Uuid journal{};
  Le64 file_bytes;
  Le32 intended_epoch;
  Le32 incarnations;
  Uuid intended_instance{};
  Le64 base;
  Hash base_hash{};
  Le64 device;
  Le64 inode;
  Uuid boot{};
};
static_assert(WireStruct<SuperblockHead> && sizeof(SuperblockHead) == 208);

struct IncarnationEntry {
  Le32 number;
  Le32 ring;
  SealedSecret sealed_key{};
  Le64 first_seq;
  Le64 last_seq;
};
static_assert(WireStruct<IncarnationEntry> && sizeof(IncarnationEntry) == 104);
static_assert(sizeof(SuperblockHead) + kIncarnationsMax * sizeof(IncarnationEntry) <
              kSectorContent);

struct Slot {
  Magic magic = kSlotMagic;
  Le16 version{kVersion};
  Le16 reserved;
  Le32 incarnation;
  Uuid journal{};
  Le64 sequence;
  Le64 first_seq;
};
static_assert(WireStruct<Slot> && sizeof(Slot) == 48);

struct Record {
  Magic magic = kRecordMagic;
  Le16 version{kVersion};
  Le16 part;
  Le16 parts;
  Le16 reserved;
  Uuid journal{};
  Le32 incarnation;
  Le32 sealed_length;
  Le32 extents_length;
  Le32 reserved2;
  Le64 slot_sequence;
  Le64 seq;
  Le64 durable_through;
  std::array<std::uint8_t, 16> previous_tag{};
};
static_assert(WireStruct<Record> && sizeof(Record) == 88);

}  // namespace s3crate::journal::wire
