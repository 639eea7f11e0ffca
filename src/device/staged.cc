// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/staged.h"

#include <algorithm>
#include <set>

#include "base/parallel.h"
#include "volume/check_objects.h"
#include "volume/fingerprints.h"
#include "volume/map_walk.h"

namespace s3crate::device {

using segment::ObjectInfo;
using segment::ObjectKey;
using volume::Run;
using volume::Volume;

namespace {

constexpr std::size_t kReaders = 8;      // of indexes, side by side
constexpr std::size_t kIndexesMax = 64;  // that are held
constexpr std::uint64_t kCacheBytes = 8 << 20;

enum class Referenced { no, whatever };

// All runs of objects born since the checkpoint stand in the changes since then.
std::vector<ObjectInfo> segments_since(const volume::View& view, Referenced referenced) {
  std::set<ObjectKey> used;
  if (referenced == Referenced::no)
    for (const Run& run : view.changes.runs())
      if (!run.hole) used.insert(run.extent.object);
  std::vector<ObjectInfo> out;
  for (const ObjectInfo& info : view.new_objects) {
    const bool candidate = info.kind == segment::ObjectKind::segment && info.key.origin == 0 && info.blocks > 0 &&
                           info.born > view.checkpoint.as_of && !used.contains(info.key);
    if (candidate) out.push_back(info);
  }
  std::ranges::sort(out, {}, &ObjectInfo::key);
  // Commits repeat what those before them said.
  const auto same = [](const ObjectInfo& a, const ObjectInfo& b) { return a.key == b.key; };
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
  return out;
}

// nullopt: it cannot be had.
Result<std::optional<segment::SegmentIndex>> index_of(Volume& volume, const ObjectInfo& info) {
  std::uint64_t bytes = 0;
  auto index = volume::read_segment_index(volume, info, bytes);
  if (index) return std::optional(std::move(*index));
  if (volume::is_damage(index.error())) return std::nullopt;
  return fail(index.error());
}

// Each task with a reader of its own, as verifying an index may load keys.
Result<> read_side_by_side(Env env, Volume& volume, std::size_t count, const std::function<Result<>(Volume&, std::size_t)>& read) {
  const std::size_t tasks = std::min(kReaders, count);
  std::vector<std::unique_ptr<Volume>> readers;
  for (std::size_t i = 0; i < tasks; ++i) readers.push_back(volume.another_reader());
  std::vector<Result<>> done(tasks);
  parallel(env.executor, tasks, kReaders, [&](std::size_t task) {
    for (std::size_t i = task; i < count && done[task]; i += tasks) done[task] = read(*readers[task], i);
  });
  for (const auto& result : done) TRY(result);
  return {};
}

void put_runs(const ObjectInfo& info, const segment::SegmentIndex& index, BlockIndex from, BlockIndex to, volume::RunMap& out) {
  for (const segment::IndexedRun& indexed : index.runs) {
    const auto extent = std::ranges::lower_bound(index.extents, indexed.extent, {}, &segment::IndexedExtent::number);
    if (extent == index.extents.end() || extent->number != indexed.extent) continue;
    const Run run{.block = indexed.block, .count = indexed.count, .hole = false, .first = indexed.first,
                  .extent = {info.key, extent->number, extent->offset, extent->length, extent->digest}};
    if (run.block < to && from < run.end()) out.put(volume::clip(run, from, to));
  }
}

void put_places(const ObjectInfo& info, const segment::SegmentIndex& index, const volume::KeyRing& keys, std::uint64_t blocks, BlockIndex from,
                BlockIndex to, std::map<BlockIndex, std::vector<Staged::Window::Fingerprinted>>& out) {
  const auto fingerprints = volume::fingerprints_in(index, keys);
  if (fingerprints.empty()) return;
  std::set<std::pair<std::uint32_t, BlockIndex>> known;  // an extent may have several runs there
  for (const segment::IndexedRun& run : index.runs) {
    const auto one = std::ranges::lower_bound(fingerprints, run.extent, {}, &volume::ExtentFingerprint::extent);
    const auto extent = std::ranges::lower_bound(index.extents, run.extent, {}, &segment::IndexedExtent::number);
    if (one == fingerprints.end() || one->extent != run.extent || extent == index.extents.end() || extent->number != run.extent) continue;
    if (run.block.value < run.first || run.first + run.count > blocks) continue;
    const BlockIndex place(run.block.value - run.first);
    if (place.value % blocks != 0 || place < from || place >= to || !known.insert({run.extent, place}).second) continue;
    out[place].push_back({one->fingerprint, {.block = place, .count = blocks, .hole = false, .first = 0,
                                             .extent = {info.key, extent->number, extent->offset, extent->length, extent->digest}}});
  }
}

}  // namespace

std::optional<Run> Staged::Window::place(BlockIndex block, const crypto::Fingerprint& fingerprint) const {
  const auto at = places.find(block);
  if (at == places.end()) return std::nullopt;
  const auto one = std::ranges::find(at->second, fingerprint, &Fingerprinted::fingerprint);
  return one == at->second.end() ? std::nullopt : std::optional(one->run);
}

Result<Staged> Staged::find(Env env, Volume& volume, const volume::View& view, std::uint64_t disk_bytes, std::uint64_t window_blocks,
                            const std::function<bool()>& stopped) {
  Staged staged(env, volume.another_reader());
  staged.disk_bytes_ = disk_bytes;
  staged.window_blocks_ = window_blocks;
  const bool reads = volume.keys()->reads_data();
  const std::vector<ObjectInfo> objects = segments_since(view, reads ? Referenced::no : Referenced::whatever);
  std::vector<Segment> found(objects.size());
  TRY(read_side_by_side(env, volume, objects.size(), [&](Volume& reader, std::size_t i) -> Result<> {
    if (stopped()) return fail(Code::kCancelled, "stopped");
    const auto index = TRY(index_of(reader, objects[i]));
    if (!index || index->runs.empty() || (!reads && volume::fingerprints_in(*index, *reader.keys()).empty())) return {};
    Segment segment{objects[i], index->runs[0].block, {}};
    for (const segment::IndexedRun& run : index->runs) {
      segment.from = std::min(segment.from, run.block);
      segment.to = std::max(segment.to, run.block + run.count);
    }
    found[i] = std::move(segment);
    return {};
  }));
  std::erase_if(found, [](const Segment& segment) { return segment.from >= segment.to; });
  staged.segments_ = std::move(found);
  return staged;
}

Result<std::shared_ptr<Staged::Window>> Staged::window_of(BlockIndex block) {
  const std::uint64_t number = block.value / window_blocks_;
  if (last_ != number) {
    window_.reset();
    last_.reset();
    window_ = TRY(load(BlockIndex(number * window_blocks_), BlockIndex((number + 1) * window_blocks_)));
    last_ = number;
  }
  return window_;
}

Result<std::shared_ptr<Staged::Window>> Staged::load(BlockIndex from, BlockIndex to) {
  std::vector<ObjectInfo> here;
  for (const Segment& segment : segments_)
    if (segment.from < to && from < segment.to) here.push_back(segment.info);
  if (here.empty()) return nullptr;
  volume::View view;
  view.disk_bytes = disk_bytes_;
  const std::uint64_t blocks = volume::kFingerprintedBytes / reader_->object().block_size();
  std::map<BlockIndex, std::vector<Window::Fingerprinted>> places;
  for (std::size_t at = 0; at < here.size(); at += kIndexesMax) {
    std::vector<std::optional<segment::SegmentIndex>> indexes(std::min(kIndexesMax, here.size() - at));
    TRY(read_side_by_side(env_, *reader_, indexes.size(), [&](Volume& reader, std::size_t i) -> Result<> {
      indexes[i] = TRY(index_of(reader, here[at + i]));
      return {};
    }));
    for (std::size_t i = 0; i < indexes.size(); ++i)
      if (indexes[i]) {
        put_runs(here[at + i], *indexes[i], from, to, view.changes);
        if (!reader_->keys()->reads_data()) put_places(here[at + i], *indexes[i], *reader_->keys(), blocks, from, to, places);
      }
  }
  volume::RunMap runs = view.changes;
  view.new_objects = std::move(here);
  return std::shared_ptr<Window>(new Window{std::move(runs), ViewReader(env_, *reader_, std::move(view), kCacheBytes), std::move(places)});
}

}  // namespace s3crate::device
