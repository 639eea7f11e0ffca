// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/salvage.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "segment/object_names.h"
#include "volume/check_objects.h"
#include "volume/line_place.h"
#include "volume/map_walk.h"
#include "volume/tree_whole.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kDamagesMax = 1000, kRangesMax = 10'000;  // told one by one
constexpr std::size_t kTriesMax = 64;                           // of generations whose commits are there, but not those below
constexpr std::size_t kListMax = 1000;

class Salvager {
 public:
  Salvager(Env env, Volume& volume, const SalvageOptions& options) : env_(env), volume_(volume), options_(options) {}

  Result<Salvaged> run() {
    TRY(volume_.use_copies_of_keys());
    TRY(find_base());
    TRY(find_segments());
    TRY(find_places());
    WriteOrder order = volume::order(places_, start_);
    if (TRY(begin_with_checkpoint(order))) order = volume::order(places_, start_);
    if (TRY(go_on_from_rollback(order))) order = volume::order(places_, start_);
    count(order);
    TRY(lay(order));
    return finish();
  }

 private:
  Result<> tick(std::string_view phase, std::uint64_t done, std::uint64_t total) const {
    if (options_.stop != nullptr && options_.stop->load()) return fail(Code::kCancelled, "stopped");
    if (options_.progress) options_.progress({.phase = phase, .done = done, .total = total});
    return {};
  }
  void note(std::string damage) {
    auto& damages = report_.damages;
    if (damages.size() < kDamagesMax) damages.push_back(std::move(damage));
    else if (damages.size() == kDamagesMax) damages.emplace_back("and more, too many to tell one by one");
  }
  Result<> find_base();
  Result<bool> try_base(Generation generation);
  Result<Generation> lowest_needed(const Commit& commit);
  Result<> find_segments();
  Result<> find_places();
  Result<bool> begin_with_checkpoint(const WriteOrder& order);
  Result<bool> try_checkpoint(const CheckpointMark& mark);
  std::uint32_t first_ambiguous_epoch() const;
  Result<bool> is_whole(const View& view);
  Result<> find_lost_inline();
  struct Start {  // what the disk is begun with
    std::optional<View> base;
    LineStart start;
    std::optional<CommitRef> from;
    std::optional<Generation> from_checkpoint;
  };
  void go_back_to(const Start& start);
  Result<bool> is_in_base(const FoundSegment& found);
  Result<bool> go_on_from_rollback(const WriteOrder& order);
  Result<bool> begin_with_point_of(const IndexedPlace& rollback);
  void count(const WriteOrder& order);
  void add(SegmentCount& to, std::span<const std::size_t> which) const;
  Result<> lay(const WriteOrder& order);
  Result<> lay_some(const WriteOrder& order, std::span<const std::size_t> path);
  void pass_gap();
  Result<Salvaged> finish();

  Env env_;
  Volume& volume_;
  const SalvageOptions& options_;
  SalvageReport report_;

  std::optional<View> base_;
  LineStart start_;
  Generation limit_{~std::uint64_t{0}};  // of what may be tried
  std::size_t tries_ = 0;
  RunMap lost_;  // what the base cannot give back, as holes
  std::vector<FoundSegment> found_;
  std::vector<IndexedPlace> places_;  // behind the base
  OrderedMap map_;
};

// --- what commits still tell -------------------------------------------------------------------------------------------------

Result<> Salvager::find_base() {
  start_.vouched = volume_.object().origins.empty();  // a fork does not begin empty
  for (std::string after;;) {
    const auto page = TRY(volume_.store().list(std::string(segment::kCommitsPrefix), after, kListMax));
    for (const auto& object : page.objects) {
      const auto generation = segment::parse_commit_name(object.name);
      if (!generation) continue;
      if (!report_.newest) report_.newest = *generation;
      TRY(tick("commits", *report_.newest - *generation, report_.newest->value));
      if (*generation > limit_) continue;
      if (TRY(try_base(*generation)) || tries_ == kTriesMax) return {};
    }
    if (!page.more || page.objects.empty()) return {};
    after = page.objects.back().name;
  }
}

