// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/companions.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::volume {
namespace {

using segment::ObjectKind;

TreeChange change_of(PageEntry entry) { return {std::move(entry.key), std::move(entry.value)}; }

bool is_damage(const Error& error) {
  return error.code() == Code::kCorrupt || error.code() == Code::kNotFound;
}

// One update of all companions.
class Update {
 public:
  Update(PageLoader& loader, PageWriter& writer, Companions& companions, const CompanionChanges& changes)
      : loader_(loader), writer_(writer), now_(companions), changes_(changes) {}

  Result<> objects(std::vector<TreeChange>& carried) {
    std::vector<TreeChange> rows;
    for (const ObjectInfo& info : changes_.objects) rows.push_back(change_of(encode_object_info(info)));
    return lay(TreeId::objects, now_.objects, rows, carried);
  }

  Result<> history() {
    std::vector<TreeChange> rows;
    std::map<std::string, std::optional<TagEntry>> tags;
    for (const Event& event : changes_.events) {
      rows.push_back(change_of(encode_catalogue(event.entry)));
      const bool given = event.entry.kind == CommitKind::tag;
      for (const Tag& tag : event.tags)
        tags[tag.name] = given ? std::optional(TagEntry{tag.name, tag.generation, event.entry.time}) : std::nullopt;
    }
    TRY(lay(TreeId::catalogue, now_.catalogue, rows));
    rows.clear();
    for (const auto& [name, tag] : tags)
      rows.push_back(tag ? change_of(encode_tag(*tag)) : TreeChange{Bytes(name.begin(), name.end()), std::nullopt});
    return lay(TreeId::tags, now_.tags, rows);
  }

  // The pages that this very update takes out of the two trees it makes are left to the next.
  Result<> liveness() {
    std::vector<TreeChange> rows, dead;
    auto fresh = changes_.objects.begin();
    auto net = now_.late.net();
    for (const ObjectInfo& info : changes_.objects) net.try_emplace(info.key, 0);
    for (const auto& [key, change] : net) {
      while (fresh != changes_.objects.end() && fresh->key < key) ++fresh;
      const ObjectInfo* born = fresh != changes_.objects.end() && fresh->key == key ? &*fresh : nullptr;
      auto row = TRY(now_of(key, born));
      if (!row || (row->died != Generation(0) && change <= 0)) continue;
      TRY(row->died == Generation(0) ? count(key, change, born, *row, dead) : revive(key, change, *row, dead));
      rows.push_back(change_of(encode_liveness(key, *row)));
    }
    now_.late.clear_net();
    TRY(lay(TreeId::liveness, now_.liveness, rows));
    std::ranges::sort(dead, {}, &TreeChange::key);
    return lay(TreeId::dead, now_.dead, dead);
  }

 private:
  // Whether no checkpoint before this one was told of it. The others are told again of what their table
  // of objects could not take.
  [[nodiscard]] bool is_new(const ObjectInfo& info) const {
    const CheckpointRef& previous = changes_.previous;
    return info.kind == ObjectKind::map ? info.born >= previous.commit : info.born > previous.as_of;
  }

  // What is known of it so far; nullopt: nothing.
  Result<std::optional<Liveness>> now_of(const ObjectKey& key, const ObjectInfo* named) {
    if (named != nullptr && is_new(*named)) {
      const bool is_map = named->kind == ObjectKind::map;
      return Liveness{(is_map ? named->blocks : 0) + (named->has_holes ? 1 : 0), {}};
    }
    Bytes row_key = object_table_key(key);
    auto value = tree_find(loader_, now_.liveness, row_key);
    if (!value && is_damage(value.error())) return std::nullopt;
    if (!TRY(value)) return std::nullopt;
    auto row = decode_liveness({std::move(row_key), **value});
    if (!row) return std::nullopt;
    return row->second;
  }

  Result<> count(const ObjectKey& key, std::int64_t change, const ObjectInfo* born, Liveness& row,
                 std::vector<TreeChange>& dead) {
    const auto live = static_cast<std::int64_t>(row.live) + change;
    // Below nothing: some of it was never counted, so nobody knows what else refers to it.
    if (live < 0) return {};
    row.live = static_cast<std::uint64_t>(live);
    if (live > 0) return {};
    auto info = born != nullptr ? Result<std::optional<ObjectInfo>>(*born) : find_object(key);
    if (!info && is_damage(info.error())) return {};
    if (!TRY(info)) return {};
    // A map object is needed by all that name a checkpoint before this one, whose number is not known
    // yet; but it is above both of these.
    row.died = (*info)->kind == ObjectKind::map ? std::max(changes_.as_of, changes_.previous.commit).next()
                                                : changes_.as_of;
    dead.push_back(change_of(encode_dead(row.died, key, (*info)->born)));
    return {};
  }

  // The map of an older generation came back, and what it refers to is not dead any more.
  Result<> revive(const ObjectKey& key, std::int64_t change, Liveness& row, std::vector<TreeChange>& dead) {
    dead.push_back({encode_dead(row.died, key, {}).key, std::nullopt});
    row = {row.live + static_cast<std::uint64_t>(change), {}};
    return {};
  }

  Result<std::optional<ObjectInfo>> find_object(const ObjectKey& key) {
    Bytes row_key = object_table_key(key);
    auto value = TRY(tree_find(loader_, now_.objects, row_key));
    if (!value) return std::nullopt;
    return TRY(decode_object_info({std::move(row_key), std::move(*value)}));
  }

  Result<> lay(TreeId tree, MaybeRoot& root, std::span<const TreeChange> rows) {
    std::vector<TreeChange> lost;  // over pages that are damaged: rows that nobody will find
    return lay(tree, root, rows, lost);
  }
  Result<> lay(TreeId tree, MaybeRoot& root, std::span<const TreeChange> rows, std::vector<TreeChange>& carried) {
    root = TRY(tree_update(loader_, writer_, tree, root, rows, now_.late, &carried));
    return {};
  }

  PageLoader& loader_;
  PageWriter& writer_;
  Companions& now_;
  const CompanionChanges& changes_;
};

}  // namespace

bool is_needed(Generation born, Generation died, Generation g, const CheckpointRef& checkpoint) {
  const auto lives_at = [&](Generation at) { return born <= at && (died == Generation(0) || at < died); };
  return lives_at(g) || lives_at(checkpoint.as_of) || lives_at(checkpoint.commit);
}

Result<Companions> update_companions(PageLoader& loader, PageWriter& writer, Companions old,
                                     const CompanionChanges& changes, std::vector<TreeChange>& carried) {
  CHECK(std::ranges::is_sorted(changes.objects, {}, &ObjectInfo::key));
  Update update(loader, writer, old, changes);
  TRY(update.objects(carried));
  TRY(update.history());
  TRY(update.liveness());
  return old;
}

}  // namespace s3crate::volume
