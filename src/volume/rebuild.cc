// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/rebuild.h"

#include <algorithm>
#include <map>

#include "volume/map_walk.h"
#include "volume/origins.h"
#include "volume/rollback.h"
#include "volume/tree_whole.h"

namespace s3crate::volume {
namespace {

constexpr std::size_t kRangesMax = 10'000, kDamagesMax = 1000;  // told one by one

class Rebuilder {
 public:
  Rebuilder(Volume& volume, const Commit& head, const RebuildOptions& options) : volume_(volume), head_(head), options_(options) {}

  Result<Rebuilt> run();

 private:
  struct Found {
    Commit commit;
    bool tied = false;  // to the newest commit, by its hash
  };
  Result<> look_at(const Found& found);
  Result<> look_for_checkpoint(const CheckpointRef& ref);
  Result<> try_checkpoint(const CheckpointRef& ref);
  Result<> whole(const MaybeRoot& root, std::string_view what);
  Result<std::optional<Found>> load(Generation generation);
  [[nodiscard]] bool is_known_rollback(Generation generation) const;
  void go_back_to(Generation point);
  static Result<> only_in_map(Generation import);
  Result<> pass_rollback();
  Result<> lay_below(std::span<const Run> runs);
  Result<> take_objects(const Commit& commit);
  void note(std::string damage);
  Result<> missing(Generation generation);
  void forget_lost_pages(Ledger& late) const;
  Result<> find_unreadable(const Companions& companions);
  Result<> tick(std::string_view phase, std::uint64_t done, std::uint64_t total);

  Volume& volume_;
  const Commit& head_;
  const RebuildOptions& options_;
  RebuildReport report_;

  std::optional<CheckpointRef> tried_;  // the last one
  std::size_t tries_ = 0;
  std::uint64_t pages_ = 0;
  struct Begin {
    CheckpointRef ref;
    MaybeRoot map;
    Companions companions;
    std::vector<Run> carried;
    std::vector<ObjectInfo> objects;
  };
  std::optional<Begin> begin_;

