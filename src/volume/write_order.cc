// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/write_order.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>

namespace s3crate::volume {

using segment::IndexedExtent;
using segment::SegmentIndex;

namespace {

constexpr Seq kNoLimit{std::numeric_limits<std::uint64_t>::max()};

// One generation: what is there of it.
struct Group {
  std::vector<const IndexedPlace*> places;
  [[nodiscard]] const IndexedPlace& any() const { return *places.front(); }
};
using GroupKey = std::tuple<std::uint32_t, Seq, Seq, std::uint64_t>;  // epoch, first, last, ordinal

GroupKey key_of(const IndexedPlace& place) {
  return {place.epoch, place.first, place.last, place.part ? place.part->ordinal : 0};
}

// The batch that the first generation of an epoch follows.
Seq continued(const IndexedPlace& place) {
  Seq seq = place.continues;
  for (auto range = place.abandoned.rbegin(); range != place.abandoned.rend(); ++range)
    if (range->last == seq) seq = Seq(range->first.value - 1);
  return seq;
}
using Groups = std::map<GroupKey, Group>;

// Where each epoch ends: at what the next one that counts continues. Epochs in between counted for nothing, as nobody went on from them.
// (One that wrote nothing is continued like any other, so the next one below it is what is continued.)
Groups without_orphans(Groups groups, std::size_t& dropped) {
  std::map<std::uint32_t, Seq> limits;
  std::uint32_t highest = std::numeric_limits<std::uint32_t>::max();
  Seq limit = kNoLimit;
  for (auto at = groups.rbegin(); at != groups.rend();) {
    const std::uint32_t epoch = at->second.any().epoch;
    const bool counts = epoch <= highest;
    // Of one whose beginning is lost nobody knows what it continued: nothing above what it was continued at, anyhow.
    if (counts) limits[epoch] = limit, highest = epoch - 1;
    for (; at != groups.rend() && at->second.any().epoch == epoch; ++at) {
      const IndexedPlace& any = at->second.any();
      if (!counts || any.continues_epoch >= epoch) continue;
      highest = any.continues_epoch;
      limit = std::min(limit, continued(any));  // one that is not part of the disk may begin above that
    }
  }
  std::erase_if(groups, [&](const auto& entry) {
    const auto& [epoch, first, last, ordinal] = entry.first;
    const auto end = limits.find(epoch);
    if (end != limits.end() && last <= end->second) return false;
    dropped += entry.second.places.size();
    return true;
  });
  return groups;
}

// Why a generation is not there as a whole, if it is not.
std::string incomplete(const Group& group) {
  std::uint32_t parts = 0;
  std::set<std::uint32_t> numbers;
  for (const IndexedPlace* place : group.places) {
    if (!place->part) return "its segments do not say how many they are";
    const IndexedPlace& any = group.any();
    if (place->continues != any.continues || place->continues_epoch != any.continues_epoch || place->needs != any.needs ||
        place->disk_bytes != any.disk_bytes)
      return "its segments contradict each other";
    if (place->part->parts != 0 && parts != 0 && place->part->parts != parts) return "its segments contradict each other";
    parts = std::max(parts, place->part->parts);
    numbers.insert(place->part->number);
  }
  if (parts == 0) return "its last segment is missing";
  if (numbers.size() != parts || numbers.size() != group.places.size() || *numbers.rbegin() != parts)
    return fmt::format("{} of its {} segments are missing", parts - std::min<std::size_t>(parts, numbers.size()), parts);
  return {};
}

class Line {
 public:
  void add(const Group& group, WriteOrder& out) {
    const IndexedPlace& any = group.any();
    OrderedGeneration next{.segments = {}, .epoch = any.epoch, .first = any.first, .last = any.last, .disk_bytes = any.disk_bytes, .gap = {}};
    for (const IndexedPlace* place : group.places) next.segments.push_back(place->which);
    next.gap = incomplete(group);
    next.whole = next.gap.empty();
    if (next.gap.empty() && !follows(group)) next.gap = fmt::format("something is missing between batches {} and {}", at_.seq, any.first);
    at_ = {any.epoch, any.last};
    ordinal_ = any.part ? any.part->ordinal : 0;
    disk_bytes_ = any.disk_bytes;
    needs_ = std::max(needs_, BatchNumber{any.epoch, any.needs});
    whole_ = whole_ && next.gap.empty();
    out.line.push_back(std::move(next));
    if (!whole_ || needs_ > at_) return;
    out.prefix = out.line.size();
    out.last = at_;
  }

