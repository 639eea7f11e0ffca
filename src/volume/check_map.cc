// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/check_map.h"

#include <algorithm>
#include <tuple>

#include "segment/object_names.h"
#include "store/origin_stores.h"
#include "volume/map_leaf.h"
#include "volume/origins.h"

namespace s3crate::volume {

using segment::ExtentRef;
using segment::IndexedExtent;
using segment::ObjectKind;

namespace {

std::string page_object(const Place& place) { return stored_name(place.page); }

}  // namespace

MapCheck::MapCheck(Volume& volume, const View& view, const CheckOptions& options,
                   Findings& findings, KnownObjects& known, ObjectCheck& objects)
    : volume_(volume),
      view_(view),
      options_(options),
      findings_(findings),
      known_(known),
      objects_(objects),
      end_(view.disk_bytes / volume.object().block_size()) {}

// The changes since the checkpoint hide what the tree says below them.
Result<> MapCheck::run() {
  for (const Run& run : view_.changes.runs())
    if (!run.hole) TRY(add(run));
  TRY(walk_tree(
      volume_.pages(), view_.map, findings_.report().pages,
      [this](const Page& page, const Place& place) { return leaf(page, place); },
      [this](const Place& place, ByteView lower, const Error& error) {
        return bad_page(place, lower, error);
      }));
  return flush();
}

// What a delta page says hides what its base says of the same blocks.
Result<> MapCheck::leaf(const Page& page, const Place& place) {
  RunMap amended;
  TRY(runs_of(page, place, amended));
  if (page.base) {
    for (const PageEntry& entry : page.entries)
      if (const auto run = decode_run(entry)) amended.put(*run);
    const auto base = load_base(volume_.pages(), place, page);
    if (!base && is_passing(base.error().code())) return fail(base.error());
    Place at = place;
    at.page = *page.base;
    if (base) {
      findings_.report().pages++;
      TRY(runs_of(**base, at, amended));
    } else {
      lose_uncovered(findings_.add(page_object(at), {}, base.error().message()), amended,
                     block_of(page.first_key), block_or_end(place.upper));
    }
  }
  return findings_.tick("map", block_of(page.entries.back().key).value, end_.value);
}

Result<> MapCheck::runs_of(const Page& page, const Place& place, const RunMap& amended) {
  for (std::size_t i = 0; i < page.entries.size(); ++i) {
    auto run = run_at(page.entries, i, place.upper, page.kind);
    if (!run || reaches_beyond(*run, amended)) {
      const BlockIndex from = block_of(page.entries[i].key);
      const bool last = i + 1 == page.entries.size();
      lose_uncovered(findings_.add(page_object(place), {},
                                   fmt::format("{}: a run at block {} of the map that may not be there",
                                               page_object(place), from)),
                     amended, from,
                     last ? block_or_end(place.upper) : block_of(page.entries[i + 1].key));
      continue;
    }
    Result<> added;
    if (!run->hole)
      uncovered(amended, run->block, std::min(run->end(), end_), [&](BlockIndex a, BlockIndex b) {
        if (added) added = add(clip(*run, a, b));
      });
    TRY(added);
  }
  return {};
}

// Of a disk that was made smaller, a change hides what is beyond the end.
bool MapCheck::reaches_beyond(const Run& run, const RunMap& amended) const {
  bool beyond = false;
  if (!run.hole) uncovered(amended, std::max(run.block, end_), run.end(), [&](BlockIndex, BlockIndex) { beyond = true; });
  return beyond;
}

void MapCheck::uncovered(const RunMap& amended, BlockIndex from, BlockIndex to,
                         const std::function<void(BlockIndex, BlockIndex)>& each) const {
  const auto nothing = [](const Run&) {};
  view_.changes.tile(from, to, nothing, [&](BlockIndex a, BlockIndex b) {
    amended.tile(a, b, nothing, each);
  });
}

void MapCheck::lose_uncovered(Findings::DamageId damage, const RunMap& amended, BlockIndex from,
                              BlockIndex to) {
  uncovered(amended, from, std::min(to, end_),
            [&](BlockIndex a, BlockIndex b) { findings_.add_blocks(damage, a, b); });
}

Result<> MapCheck::bad_page(const Place& place, ByteView lower, const Error& error) {
  lose_uncovered(findings_.add(page_object(place), {}, error.message()), {}, block_of(lower),
                 block_or_end(place.upper));
  return {};
}

Result<> MapCheck::add(const Run& run) {
  batch_.push_back(run);
  return batch_.size() < options_.batch_runs ? Result<>() : flush();
}

Result<> MapCheck::flush() {
  std::ranges::sort(batch_, {}, [](const Run& r) {
    return std::tuple(r.extent.object, r.extent.offset, r.extent.number, r.block);
  });
  for (std::size_t begin = 0; begin < batch_.size();) {
    std::size_t end = begin + 1;
    while (end < batch_.size() && batch_[end].extent.object == batch_[begin].extent.object) ++end;
    TRY(group(Group(batch_).subspan(begin, end - begin)));
    TRY(findings_.tick());
    begin = end;
  }
  findings_.report().runs += batch_.size();
  batch_.clear();
  return {};
}

Result<> MapCheck::group(Group runs) {
  auto info = known_.find(runs[0].extent.object);
  if (!info && is_passing(info.error().code())) return fail(info.error());
  if (!info) return unknown_object(runs, info.error().message());
  if (!*info) return unknown_object(runs, "the map names it, the chain does not");
  if ((*info)->kind == ObjectKind::map) return unknown_object(runs, "the map names it, and it is an object of the map");
  if ((*info)->kind == ObjectKind::inline_extents) return of_commit(runs, **info);
  if (runs[0].extent.object.origin != 0) return of_origin(runs, **info);
  const auto index = objects_.open_index(**info);
  if (index) return against_index(runs, **info, *index);
  if (is_passing(index.error().code())) return fail(index.error());
  const auto id = damage(**info, index.error().message());
  if (!is(index, Code::kNotFound)) return by_reading(runs, **info);
  lose(id, runs);
  return {};
}

// There is no index, but the commit's signature covers them; whoever walks the commits has looked at that.
Result<> MapCheck::of_commit(Group runs, const ObjectInfo& info) {
  if (options_.read_data) return by_reading(runs, info);
  const auto there = volume_.store().head(stored_name(info));
  if (!there && is_passing(there.error().code())) return fail(there.error());
  if (!there) lose(damage(info, there.error().message()), runs);
  return {};
}

// What the map says of it was signed with the checkpoint; whether the store still holds that is what is looked at.
Result<> MapCheck::of_origin(Group runs, const ObjectInfo& info) {
  const auto sound = objects_.origin_segment(info);
  if (!sound && is_passing(sound.error().code())) return sound;
  if (!sound) {
    const auto id = damage(info, sound.error().message());
    if (!is(sound, Code::kNotFound)) return by_reading(runs, info);
    lose(id, runs);
    return {};
  }
  if (!options_.read_data) return {};
  std::vector<Run> drawn;
  for (const Run& run : runs)
    if (objects_.in_sample(info.key.id, run.extent.number)) drawn.push_back(run);
  return by_reading(drawn, info);
}

Result<> MapCheck::unknown_object(Group runs, std::string_view why) {
  const ObjectKey& key = runs[0].extent.object;
  auto id = known_.hidden_by(key);
  if (!id) {
    const std::string name = store::origin_name(key.origin, fmt::format("{}{:016x}", segment::kSegmentsPrefix, key.id.value));
    id = findings_.add(name, {}, fmt::format("{}: {}", name, why));
  }
  lose(*id, runs);
  return {};
}

Result<> MapCheck::against_index(Group runs, const ObjectInfo& info,
                                 const segment::SegmentIndex& index) {
  std::vector<Run> doubtful;
  for (const Run& run : runs) {
    const ExtentRef& ref = run.extent;
    const auto entry =
        std::ranges::lower_bound(index.extents, ref.number, {}, &IndexedExtent::number);
    const IndexedExtent named{ref.number, ref.offset, ref.length, ref.digest};
    if (entry == index.extents.end() || *entry != named) {
      damage(info, fmt::format("the map and its index disagree about extent {}, block {}",
                               ref.number, run.block));
      doubtful.push_back(run);
    } else if (const auto bad = findings_.bad_extent(info.key, ref.number)) {
      lose(damage(info, *bad == Findings::Bad::lost ? "blocks of which a part was written are lost, because the rest was damaged"
                                                    : "an extent is damaged"),
           {&run, 1});
    } else if (findings_.forgets_extents()) {
      doubtful.push_back(run);
    }
  }
  return doubtful.empty() ? Result<>() : by_reading(doubtful, info);
}

Result<> MapCheck::by_reading(Group runs, const ObjectInfo& info) {
  std::vector<ExtentRef> refs;
  for (const Run& run : runs)
    if (refs.empty() || refs.back() != run.extent) refs.push_back(run.extent);
  return objects_.read_extents(info, refs, [&](const ExtentRef& ref, const Error* error) {
    std::size_t n = 0;
    while (n < runs.size() && runs[n].extent == ref) n++;
    if (error != nullptr) lose(damage(info, error->message()), runs.first(n));
    runs = runs.subspan(n);
  });
}

void MapCheck::lose(Findings::DamageId damage, Group runs) {
  for (const Run& run : runs) findings_.add_blocks(damage, run.block, run.end());
}

Findings::DamageId MapCheck::damage(const ObjectInfo& info, std::string_view what) {
  const std::string name = stored_name(info);
  return findings_.add(
      name, info.born,
      what.starts_with(name) ? std::string(what) : fmt::format("{}: {}", name, what));
}

}  // namespace s3crate::volume