  RunMap changes_;
  std::map<ObjectKey, ObjectInfo> objects_;
  CommitRef next_;                  // whose changes come next; generation 0: none are missing
  Generation path_;                 // what is above it was rolled back
  std::optional<RollbackRef> rollback_;  // the newest one below those that were read
  std::map<Generation, Hash> named_;  // what commits above say of those to come
};

Result<> Rebuilder::tick(std::string_view phase, std::uint64_t done, std::uint64_t total) {
  if (options_.stop != nullptr && options_.stop->load()) return fail(Code::kCancelled, "stopped");
  if (options_.progress) options_.progress({.phase = phase, .done = done, .total = total});
  return {};
}

Result<Rebuilt> Rebuilder::run() {
  path_ = head_.header.generation;
  next_ = newest_change(head_);
  named_[path_] = head_.hash;
  const auto end = [&] { return begin_ ? begin_->ref.as_of : Generation(0); };
  std::vector<Generation> ahead;
  for (Generation at = head_.header.generation; at > end(); at = Generation(at.value - 1)) {
    TRY(tick("commits", head_.header.generation - at, head_.header.generation - end()));
    if (at < head_.header.generation && (ahead.empty() || at < ahead.back())) {
      ahead.clear();
      for (Generation g = at; g > end() && ahead.size() < kGetTogetherMax; g = Generation(g.value - 1)) ahead.push_back(g);
      TRY(volume_.get_ahead(ahead));
    }
    const auto found = at == head_.header.generation ? std::optional(Found{head_, true}) : TRY(load(at));
    if (found) TRY(look_at(*found));
    else TRY(missing(at));
  }
  if (next_.generation > end()) return fail(Code::kCorrupt, "commit {} is not below those that stand on it", next_.generation);
  if (!begin_) begin_.emplace();
  if (begin_->ref.commit == Generation(0) && !volume_.object().origins.empty())
    return fail(Code::kCorrupt, "this volume is a fork, and no checkpoint of it is whole; its commits say only what has changed since it was "
                "made. If an origin has moved, say where with --origin-url; else fork it again");
  TRY(lay_below(begin_->carried));
  std::erase_if(objects_, [&](const auto& object) { return object.second.born <= begin_->ref.as_of; });
  for (const ObjectInfo& info : begin_->objects) objects_.insert_or_assign(info.key, info);
  report_.from = begin_->ref;
  report_.sound = begin_->ref == head_.body.checkpoint;
  report_.runs = changes_.size();
  TRY(find_unreadable(begin_->companions));

  Rebuilt out{.view = {}, .levels = DeltaLevels(newest_change(head_)), .report = std::move(report_)};
  View& view = out.view;
  view.generation = head_.header.generation;
  view.disk_bytes = head_.body.disk_bytes;
  view.map = begin_->map;
  view.companions = std::move(begin_->companions);
  view.checkpoint = begin_->ref;
  if (!out.report.sound) forget_lost_pages(view.companions.late);
  view.changes = std::move(changes_);
  for (const auto& [key, info] : objects_) view.new_objects.push_back(info);
  return out;
}

// nullopt: damaged or gone, or another than the one that belongs here. One that a commit above names is waited for, as the store may
// be behind with it.
Result<std::optional<Rebuilder::Found>> Rebuilder::load(Generation generation) {
  const auto named = named_.extract(generation);
  auto commit = named.empty() ? volume_.load_commit(generation) : volume_.load_commit(volume::CommitRef{generation, named.mapped()});
  if (commit) {
    report_.commits++;
    return Found{std::move(*commit), !named.empty()};
  }
  if (!is_damage(commit.error())) return fail(commit.error());
  note(is(commit, Code::kNotFound) ? fmt::format("commit {} is gone", generation) : commit.error().message());
  return std::nullopt;
}

void Rebuilder::note(std::string damage) {
  if (report_.damages.size() < kDamagesMax) report_.damages.push_back(std::move(damage));
  else if (report_.damages.size() == kDamagesMax) report_.damages.emplace_back("and more, too many to tell one by one");
}

bool Rebuilder::is_known_rollback(Generation generation) const {
  return !begin_ && generation <= path_ && rollback_ && rollback_->generation == generation;
}

void Rebuilder::go_back_to(Generation point) {
  path_ = point;
  next_ = {};
}

// Without its own commit.
Result<> Rebuilder::pass_rollback() {
  if (rollback_->is_import()) return only_in_map(rollback_->generation);
  named_.emplace(Generation(rollback_->generation.value - 1), rollback_->parent);
  go_back_to(rollback_->point);
  return {};
}

Result<> Rebuilder::only_in_map(Generation import) {
  return fail(Code::kCorrupt, "commit {} is an import of more than a commit can say: what it changed stands in its map alone, which is damaged or "
              "gone. Import the image again, or roll back to a generation before it", import);
}

// Of a commit that nothing ties to the newest one only the objects count, which may be alive too long.
Result<> Rebuilder::look_at(const Found& found) {
  const Commit& commit = found.commit;
  const Generation own = commit.header.generation;
  if (!found.tied) {
    TRY(take_objects(commit));
    if (is_known_rollback(own)) TRY(pass_rollback());
    if (own != path_ || next_.generation != Generation(0)) return {};
    return fail(Code::kCorrupt, "the disk was rolled back to generation {}, and so many commits are lost that nothing ties that to the newest",
                own);
  }
  rollback_ = rollback_below(commit.body);
  named_.emplace(Generation(own.value - 1), commit.header.parent);
  if (commit.body.delta_base.generation > Generation(0)) named_.emplace(commit.body.delta_base.generation, commit.body.delta_base.hash);
  TRY(take_objects(commit));
  if (own > path_) return {};
  if (!begin_) TRY(look_for_checkpoint(commit.body.checkpoint));
  if (begin_ && own <= begin_->ref.as_of) return {};
  if (commit.body.kind == CommitKind::rollback && has_checkpoint(commit.body) && !begin_) {
    const auto point = rollback_point(commit.body);
    if (!point) return only_in_map(own);
    if (*point >= own) return fail(Code::kCorrupt, "commit {} does not say whose map it has", own);
    go_back_to(*point);
    return {};
  }
  // The newest one that counts says what follows it.
  if (next_.generation == Generation(0) && own == path_) next_ = newest_change(commit);
  if (own != next_.generation) return {};
  TRY(lay_below(commit.body.runs));
  next_ = commit.body.delta_base;
  return {};
}

Result<> Rebuilder::missing(Generation generation) {
  if (!report_.lost.empty() && report_.lost.front().first == generation.next()) report_.lost.front().first = generation;
  else report_.lost.insert(report_.lost.begin(), {generation, generation});
  if (is_known_rollback(generation)) return pass_rollback();
  const bool rolled_back_to = generation == path_ && next_.generation == Generation(0);
  if (generation != next_.generation && !rolled_back_to) return {};
  return fail(Code::kCorrupt, "commit {} is damaged or gone, and no other one says what changed in it", generation);
}

Result<> Rebuilder::take_objects(const Commit& commit) {
  for (const ObjectInfo& info : commit.body.objects) objects_.try_emplace(info.key, info);
  if (objects_.size() <= options_.objects_max) return {};
  return fail(Code::kUnsupported, "more than {} objects are to be noted anew, which is more than a repair holds in memory", options_.objects_max);
}

// Commits say of each change what holds after it, so a later one hides an earlier one.
Result<> Rebuilder::lay_below(std::span<const Run> runs) {
  std::vector<Run> parts;
  for (const Run& run : runs) {
    changes_.tile(run.block, run.end(), [](const Run&) {}, [&](BlockIndex from, BlockIndex to) { parts.push_back(clip(run, from, to)); });
    for (const Run& part : parts) changes_.put(part);
    parts.clear();
  }
  if (changes_.size() <= options_.runs_max) return {};
  return fail(Code::kUnsupported, "more than {} pieces of the map are to be rebuilt, which is more than a repair holds in memory", options_.runs_max);
}

Result<> Rebuilder::look_for_checkpoint(const CheckpointRef& ref) {
  if (tried_ && tried_->commit == ref.commit) return {};
  tried_ = ref;
  if (ref.commit == Generation(0)) {
    begin_.emplace();
    return {};
  }
  if (++tries_ > options_.checkpoints_max) return {};
  const auto done = try_checkpoint(ref);
  if (done) return {};
  begin_.reset();
  if (!is_damage(done.error())) return done;
  note(fmt::format("the checkpoint in commit {}: {}", ref.commit, done.error().message()));
  return {};
}

Result<> Rebuilder::try_checkpoint(const CheckpointRef& ref) {
  if (ref.commit > head_.header.generation || ref.as_of > ref.commit) return fail(Code::kCorrupt, "its numbers make no sense");
  Commit loaded;
  if (ref.commit != head_.header.generation) loaded = TRY(volume_.load_commit(ref.commit));
  const Commit& commit = ref.commit == head_.header.generation ? head_ : loaded;
  if (crypto::blake2b(encode_roots(commit.body.roots)) != ref.roots_hash) return fail(Code::kCorrupt, "it is not the one that later commits name");
  Begin begin{.ref = ref, .map = {}, .companions = companions_of(commit.body), .carried = commit.body.runs, .objects = commit.body.objects};
  for (const TreeRoot& root : commit.body.roots)
    if (root.tree == TreeId::map) begin.map = root;
  if (auto map = whole(begin.map, "the map"); !map) {
    // Those between the checkpoints that were found damaged, too.
    if (is_damage(map.error())) report_.past = {ref.commit, report_.past ? report_.past->last : head_.header.generation};
    return map;
  }
  const Companions& c = begin.companions;
  TRY(whole(c.objects, "the object table"));
  for (const TreeRoot& table : c.origin_objects) TRY(whole(table, "the object table of an origin"));
  TRY(whole(c.liveness, "the liveness"));
  TRY(whole(c.dead, "the list of the dead"));
  TRY(whole(c.catalogue, "the catalogue"));
  TRY(whole(c.tags, "the tags"));
  begin_ = std::move(begin);
  return {};
}

Result<> Rebuilder::whole(const MaybeRoot& root, std::string_view what) {
  auto done = tree_whole(volume_.pages(), root, [&] { return tick("map", ++pages_, 0).has_value(); });
  if (!done && is_damage(done.error())) return fail(done.error().within(what));
  return done;
}

// What no tree refers to any more is no longer alive; late is not early.
void Rebuilder::forget_lost_pages(Ledger& late) const {
  for (const auto& [key, info] : objects_) {
    if (info.kind != segment::ObjectKind::map || info.born <= begin_->ref.commit) continue;
    Run pages{.block = {}, .count = info.blocks, .hole = false, .first = 0, .extent = {}};
    pages.extent.object = key;
    late.forget(pages);
  }
}

// Blocks whose objects only a lost commit named.
Result<> Rebuilder::find_unreadable(const Companions& companions) {
  if (report_.lost.empty()) return {};
  const std::uint64_t block_size = volume_.object().block_size();
  std::map<ObjectKey, bool> known;
  for (const Run& run : changes_.runs()) {
    if (run.hole || objects_.contains(run.extent.object)) continue;
    const auto [at, fresh] = known.try_emplace(run.extent.object, false);
    const std::uint16_t origin = run.extent.object.origin;
    const MaybeRoot table = origin == 0 ? companions.objects : origin_table(companions.origin_objects, origin);
    if (fresh) at->second = TRY(tree_find(volume_.pages(), table, object_table_key(at->first))).has_value();
    if (at->second || report_.unreadable.size() >= kRangesMax) continue;
    const ByteRange range{run.block.value * block_size, run.count * block_size};
    auto& out = report_.unreadable;
    if (!out.empty() && out.back().offset + out.back().length == range.offset) out.back().length += range.length;
    else out.push_back(range);
  }
  return {};
}

}  // namespace

Result<Rebuilt> rebuild(Volume& volume, const Commit& head, const RebuildOptions& options) {
  return Rebuilder(volume, head, options).run();
}

}  // namespace s3crate::volume