 private:
  bool follows(const Group& group) const {
    const IndexedPlace& any = group.any();
    if (any.epoch == at_.epoch) return any.part->ordinal == ordinal_ + 1;
    if (any.part->ordinal != 1 || any.continues_epoch < at_.epoch || continued(any) != at_.seq) return false;
    // What took some of the disk away without a batch is missed by the size alone.
    return any.disk_bytes >= disk_bytes_ ||
           std::ranges::any_of(group.places, [&](const IndexedPlace* place) { return place->tail_bytes >= disk_bytes_; });
  }

  BatchNumber at_, needs_;
  std::uint64_t ordinal_ = 0, disk_bytes_ = 0;
  bool whole_ = true;
};

Result<Run> run_of(const segment::IndexedRun& run, const segment::ObjectKey& object, const SegmentIndex& index) {
  const auto extent = std::ranges::lower_bound(index.extents, run.extent, {}, &IndexedExtent::number);
  if (extent == index.extents.end() || extent->number != run.extent)
    return fail(Code::kCorrupt, "an index names extent {} and does not have it", run.extent);
  Run out{.block = run.block, .count = run.count, .hole = false, .first = run.first, .extent = {}};
  out.extent = {object, extent->number, extent->offset, extent->length, extent->digest};
  return out;
}

}  // namespace

IndexedPlace place_of(std::size_t which, const SegmentIndex& index, std::uint32_t block_size) {
  IndexedPlace out{.which = which, .epoch = index.epoch, .continues_epoch = index.continues_epoch, .continues = index.continues_seq,
                   .first = index.seq_first, .last = index.seq_last, .needs = index.needs_seq, .disk_bytes = index.disk_bytes,
                   .tail_bytes = 0, .abandoned = index.abandoned, .part = segment::part_of(index)};
  for (const segment::IndexedHole& hole : index.holes)
    if (hole.block.value == index.disk_bytes / block_size) out.tail_bytes = std::max(out.tail_bytes, (hole.block + hole.count).value * block_size);
  return out;
}

WriteOrder order(std::span<const IndexedPlace> places) {
  Groups groups;
  for (const IndexedPlace& place : places) groups[key_of(place)].places.push_back(&place);
  WriteOrder out;
  groups = without_orphans(std::move(groups), out.dropped);
  Line line;
  for (const auto& [key, group] : groups) line.add(group, out);
  return out;
}

Result<> OrderedMap::lay(std::span<const Segment> segments, std::uint64_t disk_bytes, std::uint32_t block_size) {
  struct Change {
    Seq written;
    Run run;
  };
  std::vector<Change> changes;  // of each batch, holes first
  for (const auto& [key, index] : segments)
    for (const segment::IndexedHole& hole : index->holes)
      changes.push_back({hole.written, {.block = hole.block, .count = hole.count, .hole = true, .first = 0, .extent = {}}});
  for (const auto& [key, index] : segments)
    for (const segment::IndexedRun& run : index->runs) changes.push_back({run.written, TRY(run_of(run, key, *index))});
  std::ranges::stable_sort(changes, {}, &Change::written);
  for (const Change& change : changes) {
    since_gap_.put(change.run);
    if (change.run.hole) map_.erase(change.run.block, change.run.end());
    else map_.put(change.run);
  }
  disk_bytes_ = disk_bytes;
  const BlockIndex end(disk_bytes / block_size);
  map_.erase(end, BlockIndex(std::numeric_limits<std::uint64_t>::max()));
  return {};
}

void OrderedMap::unvouched(std::uint32_t block_size, const std::function<void(BlockIndex, BlockIndex)>& each) const {
  if (gaps_) since_gap_.tile(BlockIndex(0), BlockIndex(disk_bytes_ / block_size), [](const Run&) {}, each);
}

}  // namespace s3crate::volume
