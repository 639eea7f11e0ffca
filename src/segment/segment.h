// SPDX-License-Identifier: GPL-3.0-or-later
// Segment objects: header | extents | sealed index | footer. s3crate-blk-format(5), "Segments".
// Pure functions, bytes to structs and back.
#pragma once

#include <vector>

#include "segment/extension.h"
#include "segment/extent.h"

namespace s3crate::segment {

struct SegmentHeader {
  Vid vid{};
  ObjectId id;
  std::uint32_t ring = 0;
  Generation keys_generation;
  std::uint32_t writer = 0;  // index in the writers of that keys commit
  std::uint32_t flags = 0;
  friend bool operator==(const SegmentHeader&, const SegmentHeader&) = default;
};

struct SeqRange {  // inclusive
  Seq first;
  Seq last;
  friend bool operator==(const SeqRange&, const SeqRange&) = default;
};

struct IndexedExtent {
  std::uint32_t number = 0;
  std::uint32_t offset = 0;  // in the object
  std::uint32_t length = 0;
  Digest digest{};
  friend bool operator==(const IndexedExtent&, const IndexedExtent&) = default;
};

struct IndexedRun {
  BlockIndex block;
  std::uint32_t count = 0;
  std::uint32_t extent = 0;  // its number
  std::uint16_t first = 0;
  Seq written;
  friend bool operator==(const IndexedRun&, const IndexedRun&) = default;
};

struct IndexedHole {
  BlockIndex block;
  std::uint64_t count = 0;
  Seq written;
  friend bool operator==(const IndexedHole&, const IndexedHole&) = default;
};

// In write order, so that the map can be rebuilt from segments alone: `written` never descends in runs and holes; within one
// batch holes come before runs, and later entries over earlier ones. Extents ascend by number and by offset.
struct SegmentIndex {
  std::uint32_t epoch = 0;
  std::uint32_t continues_epoch = 0;  // the batch before seq_first: which epoch acknowledged it, and its number
  Seq continues_seq;
  Seq seq_first;
  Seq seq_last;
  Seq needs_seq;  // the last batch that justified leaving an extent out; at least seq_last
  std::uint64_t disk_bytes = 0;
  std::vector<SeqRange> abandoned;
  SealedSecret sealed_secret{};
  std::vector<IndexedExtent> extents;
  std::vector<IndexedRun> runs;
  std::vector<IndexedHole> holes;
  std::vector<Extension> extensions;
  friend bool operator==(const SegmentIndex&, const SegmentIndex&) = default;
};

inline constexpr std::uint32_t kExtentsPerSegmentMax = 1 << 20;
inline constexpr std::uint32_t kRunsPerSegmentMax = 1 << 21;  // and as many holes
inline constexpr std::uint32_t kSeqRangesMax = 1 << 16;
inline constexpr std::uint32_t kIndexBytesMax = 96 << 20;

[[nodiscard]] Bytes encode_segment_header(const SegmentHeader& header);
[[nodiscard]] Result<SegmentHeader> decode_segment_header(ByteView bytes);
[[nodiscard]] std::size_t segment_header_size();
[[nodiscard]] std::size_t segment_footer_size();

// Ranges of batches, ascending and apart, as they stand in indexes and commits.
void put_seq_ranges(ByteWriter& writer, const std::vector<SeqRange>& ranges);
[[nodiscard]] std::vector<SeqRange> get_seq_ranges(ByteReader& reader);

[[nodiscard]] Bytes encode_segment_index(const SegmentIndex& index);                        // plain
[[nodiscard]] Result<SegmentIndex> decode_segment_index(ByteView plain, std::uint32_t block_size);

struct FinishedSegment {
  Bytes tail;  // sealed index and footer: what follows the extents
  std::uint64_t index_offset = 0;
  std::uint32_t index_length = 0;
  Hash index_hash{};      // BLAKE2b-256 of the sealed index: what commits name the segment by
};
// `extents_end` is the object offset where the last extent ends.
[[nodiscard]] FinishedSegment finish_segment(const SegmentHeader& header, std::uint64_t extents_end,
                                             const SegmentIndex& index, const crypto::SealingKey& index_key,
                                             const crypto::Signer& signer, Random& random);

// The index of a whole object, or of its header and its bytes from index_offset on. Checks the signature before it
// opens, then all offsets against `object_length`. `writer_key` is that of the header's writer.
struct SegmentTail {
  std::uint64_t index_offset = 0;
  std::uint32_t index_length = 0;
};
[[nodiscard]] Result<SegmentTail> decode_segment_footer(ByteView footer, std::uint64_t object_length);
[[nodiscard]] Result<SegmentIndex> open_segment_index(const SegmentHeader& header, ByteView sealed_index, ByteView footer,
                                                      std::uint64_t object_length, const crypto::VerifyKey& writer_key,
                                                      const crypto::OpeningKey& index_key, std::uint32_t block_size);

}  // namespace s3crate::segment
