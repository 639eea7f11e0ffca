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

void take(const Group& group, std::vector<std::size_t>& out) {
  for (const IndexedPlace* place : group.places) out.push_back(place->which);
}

// Where each epoch ends: at what the next one that counts continues. Epochs in between counted for nothing, as nobody went on from them.
// (One that wrote nothing is continued like any other, so the next one below it is what is continued.)
Groups without_orphans(Groups groups, std::vector<std::size_t>& dropped) {
  struct Limit {
    Seq last = kNoLimit;
    std::uint64_t ordinal = std::numeric_limits<std::uint64_t>::max();
  };
  std::map<std::uint32_t, Limit> limits;
  std::uint32_t highest = std::numeric_limits<std::uint32_t>::max();
  Limit limit;
  for (auto at = groups.rbegin(); at != groups.rend();) {
    const std::uint32_t epoch = at->second.any().epoch;
    const bool counts = epoch <= highest;
    // Of one whose beginning is lost nobody knows what it continued: nothing above what it was continued at, anyhow.
    if (counts) {
      limits[epoch] = epoch == highest ? limit : Limit{limit.last};
      highest = epoch - 1;
      limit.ordinal = std::numeric_limits<std::uint64_t>::max();
    }
    for (; at != groups.rend() && at->second.any().epoch == epoch; ++at) {
      const IndexedPlace& any = at->second.any();
      if (!counts) continue;
      if (any.goes_on_from && any.goes_on_from->epoch < epoch) {
        highest = any.goes_on_from->epoch;
        limit = {kNoLimit, any.goes_on_from->ordinal};
      } else if (any.continues_epoch < epoch) {
        highest = any.continues_epoch;
        limit.last = std::min(limit.last, continued(any));  // one that is not part of the disk may begin above that
      }
    }
  }
  std::erase_if(groups, [&](const auto& entry) {
    const auto& [epoch, first, last, ordinal] = entry.first;
    const auto end = limits.find(epoch);
    if (end != limits.end() && last <= end->second.last && ordinal <= end->second.ordinal) return false;
    take(entry.second, dropped);
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
    return fmt::format("{} of its {} segments are missing, or were sent by an import before it", parts - std::min<std::size_t>(parts, numbers.size()), parts);
  return {};
}

// An import says with its last segment how many there are.
bool is_unfinished(const Group& group) {
  return std::ranges::all_of(group.places, [](const IndexedPlace* place) { return place->part && place->part->parts == 0; });
}

class Line {
 public:
  Line(const LineStart& start, WriteOrder& out) : start_(start), out_(out), states_{{start.last, {}, start.vouched}} {
    out_.last = start.last;
    disk_bytes_ = start.disk_bytes;
    at_ = start.last;
    place_ = start.place;
  }

  void add(const Group& group) {
    const IndexedPlace& any = group.any();
    OrderedGeneration next{.segments = {}, .epoch = any.epoch, .first = any.first, .last = any.last, .disk_bytes = any.disk_bytes, .gap = {},
                           .whole = true, .back_to = {}};
    take(group, next.segments);
    next.gap = incomplete(group);
    next.whole = next.gap.empty();
    if (any.rolls_back) roll_back(any, next);
    else if (next.gap.empty() && !follows(group)) next.gap = fmt::format("something is missing between batches {} and {}", at_.seq, any.first);
    at_ = {any.epoch, any.last};
    place_ = any.part ? std::optional(segment::LinePlace{any.epoch, any.part->ordinal}) : std::nullopt;
    disk_bytes_ = any.disk_bytes;
    const State& before = states_[next.back_to.value_or(states_.size() - 1)];
    State state{at_, std::max(before.needs, BatchNumber{any.epoch, any.needs}), before.whole && next.gap.empty()};
    states_.push_back(state);
    places_.push_back(place_.value_or(segment::LinePlace{any.epoch, 0}));
    out_.line.push_back(std::move(next));
    out_.ends_early = state.needs > at_;
    if (!state.whole || state.needs > at_) return;
    out_.prefix = out_.line.size();
    out_.last = at_;
  }

 private:
  struct State {  // after so many generations
    BatchNumber at, needs;
    bool whole = true;
  };

  bool follows(const Group& group) const {
    const IndexedPlace& any = group.any();
    if (place_ && any.epoch == place_->epoch) return any.part->ordinal == place_->ordinal + 1;
    if (any.part->ordinal == 1 && any.goes_on_from && place_) return *any.goes_on_from == *place_;
    if (any.epoch == at_.epoch) return out_.line.empty() && any.continues == at_.seq;
    if (any.part->ordinal != 1 || any.continues_epoch < at_.epoch || continued(any) != at_.seq) return false;
    // What took some of the disk away without a batch is missed by the size alone.
    return any.disk_bytes >= disk_bytes_ ||
           std::ranges::any_of(group.places, [&](const IndexedPlace* place) { return place->tail_bytes >= disk_bytes_; });
  }

  // How many of the line there were then; nullopt: it is before all of them, or is not there.
  std::optional<std::size_t> count_up_to(const segment::LinePlace& place) const {
    if (start_.place == place) return 0;
    const auto end = std::ranges::upper_bound(places_, place);
    const auto n = static_cast<std::size_t>(end - places_.begin());
    return n > 0 && places_[n - 1] == place ? std::optional(n) : std::nullopt;
  }

  void roll_back(const IndexedPlace& any, OrderedGeneration& next) const {
    const auto& mark = any.rollback;
    if (mark && mark->place) next.back_to = count_up_to(*mark->place);
    if (next.back_to || !next.gap.empty()) return;
    next.gap = mark ? fmt::format("the disk was rolled back to generation {}, and it is not known which of the segments are that", mark->generation)
                    : std::string("the disk was rolled back, and it is not known to what");
  }

  const LineStart start_;
  WriteOrder& out_;
  std::vector<State> states_;
  std::vector<segment::LinePlace> places_;
  BatchNumber at_;
  std::optional<segment::LinePlace> place_;
  std::uint64_t disk_bytes_ = 0;
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
                   .tail_bytes = 0, .abandoned = index.abandoned, .part = segment::part_of(index),
                   .goes_on_from = segment::continued_place(index),
                   .rolls_back = segment::is_rollback(index), .rollback = segment::rollback_mark(index)};
  for (const segment::IndexedHole& hole : index.holes)
    if (hole.block.value == index.disk_bytes / block_size) out.tail_bytes = std::max(out.tail_bytes, (hole.block + hole.count).value * block_size);
  return out;
}

WriteOrder order(std::span<const IndexedPlace> places, const LineStart& start) {
  Groups groups;
  for (const IndexedPlace& place : places) groups[key_of(place)].places.push_back(&place);
  WriteOrder out;
  groups = without_orphans(std::move(groups), out.dropped);
  if (!groups.empty() && is_unfinished(groups.rbegin()->second)) {
    take(groups.rbegin()->second, out.unfinished);
    groups.erase(std::prev(groups.end()));
  }
  Line line(start, out);
  for (const auto& [key, group] : groups) line.add(group);
  return out;
}

std::vector<std::size_t> WriteOrder::path(std::size_t n) const {
  std::vector<std::size_t> out;
  while (n > 0) {
    out.push_back(n - 1);
    n = line[n - 1].back_to.value_or(n - 1);
  }
  std::ranges::reverse(out);
  return out;
}

OrderedMap::OrderedMap(RunMap changes, std::uint64_t disk_bytes)
    : map_(std::move(changes)), keeps_holes_(true), disk_bytes_(disk_bytes) {
  if (!map_.empty()) reach_ = map_.runs().back().end();
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
    if (change.run.hole && !keeps_holes_) map_.erase(change.run.block, change.run.end());
    else map_.put(change.run);
  }
  // What was beyond the end once must not come back if the disk grows again; not from the map below either.
  const BlockIndex end(disk_bytes / block_size);
  reach_ = std::max({reach_, end, BlockIndex(disk_bytes_ / block_size)});
  if (!keeps_holes_) map_.erase(end, BlockIndex(std::numeric_limits<std::uint64_t>::max()));
  else if (end < reach_) map_.put({.block = end, .count = reach_ - end, .hole = true, .first = 0, .extent = {}});
  disk_bytes_ = disk_bytes;
  return {};
}

void OrderedMap::unvouched(std::uint32_t block_size, const std::function<void(BlockIndex, BlockIndex)>& each) const {
  if (gaps_) since_gap_.tile(BlockIndex(0), BlockIndex(disk_bytes_ / block_size), [](const Run&) {}, each);
}

}  // namespace s3crate::volume