// The lowest commit that its map is made of and that can be had.
Result<Generation> Salvager::lowest_needed(const Commit& commit) {
  Generation lowest = commit.header.generation;
  for (CommitRef next = newest_change(commit); next.generation > Generation(0) && next.generation < lowest;) {
    const auto below = volume_.load_commit(next);
    if (!below && !is_damage(below.error())) return fail(below.error());
    if (!below) return next.generation;
    lowest = next.generation;
    next = below->body.delta_base;
  }
  return commit.header.generation;
}

Result<bool> Salvager::try_base(Generation generation) {
  const auto commit = volume_.load_commit(generation);
  if (!commit && !is_damage(commit.error())) return fail(commit.error());
  if (!commit) {
    note(commit.error().message());
    return false;
  }
  if (keys_after(*commit) > volume_.keys()->keys_generation()) TRY(volume_.use_keys(keys_after(*commit)));
  RebuildOptions how{.runs_max = options_.runs_max, .stop = options_.stop, .progress = options_.progress};
  auto rebuilt = rebuild(volume_, *commit, how);
  if (!rebuilt && !is(rebuilt, Code::kCorrupt)) return fail(rebuilt.error());
  if (!rebuilt) {
    note(fmt::format("generation {}: {}", generation, rebuilt.error().message()));
    // All that stand on a lost one are as lost.
    limit_ = Generation(TRY(lowest_needed(*commit)).value - 1);
    ++tries_;
    return false;
  }
  for (std::string& damage : rebuilt->report.damages) note(std::move(damage));
  report_.from = CommitRef{generation, commit->hash};
  base_ = std::move(rebuilt->view);
  start_ = {.last = {commit->body.epoch, commit->body.committed}, .place = line_place(commit->body), .disk_bytes = commit->body.disk_bytes, .vouched = true};
  return true;
}

// --- what segments tell ------------------------------------------------------------------------------------------------------

// The newest checkpoint that an index tells, if its map is there, and what comes behind it leads on without a gap; else the one that leads on
// furthest, if that is further than without. What was deleted because nothing needs it since then is not missed. An index that was never
// part of the disk may tell of a history that was given up.
Result<bool> Salvager::begin_with_checkpoint(const WriteOrder& order) {
  const auto is_complete = [](const WriteOrder& of) { return of.prefix == of.line.size(); };
  std::set<ObjectKey> dropped;  // under any name
  for (const std::size_t which : order.dropped) dropped.insert(found_[which].info.key);
  const std::uint32_t ambiguous = first_ambiguous_epoch();
  std::map<Generation, const CheckpointMark*, std::greater<>> marks;
  const std::uint32_t block_size = volume_.object().block_size();
  for (const FoundSegment& segment : found_) {
    const auto& mark = segment.mark;
    if (mark && mark->state.place.epoch < ambiguous && !dropped.contains(segment.info.key) && mark->state.disk_bytes % block_size == 0 && (!report_.from || mark->as_of > report_.from->generation))
      marks.emplace(mark->commit, &*mark);
  }
  const Start without{base_, start_, report_.from, report_.from_checkpoint};
  const bool complete = start_.vouched && is_complete(order);
  BatchNumber reached = order.last;
  std::optional<Start> best;
  std::size_t tries = 0;
  for (const auto& [commit, mark] : marks) {
    if (++tries > kTriesMax) break;
    if (!TRY(try_checkpoint(*mark))) continue;
    const WriteOrder behind = volume::order(places_, start_);
    const bool better = is_complete(behind) || (!complete && behind.last >= reached);
    if (better) {
      best = Start{base_, start_, report_.from, report_.from_checkpoint};
      reached = behind.last;
    }
    go_back_to(without);
    if (is_complete(behind)) break;
  }
  if (best) {
    go_back_to(*best);
    TRY(find_lost_inline());
  }
  TRY(find_places());
  return best.has_value();
}

