// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/assemble.h"

#include <algorithm>
#include <set>

#include "base/crc32c.h"

namespace s3crate::device {

using segment::ObjectId;
using volume::Run;

namespace {

// Lays the extents of one segment out, in the order of their numbers, from there on.
PlacedSegment lay_out(const PendingSegmentPtr& segment, const std::set<std::uint32_t>& used, std::uint64_t at) {
  PlacedSegment placed;
  placed.segment = segment;
  for (std::uint32_t number : used) {
    const PendingExtent& extent = segment->extents.at(number);
    auto offset = static_cast<std::uint32_t>(at);
    placed.extents.push_back({extent, offset});
    placed.index.extents.push_back({number, offset, extent.length, extent.digest});
    placed.blocks += extent.blocks;
    at += extent.length;
  }
  placed.extents_end = at;
  return placed;
}

void describe(PlacedSegment& placed, const PendingGeneration& generation, const PlaceContext& context) {
  segment::SegmentIndex& index = placed.index;
  index.epoch = context.epoch;
  index.continues_epoch = context.continues_epoch;
  index.continues_seq = Seq(generation.first.value - 1);
  index.seq_first = generation.first;
  index.seq_last = generation.last;
  index.needs_seq = generation.last;
  index.disk_bytes = generation.disk_bytes;
  index.sealed_secret = placed.segment->sealed_secret;
}

bool may_be_inline(const PendingSegment& segment, const std::set<std::uint32_t>& used, std::uint64_t bytes_max) {
  std::uint64_t bytes = 0;
  for (std::uint32_t number : used) {
    const PendingExtent& extent = segment.extents.at(number);
    bytes += extent.length;
    if (extent.memory == nullptr || bytes > bytes_max) return false;
  }
  return true;
}

// What somebody made up would be found by those who read it, as if the store had: here it is the disk that may have spoiled it.
bool is_intact(ByteView bytes, const PendingExtent& extent) {
  return extent.crc ? crc32c(bytes) == *extent.crc : crypto::digest(bytes) == extent.digest;
}

// Each extent to its place in `object`. What is not as it was sealed goes in as it reads, zeros if it cannot be read, and is told.
Result<> copy_extents(const PlacedSegment& placed, MutableByteView object, std::vector<Error>* damaged) {
  for (const PlacedExtent& extent : placed.extents) {
    const PendingExtent& from = extent.extent;
    const MutableByteView to = object.subspan(extent.offset, from.length);
    Result<> got;
    if (from.record) got = from.record->read_extent(from.offset, to);
    else std::memcpy(to.data(), from.memory->data() + from.offset, from.length);
    if (!got) std::memset(to.data(), 0, to.size());
    if (got && !is_intact(to, from))
      got = fail(Code::kCorrupt, "the journal gave back other bytes than it was given (batch {})", from.seq);
    if (got) continue;
    if (damaged == nullptr) return fail(got.error());
    damaged->push_back(got.error());
  }
  return {};
}

}  // namespace

Result<PlacedGeneration> place(const PendingGeneration& generation, const PlaceContext& context,
                               const std::function<Result<PendingSegmentPtr>()>& make_empty) {
  CHECK(generation.patches.empty());
  PlacedGeneration out;
  out.runs = generation.runs.runs();
  std::map<ObjectId, std::set<std::uint32_t>> used;
  for (const Run& run : out.runs)
    if (!run.hole) used[run.extent.object.id].insert(run.extent.number);

  std::map<ObjectId, std::size_t> position;
  for (const PendingSegmentPtr& segment : generation.segments) {
    auto it = used.find(segment->id);
    out.left_out += segment->extents.size() - (it == used.end() ? 0 : it->second.size());
    if (it == used.end()) continue;
    out.is_inline = used.size() == 1 && may_be_inline(*segment, it->second, context.inline_max);
    position[segment->id] = out.segments.size();
    out.segments.push_back(lay_out(segment, it->second, out.is_inline ? 0 : segment::segment_header_size()));
  }
  // Holes need a place in some index: where there is no segment, one of an index only.
  if (out.segments.empty()) out.segments.push_back(lay_out(TRY(make_empty()), {}, segment::segment_header_size()));
  segment::Part part{.number = 0, .parts = static_cast<std::uint32_t>(out.segments.size()), .ordinal = context.ordinal};
  for (PlacedSegment& placed : out.segments) {
    describe(placed, generation, context);
    part.number++;
    segment::put_part(placed.index, part);
    if (context.ordinal == 1 && context.continues) segment::put_continued(placed.index, *context.continues);
  }

  for (Run& run : out.runs) {
    if (run.hole) {
      out.segments[0].index.holes.push_back({run.block, run.count, generation.last});
      continue;
    }
    PlacedSegment& placed = out.segments[position.at(run.extent.object.id)];
    auto extent = std::ranges::lower_bound(placed.extents, run.extent.number, {},
                                           [](const PlacedExtent& e) { return e.extent.number; });
    CHECK(extent != placed.extents.end() && extent->extent.number == run.extent.number);
    run.extent.offset = extent->offset;
    placed.index.runs.push_back({run.block, static_cast<std::uint32_t>(run.count), run.extent.number, run.first,
                                 extent->extent.seq});
  }
  for (PlacedSegment& placed : out.segments)
    std::ranges::sort(placed.index.runs, {}, [](const segment::IndexedRun& r) { return std::pair(r.written, r.block); });
  return out;
}

Result<AssembledSegment> assemble(const PlacedSegment& placed, const segment::SegmentHeader& header,
                                  const volume::KeyRing& keys, Random& random, BufferPool& memory,
                                  std::vector<Error>* damaged) {
  segment::FinishedSegment finished = segment::finish_segment(header, placed.extents_end, placed.index, keys.index_sealing_key(),
                                                              *keys.signer(), random);
  AssembledSegment out{memory.lend(placed.extents_end + finished.tail.size()), std::move(finished)};
  // All of the memory is written: it holds whatever it held.
  const MutableByteView object = out.object.view();
  const Bytes head = segment::encode_segment_header(header);
  std::memcpy(object.data(), head.data(), head.size());
  TRY(copy_extents(placed, object, damaged));
  std::memcpy(object.data() + placed.extents_end, out.finished.tail.data(), out.finished.tail.size());
  return out;
}

Bytes assemble_inline(const PlacedSegment& placed, std::vector<Error>& damaged) {
  Bytes extents(placed.extents_end);
  CHECK(copy_extents(placed, extents, &damaged));
  return extents;
}

}  // namespace s3crate::device
