// SPDX-License-Identifier: GPL-3.0-or-later
// The commits pass, and the order of the passes.
#include "volume/check.h"

#include <algorithm>

#include "segment/object_names.h"
#include "store/reread.h"
#include "volume/check_companions.h"
#include "volume/check_map.h"
#include "volume/origins.h"

namespace s3crate::volume {

using segment::commit_name;

namespace {

constexpr std::size_t kListPage = 1000;

class Checker {
 public:
  Checker(Volume& volume, const CheckOptions& options)
      : volume_(volume),
        options_(options),
        findings_(options, volume.object().block_size()),
        objects_(volume, options, findings_) {}

  Result<CheckReport> run();

 private:
  Result<> volume_object();
  Result<> slots();
  Result<bool> first_commit();
  Result<std::optional<Commit>> find_head();
  Result<std::optional<Commit>> newest_sound(const Error& why);
  Result<> look_for_rollback(const Commit& head);
  Result<> open_view(const Commit& head);
  Result<> commits(Commit head);
  Result<> objects_of(const Commit& commit);
  Result<> keys_copy(const Commit& commit);
  void expected(const Commit& commit);
  void link(const Commit& parent, const Commit& child);

  // Damage, unless it is an error that says nothing.
  Result<> bad_commit(Generation generation, const Error& error) {
    if (is_passing(error.code())) return fail(error);
    findings_.add(commit_name(generation), generation, error.message());
    return {};
  }
  void bad_commit(Generation generation, std::string_view what) {
    findings_.add(commit_name(generation), generation,
                  fmt::format("commit {}: {}", generation, what));
  }