// The first with two segments in one place. A store that showed an older state, and was written to, has an epoch twice: which of the two
// histories a checkpoint of it belongs to, no index tells.
std::uint32_t Salvager::first_ambiguous_epoch() const {
  std::map<std::tuple<std::uint32_t, std::uint64_t, std::uint32_t>, segment::SealedSecret> taken;
  std::uint32_t first = std::numeric_limits<std::uint32_t>::max();
  for (const FoundSegment& found : found_) {
    if (!found.place.part) continue;
    const auto [at, fresh] = taken.try_emplace({found.place.epoch, found.place.part->ordinal, found.place.part->number}, found.info.sealed_secret);
    if (!fresh && at->second != found.info.sealed_secret) first = std::min(first, found.place.epoch);
  }
  return first;
}

void Salvager::go_back_to(const Start& start) {
  base_ = start.base;
  start_ = start.start;
  report_.from = start.from;
  report_.from_checkpoint = start.from_checkpoint;
}

Result<bool> Salvager::try_checkpoint(const CheckpointMark& mark) {
  CommitBody body;
  body.roots = mark.roots;
  View view;
  view.generation = mark.as_of;
  view.disk_bytes = mark.state.disk_bytes;
  for (const TreeRoot& root : body.roots)
    if (root.tree == TreeId::map) view.map = root;
  view.companions = companions_of(body);
  if (!TRY(is_whole(view))) {
    note(fmt::format("the checkpoint in commit {}: its map, or its table of objects, is damaged or gone", mark.commit));
    return false;
  }
  base_ = std::move(view);
  start_ = {.last = {mark.state.epoch, mark.state.committed}, .place = mark.state.place, .disk_bytes = mark.state.disk_bytes, .vouched = true};
  report_.from.reset();
  report_.from_checkpoint = mark.as_of;
  TRY(find_places());
  return true;
}

Result<bool> Salvager::is_whole(const View& view) {
  std::uint64_t pages = 0;
  const auto whole = [&](const MaybeRoot& root) { return tree_whole(volume_.pages(), root, [&] { return tick("map", ++pages, 0).has_value(); }); };
  Result<> done = whole(view.map);
  if (done) done = whole(view.companions.objects);
  for (const TreeRoot& table : view.companions.origin_objects)
    if (done) done = whole(table);
  if (!done && !is_damage(done.error())) return fail(done.error());
  return done.has_value();
}

// Extents that stood in commits are lost with these.
Result<> Salvager::find_lost_inline() {
  std::set<ObjectKey> lost;
  TRY(tree_scan(volume_.pages(), base_->companions.objects, {}, [&](const PageEntry& entry) -> Result<bool> {
    const auto info = TRY(decode_object_info(entry));
    if (info.kind != segment::ObjectKind::inline_extents) return true;
    const auto commit = volume_.load_commit(info.born);
    if (!commit && !is_damage(commit.error())) return fail(commit.error());
    if (!commit) lost.insert(info.key);
    TRY(tick("commits", lost.size(), 0));
    return true;
  }));
  if (lost.empty()) return {};
  const std::uint32_t block_size = volume_.object().block_size();
  const auto lose = [&](BlockIndex from, BlockIndex to) { lost_.put({.block = from, .count = to - from, .hole = true, .first = 0, .extent = {}}); };
  return map_walk(volume_.pages(), base_->map, BlockIndex(0), BlockIndex(base_->disk_bytes / block_size),
                  [&](const Run& run) { if (lost.contains(run.extent.object)) lose(run.block, run.end()); },
                  [&](BlockIndex from, BlockIndex to, const Error&) { lose(from, to); });
}

// A change of the size may have had no batch of its own: then its number does not tell.
Result<bool> Salvager::is_in_base(const FoundSegment& found) {
  if (!base_) return false;
  if (found.place.part && start_.place && report_.from_checkpoint) return segment::LinePlace{found.place.epoch, found.place.part->ordinal} <= *start_.place;
  const BatchNumber last{found.place.epoch, found.place.last};
  if (last != start_.last || found.place.first <= found.place.last) return last <= start_.last;
  return TRY(KnownObjects(volume_, *base_).find(found.info.key)).has_value();
}

