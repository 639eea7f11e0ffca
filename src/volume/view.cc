// SPDX-License-Identifier: GPL-3.0-or-later
// The map as of a commit: which commits are read for it, and in how few round trips.
#include <algorithm>

#include "base/parallel.h"
#include "segment/object_names.h"
#include "volume/delta_levels.h"
#include "volume/rollback.h"
#include "volume/volume.h"

namespace s3crate::volume {

using segment::commit_name;

namespace {

// The levels of the delta base need 60 for 65,536 generations without a checkpoint. Writers that
// know no levels made up to so many; what goes beyond it cannot be opened.
constexpr std::uint32_t kChangeCommitsMax = 1 << 16;
// More hints than this are not followed: they are a writer's word, and each costs requests.
constexpr std::size_t kHintsFollowed = 1024;

}  // namespace

bool has_changes(const CommitBody& body) {
  // What a checkpoint carries is as of P, or else, in a rollback, the state of that itself.
  return !has_checkpoint(body) && !(body.runs.empty() && body.objects.empty());
}

CommitRef newest_change(const Commit& commit) {
  return has_changes(commit.body) ? CommitRef{commit.header.generation, commit.hash} : commit.body.delta_base;
}

std::vector<Generation> bases_above(const CommitBody& body, Generation as_of) {
  std::vector<Generation> out;
  if (body.delta_base.generation > as_of) out.push_back(body.delta_base.generation);
  for (Generation base : bases_hint(body))
    if (base > as_of) out.push_back(base);
  return out;
}

std::vector<Result<Bytes>> get_together(Executor& executor, store::ObjectStore& store,
                                        std::span<const WantedObject> wanted) {
  std::vector<Result<Bytes>> got(wanted.size());
  parallel(executor, wanted.size(), kGetTogetherMax,
           [&](std::size_t i) { got[i] = store.get(wanted[i].name, wanted[i].size_max); });
  return got;
}

Result<Bytes> Volume::commit_object(Generation generation) {
  const auto ahead = ahead_.find(generation.value);
  if (ahead == ahead_.end()) return store_.get(commit_name(generation), kCommitBytesMax);
  if (--ahead->second.uses > 0) return ahead->second.object;
  return std::move(ahead_.extract(ahead).mapped().object);
}

Result<> Volume::get_ahead(std::span<const Generation> commits) {
  std::map<Generation, int> missing;
  for (Generation g : commits)
    if (g > Generation(0) && !ahead_.contains(g.value)) ++missing[g];
  if (missing.empty() || (missing.size() == 1 && missing.begin()->second == 1))
    return {};  // it is read as soon when it is needed
  std::vector<WantedObject> wanted;
  for (const auto& [g, uses] : missing) wanted.push_back({commit_name(g), kCommitBytesMax});
  auto got = get_together(env_.executor, store_, wanted);
  return keep_ahead(missing, got);
}

// A store that is away stays so. What else went wrong is for those to see who need that commit.
Result<> Volume::keep_ahead(const std::map<Generation, int>& commits,
                            std::span<Result<Bytes>> got) {
  auto object = got.begin();
  for (const auto& [generation, uses] : commits) {
    auto& result = *object++;
    if (result)
      ahead_.insert_or_assign(generation.value, Ahead{std::move(*result), uses});
    else if (is(result, Code::kTransient) || is(result, Code::kCancelled))
      return fail(result.error());
  }
  return {};
}

Result<> Volume::get_ahead_of_view(const Commit& commit, std::span<const Generation> also) {
  std::vector<Generation> wanted = bases_above(commit.body, commit.body.checkpoint.as_of);
  wanted.insert(wanted.end(), also.begin(), also.end());
  if (commit.body.checkpoint.commit < commit.header.generation)
    wanted.push_back(commit.body.checkpoint.commit);
  return get_ahead(wanted);
}

Result<View> Volume::load_view(const Commit& commit, DeltaLevels* levels) {
  auto view = read_view(commit, levels);
  ahead_.clear();  // what a wrong hint left
  return view;
}

Result<View> Volume::read_view(const Commit& commit, DeltaLevels* levels) {
  View view;
  view.generation = commit.header.generation;
  view.disk_bytes = commit.body.disk_bytes;
  view.checkpoint = commit.body.checkpoint;
  view.state = state_after(commit.body);
  const Generation as_of = view.checkpoint.as_of;

  std::vector<BaseCommit> changes;  // newest first
  auto take = [&](const Commit& c) {
    view.change_commits++;
    if (!has_changes(c.body)) return;
    BaseCommit& base =
        changes.emplace_back(BaseCommit{{c.header.generation, c.hash}, {c.body.runs, {}}});
    // What is repeated from before the checkpoint is in its object table.
    for (const ObjectInfo& info : c.body.objects)
      if (info.born > as_of) base.changes.objects.push_back(info);
  };
  if (commit.header.generation > as_of) take(commit);
  if (!ahead_.contains(commit.body.delta_base.generation.value)) TRY(get_ahead_of_view(commit, {}));
  CommitRef next = commit.body.delta_base;
  Generation below = commit.header.generation;
  while (next.generation > as_of) {
    if (next.generation >= below)
      return fail(Code::kCorrupt, "commit {} is not below {}", next.generation, below);
    if (changes.size() > kChangeCommitsMax)
      return fail(Code::kCorrupt, "too many commits since the checkpoint");
    Commit base = TRY(load_commit(next));
    take(base);
    below = next.generation;
    next = base.body.delta_base;
    if (!ahead_.contains(next.generation.value) && view.change_commits < kHintsFollowed)
      TRY(get_ahead(bases_above(base.body, as_of)));
  }
  if (view.checkpoint.commit != Generation(0)) TRY(load_checkpoint(commit, view));
  for (auto it = changes.rbegin(); it != changes.rend(); ++it) {
    for (const Run& run : it->changes.runs) view.changes.put(run);
    view.new_objects.insert(view.new_objects.end(), it->changes.objects.begin(),
                            it->changes.objects.end());
  }
  if (levels != nullptr) *levels = DeltaLevels(changes, next, as_of);
  return view;
}

// The roots, and what lies over them because a page could not be read when they were made.
Result<> Volume::load_checkpoint(const Commit& commit, View& view) {
  if (view.checkpoint.commit > commit.header.generation)
    return fail(Code::kCorrupt, "a checkpoint of the future");
  Commit stored;
  const Commit* checkpoint = &commit;
  if (view.checkpoint.commit != commit.header.generation) {
    auto found = load_commit(view.checkpoint.commit);
    if (is(found, Code::kNotFound))
      return fail(Code::kCorrupt, "commit {}, a checkpoint, is missing", view.checkpoint.commit);
    stored = TRY(std::move(found));
    checkpoint = &stored;
  }
  if (crypto::blake2b(encode_roots(checkpoint->body.roots)) != view.checkpoint.roots_hash)
    return fail(Code::kCorrupt, "the checkpoint in commit {} is not the one that commit {} names",
                view.checkpoint.commit, commit.header.generation);
  for (const TreeRoot& root : checkpoint->body.roots)
    if (root.tree == TreeId::map) view.map = root;
  view.companions = companions_of(checkpoint->body);
  view.mark = mark_of(checkpoint->header.generation, checkpoint->body);
  for (const Run& run : checkpoint->body.runs) view.changes.put(run);
  view.new_objects.insert(view.new_objects.end(), checkpoint->body.objects.begin(),
                          checkpoint->body.objects.end());
  return {};
}

}  // namespace s3crate::volume
