// SPDX-License-Identifier: GPL-3.0-or-later
// What stands in a journal file. s3crate-blk-format(5), "Journal". Pure functions, bytes to structs and back.
//
// File: superblock A (4 KiB) | superblock B (4 KiB) | up to 1 MiB unused | slots of slot_bytes. A slot begins with a
// 4 KiB slot header, then records, each on a fresh 4 KiB boundary and within its slot.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "segment/extension.h"
#include "segment/sector.h"
#include "segment/types.h"

namespace s3crate::journal {

using segment::Digest;
using segment::Extension;
using segment::Hash;
using segment::kSectorBytes;
using segment::SealedSecret;
using segment::Uuid;
using segment::Vid;

inline constexpr std::uint64_t kProbeOffset = 2 * kSectorBytes;  // a sector that means nothing
inline constexpr std::uint64_t kSlotsOffset = 1 << 20;
inline constexpr std::size_t kIncarnationsMax = 16;

// One mount's stretch of the journal: batches first_seq .. last_seq under a random key of its own.
struct Incarnation {
  std::uint32_t number = 0;   // 1, 2, 3 ...
  std::uint32_t ring = 0;     // whose data key the journal key is sealed to
  SealedSecret sealed_key{};
  Seq first_seq;
  Seq last_seq;               // 0: the newest one, open-ended
  friend bool operator==(const Incarnation&, const Incarnation&) = default;
};

struct Superblock {
  std::uint64_t version = 0;  // the higher valid one of A and B counts
  Vid vid{};
  Hash home{};                // BLAKE2b-256 of the store's URL
  Uuid journal{};
  std::uint32_t slot_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::uint32_t intended_epoch = 0;
  Uuid intended_instance{};
  Generation base;            // newest generation known when this was written
  Hash base_hash{};
  std::uint64_t device = 0;   // of the file itself, so that a copied directory is noticed
  std::uint64_t inode = 0;
  Uuid boot{};
  std::vector<Incarnation> incarnations;  // oldest first; those before the last still hold what the store may lack
  std::vector<Extension> extensions;    // all together must fit into the sector
  friend bool operator==(const Superblock&, const Superblock&) = default;
};
// Instances that tried for the intended epoch before the one that stands there, oldest first: what one of them put may land later.
// Kept in an extension; so many of them.
inline constexpr std::size_t kTriedMax = 16;
[[nodiscard]] std::vector<Uuid> tried_instances(const Superblock& superblock);
void set_tried_instances(Superblock& superblock, std::span<const Uuid> tried);
// What this journal's writer has put into the chain, but for its opens: each is noted before it is sent, since a machine that goes on twice,
// memory and all, has everything else twice. Kept in an extension; none before the first.
struct NotedCommits {
  Generation stored;  // the newest that is known to be in the chain
  Hash stored_hash{};
  Generation sent;    // the one after it; it may be there or not
  Hash sent_hash{};
  Seq stored_through;  // batches up to this one are in what is stored; in an extension of its own, 0 without it
  friend bool operator==(const NotedCommits&, const NotedCommits&) = default;
};
[[nodiscard]] std::optional<NotedCommits> noted_commits(const Superblock& superblock);
void set_noted_commits(Superblock& superblock, const NotedCommits& noted);
// Of the noted ones; 0 if there are none.
[[nodiscard]] Seq stored_through(const Superblock& superblock);
// Where the volume was when this was last written, for people; empty if that is not known or too long. In an extension. Nothing goes by it: a volume's
// place is what `home` says.
inline constexpr std::size_t kNotedUrlMax = 512;
[[nodiscard]] std::string noted_url(const Superblock& superblock);
void set_noted_url(Superblock& superblock, std::string_view url);
[[nodiscard]] Bytes encode_superblock(const Superblock& superblock);  // 4096 bytes, ends in a BLAKE2b-256 of the rest
[[nodiscard]] Result<Superblock> decode_superblock(ByteView sector);

// Orders the slots in use. Authenticated by its records, each of which repeats journal, incarnation and sequence.
struct SlotHeader {
  Uuid journal{};
  std::uint32_t incarnation = 0;
  std::uint64_t sequence = 0;  // 1, 2, 3 ... over the whole life of the journal
  Seq first_seq;               // of the first record that begins in it
  friend bool operator==(const SlotHeader&, const SlotHeader&) = default;
};
[[nodiscard]] Bytes encode_slot_header(const SlotHeader& header);
[[nodiscard]] Result<SlotHeader> decode_slot_header(ByteView sector);

// The plain beginning of a record; all of it, with the vid, is the additional data of the sealed part.
struct RecordHeader {
  Uuid journal{};
  std::uint32_t incarnation = 0;
  std::uint64_t slot_sequence = 0;
  Seq seq;
  std::uint16_t part = 0;     // k of n; this version writes 0 of 1
  std::uint16_t parts = 1;
  std::array<std::uint8_t, 16> previous_tag{};  // of the record before; zero in the first of an incarnation
  Seq durable_through;        // all batches up to here were durable when this was written
  std::uint32_t sealed_length = 0;
  std::uint32_t extents_length = 0;  // raw stored extents behind the sealed part
  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};

struct NewSegment {           // one that extents of this record belong to
  std::uint32_t ordinal = 0;  // counts the segments of one incarnation: 1, 2, 3 ...
  std::uint32_t ring = 0;
  SealedSecret sealed_secret{};
  friend bool operator==(const NewSegment&, const NewSegment&) = default;
};
struct RecordExtent {
  std::uint32_t segment = 0;  // ordinal
  std::uint32_t number = 0;
  std::uint32_t offset = 0;   // in the record's extents
  std::uint32_t length = 0;
  Digest digest{};
  friend bool operator==(const RecordExtent&, const RecordExtent&) = default;
};
struct RecordRun {
  BlockIndex block;
  std::uint32_t count = 0;
  std::uint32_t extent = 0;   // index in the record's extents
  std::uint16_t first = 0;
  friend bool operator==(const RecordRun&, const RecordRun&) = default;
};
struct RecordHole {
  BlockIndex block;
  std::uint64_t count = 0;
  friend bool operator==(const RecordHole&, const RecordHole&) = default;
};
struct RecordPatch {          // part of one block, over whatever the block holds
  BlockIndex block;
  std::uint32_t offset = 0;   // in bytes, in the block
  Bytes data;
  friend bool operator==(const RecordPatch&, const RecordPatch&) = default;
};
// The sealed part: what a batch does. Holes come first, then runs, then patches; no block is in two runs. Segments ascend by
// ordinal, extents by offset.
struct RecordBody {
  std::vector<NewSegment> segments;
  std::vector<RecordExtent> extents;
  std::vector<RecordHole> holes;
  std::vector<RecordRun> runs;
  std::vector<RecordPatch> patches;
  std::uint64_t disk_bytes = 0;
  std::vector<Extension> extensions;
  friend bool operator==(const RecordBody&, const RecordBody&) = default;
};

inline constexpr std::uint32_t kRecordBodyMax = 64 << 20;
inline constexpr std::uint32_t kRecordExtentsMax = 64 << 20;  // bytes

[[nodiscard]] std::size_t record_header_size();
[[nodiscard]] Bytes encode_record_header(const RecordHeader& header);
[[nodiscard]] Result<RecordHeader> decode_record_header(ByteView bytes);
[[nodiscard]] Bytes encode_record_body(const RecordBody& body);  // plain
// Every offset is checked against extents_length, every block range against the largest disk.
[[nodiscard]] Result<RecordBody> decode_record_body(ByteView plain, std::uint32_t extents_length, std::uint32_t block_size);

}  // namespace s3crate::journal