Result<> Salvager::find_segments() {
  IndexReadOptions how{.epoch_min = start_.last.epoch, .segments_max = options_.segments_max, .stop = options_.stop};
  how.progress = [&](std::uint64_t done, std::uint64_t total) { (void)tick("indexes", done, total); };
  FoundSegments all = TRY(read_indexes(env_.executor, volume_, how));
  for (const BadSegment& bad : all.bad) {
    note(fmt::format("{}: {}", bad.name, bad.what));
    report_.left.segments++;
    report_.left.bytes += bad.length;
  }
  found_ = std::move(all.sound);
  return {};
}

Result<> Salvager::find_places() {
  places_.clear();
  std::map<ObjectKey, std::pair<const FoundSegment*, std::size_t>> seen;
  segment::LinePlace covered;
  for (const FoundSegment& found : found_) {
    if (TRY(is_in_base(found))) {
      if (found.place.part) covered = std::max(covered, segment::LinePlace{found.place.epoch, found.place.part->ordinal});
      continue;
    }
    // One that was put again, under another name, is the same; or another history's (first_ambiguous_epoch), and then neither can be relied on.
    const auto [at, fresh] = seen.try_emplace(found.info.key, &found, places_.size());
    if (fresh) places_.push_back(found.place);
    else if (at->second.first->info.sealed_secret != found.info.sealed_secret) places_[at->second.second].part.reset();
  }
  if (!start_.place && covered.epoch > 0) start_.place = covered;
  return {};
}

// The newest rollback whose point no segment behind the base tells: its commit may be there, so that its map can be had.
Result<bool> Salvager::go_on_from_rollback(const WriteOrder& order) {
  for (auto at = order.line.rbegin(); at != order.line.rend(); ++at) {
    const IndexedPlace& place = found_[at->segments.front()].place;
    if (place.rolls_back && !at->back_to && place.rollback && at->whole) return begin_with_point_of(place);
    if (at->back_to && *at->back_to == 0) return false;
  }
  return false;
}

Result<bool> Salvager::begin_with_point_of(const IndexedPlace& rollback) {
  const auto commit = volume_.load_commit(CommitRef{rollback.rollback->generation, rollback.rollback->commit});
  if (!commit && !is_damage(commit.error())) return fail(commit.error());
  if (!commit) return false;
  auto rebuilt = rebuild(volume_, *commit, {.runs_max = options_.runs_max, .stop = options_.stop, .progress = options_.progress});
  if (!rebuilt && !is(rebuilt, Code::kCorrupt)) return fail(rebuilt.error());
  if (!rebuilt || rebuilt->view.disk_bytes != rollback.disk_bytes) return false;
  report_.from = CommitRef{commit->header.generation, commit->hash};
  report_.from_checkpoint.reset();
  lost_.clear();
  base_ = std::move(rebuilt->view);
  const auto key = [](const IndexedPlace& place) { return std::tuple(place.epoch, place.last, place.first, place.part ? place.part->ordinal : 0); };
  std::erase_if(places_, [&](const IndexedPlace& place) { return key(place) <= key(rollback); });
  start_ = {.last = {rollback.epoch, rollback.last}, .place = segment::LinePlace{rollback.epoch, rollback.part->ordinal}, .disk_bytes = rollback.disk_bytes, .vouched = true};
  return true;
}

void Salvager::add(SegmentCount& to, std::span<const std::size_t> which) const {
  for (const std::size_t i : which) {
    to.segments++;
    to.bytes += found_[i].info.length;
  }
}

void Salvager::count(const WriteOrder& order) {
  add(report_.dropped, order.dropped);
  add(report_.unfinished, order.unfinished);
  if (order.prefix < order.line.size()) {
    const OrderedGeneration& next = order.line[order.prefix];
    report_.gap = !next.gap.empty() ? next.gap
                  : !start_.vouched ? "what the volume shares with the one that it was forked from, its commits told"
                                    : fmt::format("batches behind {} have left out what later ones wrote, which are missing", next.last);
  }
  if (options_.through_gaps) return;
  for (std::size_t i = order.prefix; i < order.line.size(); ++i) add(report_.left, order.line[i].segments);
}