  Volume& volume_;
  const CheckOptions& options_;
  Findings findings_;
  ObjectCheck objects_;
  std::optional<View> view_;
  std::optional<KnownObjects> known_;
  std::map<Generation, Hash> named_;  // by commits above, and not come to yet
  std::uint64_t objects_named_ = 0;
};

Result<CheckReport> Checker::run() {
  TRY(volume_object());
  TRY(slots());
  if (!TRY(first_commit())) {
    findings_.lose_disk();  // and all keys with it
    return findings_.finish();
  }
  auto head = TRY(find_head());
  if (!head) return findings_.finish();
  if (options_.read_data && !volume_.keys()->reads_data())
    return fail(Code::kBadKey, "this key may not read data");
  findings_.report().head = head->header.generation;
  findings_.report().disk_bytes = head->body.disk_bytes;
  TRY(look_for_rollback(*head));
  if (!findings_.report().disk_lost) TRY(open_view(*head));
  TRY(commits(std::move(*head)));
  if (known_)
    TRY(objects_.all(*known_, objects_named_));
  else
    findings_.report().orphans_known = false;
  if (known_) TRY(MapCheck(volume_, *view_, options_, findings_, *known_, objects_).run());
  if (known_) TRY(check_companions(volume_, *view_, options_, findings_));
  return findings_.finish();
}

Result<> Checker::volume_object() {
  const auto same = store::reread(volume_.store(), [&]() -> Result<> {
    if (crypto::blake2b(TRY(volume_.store().get(std::string(segment::kVolumeName), kVolumeObjectMax))) == volume_.vid()) return {};
    return fail(Code::kCorrupt, "other bytes");
  });
  if (!same && is_passing(same.error().code())) return same;
  if (!same)
    findings_.add(std::string(segment::kVolumeName), {},
                  "volume: it is no longer the object that was opened");
  return {};
}

// What can be seen of a slot without its key.
Result<> Checker::slots() {
  for (std::string after;;) {
    const auto page =
        TRY(volume_.store().list(std::string(segment::kKeysPrefix), after, kListPage));
    for (const store::ObjectInfo& info : page.objects) {
      const auto id = segment::parse_slot_name(info.name);
      if (!id) {
        if (!segment::parse_keys_copy_name(info.name)) findings_.report().strangers++;
        continue;
      }
      const auto sound = store::reread(volume_.store(), [&]() -> Result<> {
        const auto header = TRY(parse_slot(TRY(volume_.store().get(info.name, kSlotObjectMax))));
        if (header.vid == volume_.vid() && header.slot == *id) return {};
        return fail(Code::kCorrupt, "it is a key slot of something else");
      });
      if (!sound && is_passing(sound.error().code())) return sound;
      if (!sound)
        findings_.add(info.name, {}, fmt::format("{}: {}", info.name, sound.error().message()));
    }
    if (!page.more || page.objects.empty()) return {};
    after = page.objects.back().name;
  }
}

// All keys stand on it.
Result<bool> Checker::first_commit() {
  auto first = volume_.load_commit(Generation(1));
  if (first) return true;
  TRY(bad_commit(Generation(1), first.error()));
  return false;
}

Result<std::optional<Commit>> Checker::find_head() {
  auto head = volume_.load_head();
  if (head) return std::optional(std::move(*head));
  if (is_passing(head.error().code())) return fail(head.error());
  findings_.lose_disk();
  return newest_sound(head.error());
}

Result<std::optional<Commit>> Checker::newest_sound(const Error& why) {
  bool newest = true;
  for (std::string after;;) {
    const auto page =
        TRY(volume_.store().list(std::string(segment::kCommitsPrefix), after, kListPage));
    for (const store::ObjectInfo& info : page.objects) {
      TRY(findings_.tick("commits", 0, 0));
      const auto generation = segment::parse_commit_name(info.name);
      if (!generation) {
        if (std::exchange(newest, false)) findings_.add(info.name, {}, why.message());
        findings_.report().strangers++;
        continue;
      }
      auto commit = volume_.load_commit(*generation);
      // It is sound by itself, yet not to be believed as the newest.
      if (commit && newest) findings_.add(info.name, *generation, why.message());
      if (commit) {
        if (!volume_.use_keys(keys_after(*commit))) return std::nullopt;
        return std::optional(std::move(*commit));
      }
      TRY(bad_commit(*generation, commit.error()));
      newest = false;
    }
    if (!page.more || page.objects.empty()) return std::nullopt;
    after = page.objects.back().name;
  }
}

Result<> Checker::look_for_rollback(const Commit& head) {
  if (!options_.seen) return {};
  const CommitRef& seen = *options_.seen;
  if (seen.generation > head.header.generation)
    bad_commit(seen.generation,
               "this machine has seen it, yet the store shows an older state of the volume");
  else
    named_[seen.generation] = seen.hash;
  return {};
}

Result<> Checker::open_view(const Commit& head) {
  auto view = volume_.load_view(head);
  if (view) {
    view_ = std::move(*view);
    known_.emplace(volume_, *view_);
    return {};
  }
  findings_.lose_disk();
  return bad_commit(head.header.generation,
                    view.error().within("the newest generation does not open"));
}

// What commits above said of this one.
void Checker::expected(const Commit& commit) {
  const Generation own = commit.header.generation;
  if (auto named = named_.find(own); named != named_.end()) {
    if (named->second != commit.hash) bad_commit(own, "it is not the one that later commits name");
    named_.erase(named);
  }
  const CommitRef& base = commit.body.delta_base;
  if (base.generation == Generation(0)) return;
  auto [known, fresh] = named_.emplace(base.generation, base.hash);
  if (!fresh && known->second != base.hash)
    bad_commit(own, fmt::format("it names another commit {} than later ones", base.generation));
}

void Checker::link(const Commit& parent, const Commit& child) {
  const Generation own = child.header.generation;
  if (child.header.parent != parent.hash) {
    bad_commit(parent.header.generation, "it is not the one that its successor names");
    return;
  }
  if (child.header.keys_generation != keys_after(parent))
    bad_commit(own, "its keys are not those that its parent leaves in force");
  const bool opens = child.body.kind == CommitKind::open;
  if (child.body.epoch < parent.body.epoch || (opens && child.body.epoch == parent.body.epoch))
    bad_commit(own, "its epoch is over");
  const bool may_resize = child.body.kind == CommitKind::resize || child.body.kind == CommitKind::rollback;
  if (!may_resize && child.body.disk_bytes != parent.body.disk_bytes) bad_commit(own, "its disk has another size than its parent's");
  if (child.body.committed < parent.body.committed)
    bad_commit(own, "it takes back what was committed before");
  if (child.body.roots.empty() && child.body.kind != CommitKind::checkpoint &&
      child.body.checkpoint != parent.body.checkpoint)
    bad_commit(own, "it names another checkpoint than its parent");
}

Result<> Checker::keys_copy(const Commit& commit) {
  const std::string name = segment::keys_copy_name(commit.header.generation);
  const auto same = store::reread(volume_.store(), [&]() -> Result<> {
    if (crypto::blake2b(TRY(volume_.store().get(name, kCommitBytesMax))) == commit.hash) return {};
    return fail(Code::kCorrupt, "it is no copy of commit {}", commit.header.generation);
  });
  if (!same && is_passing(same.error().code())) return same;
  if (!same)
    findings_.add(name, commit.header.generation,
                  fmt::format("{}: {}", name, same.error().message()));
  return {};
}

// Each object that is born here must be known to the newest generation, or it is looked at by its
// name.
Result<> Checker::objects_of(const Commit& commit) {
  for (const ObjectInfo& info : commit.body.objects) {
    if (info.born != commit.header.generation) continue;
    objects_named_++;
    std::optional<ObjectInfo> known;
    bool readable = known_.has_value();
    if (known_) {
      auto found = known_->find(info.key);
      if (!found && is_passing(found.error().code())) return fail(found.error());
      readable = found.has_value();
      if (found) known = *found;
    }
    if (known == info) continue;
    TRY(objects_.one(info));
    if (readable)
      bad_commit(commit.header.generation,
                 fmt::format("the object table does not say the same of {}", stored_name(info)));
  }
  return {};
}

Result<> Checker::commits(Commit head) {
  std::optional<Commit> child;
  std::optional<Commit> commit = std::move(head);
  const Generation newest = commit->header.generation;
  for (Generation at = newest;;) {
    TRY(findings_.tick("commits", newest - at, newest.value));
    if (commit) {
      expected(*commit);
      if (child) link(*commit, *child);
      if (commit->keys) TRY(keys_copy(*commit));
      TRY(objects_of(*commit));
      findings_.report().commits++;
      commit->body.runs.clear();
      commit->body.objects.clear();
      commit->inline_extents.clear();
    }
    if (at <= Generation(1)) return {};
    child = std::move(commit);
    at = Generation(at.value - 1);
    auto loaded = volume_.load_commit(at);
    if (!loaded) TRY(bad_commit(at, loaded.error()));
    commit = loaded ? std::optional(std::move(*loaded)) : std::nullopt;
  }
}

}  // namespace

Result<CheckReport> check(Env, Volume& volume, const CheckOptions& options) {
  return Checker(volume, options).run();
}

}  // namespace s3crate::volume