// --- the map -----------------------------------------------------------------------------------------------------------------

// Some generations, whose indexes are read together.
Result<> Salvager::lay_some(const WriteOrder& order, std::span<const std::size_t> path) {
  std::vector<ObjectInfo> infos;
  for (const std::size_t at : path)
    for (const std::size_t which : order.line[at].segments) infos.push_back(found_[which].info);
  const auto indexes = TRY(read_again(env_.executor, volume_, infos));
  std::size_t next = 0;
  for (const std::size_t at : path) {
    const OrderedGeneration& generation = order.line[at];
    std::vector<OrderedMap::Segment> segments;
    for (; segments.size() < generation.segments.size(); ++next) segments.emplace_back(infos[next].key, &indexes[next]);
    if (!generation.gap.empty()) pass_gap();
    TRY(map_.lay(segments, generation.disk_bytes, volume_.object().block_size()));
    if (!generation.whole) map_.gap();
    report_.generations++;
    add(report_.laid, generation.segments);
  }
  if (map_.map().size() <= options_.runs_max) return {};
  return fail(Code::kUnsupported, "more than {} pieces of the map are to be made anew, which is more than a repair holds in memory", options_.runs_max);
}

void Salvager::pass_gap() {
  map_.gap();
  report_.gaps++;
}

Result<> Salvager::lay(const WriteOrder& order) {
  if (base_) map_ = OrderedMap(std::exchange(base_->changes, {}), base_->disk_bytes);
  const auto path = order.path(options_.through_gaps ? order.line.size() : order.prefix);
  if (!start_.vouched && !path.empty()) pass_gap();
  for (std::size_t begin = 0; begin < path.size();) {
    TRY(tick("segments", begin, path.size()));
    std::size_t end = begin, segments = 0;
    while (end < path.size() && (end == begin || segments + order.line[path[end]].segments.size() <= kIndexesTogether))
      segments += order.line[path[end++]].segments.size();
    TRY(lay_some(order, std::span(path).subspan(begin, end - begin)));
    begin = end;
  }
  if (options_.through_gaps && order.ends_early) pass_gap();
  return {};
}

Result<Salvaged> Salvager::finish() {
  const std::uint32_t block_size = volume_.object().block_size();
  map_.unvouched(block_size, [&](BlockIndex from, BlockIndex to) {
    const std::uint64_t bytes = (to - from) * block_size;
    report_.unvouched_bytes += bytes;
    if (report_.unvouched.size() < kRangesMax) report_.unvouched.push_back({from.value * block_size, bytes});
  });
  // What has been written since is there.
  for (const Run& run : lost_.runs()) {
    map_.map().tile(run.block, std::min(run.end(), BlockIndex(map_.disk_bytes() / block_size)), [](const Run&) {}, [&](BlockIndex from, BlockIndex to) {
      const std::uint64_t bytes = (to - from) * block_size;
      report_.unreadable_bytes += bytes;
      if (report_.unreadable.size() < kRangesMax) report_.unreadable.push_back({from.value * block_size, bytes});
    });
  }
  Salvaged out;
  if (base_) out.state = std::move(*base_);
  out.state.disk_bytes = report_.disk_bytes = map_.disk_bytes();
  out.state.changes = map_.map();
  std::set<ObjectKey> used;
  for (const Run& run : map_.map().runs())
    if (!run.hole) used.insert(run.extent.object);
  for (const IndexedPlace& place : places_)
    if (used.contains(found_[place.which].info.key)) out.state.new_objects.push_back(found_[place.which].info);
  out.report = std::move(report_);
  return out;
}

}  // namespace

Result<Salvaged> salvage(Env env, Volume& volume, const SalvageOptions& options) { return Salvager(env, volume, options).run(); }

}  // namespace s3crate::volume
