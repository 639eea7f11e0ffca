// SPDX-License-Identifier: GPL-3.0-or-later
// What the newest generation knows of its objects, around what is damaged of its object table, and
// how the store compares.
#include <algorithm>

#include "segment/object_names.h"
#include "volume/check_objects.h"
#include "volume/origins.h"

namespace s3crate::volume {

using segment::ObjectKind;

namespace {

constexpr std::size_t kListPage = 1000;

Result<> walk_page(PageLoader& loader, const Place& place, ByteView lower, std::uint64_t& pages,
                   const OnLeaf& leaf, const OnBadPage& bad) {
  auto page = load_page(loader, place);
  if (!page) {
    if (is_passing(page.error().code())) return fail(page.error());
    return bad(place, lower, page.error());
  }
  pages++;
  if (place.level == 0) return leaf(**page, place);
  for (std::size_t i = 0; i < (*page)->entries.size(); ++i) {
    const Place child = TRY(child_place(place, **page, i));
    TRY(walk_page(loader, child, (*page)->entries[i].key, pages, leaf, bad));
  }
  return {};
}

// The objects that the store shows below a prefix, in order of their names.
class Listing {
 public:
  Listing(store::ObjectStore& store, std::string_view prefix) : store_(store), prefix_(prefix) {}

  // nullptr: no more.
  Result<const store::ObjectInfo*> front() {
    if (at_ == page_.objects.size() && page_.more) {
      const std::string after = page_.objects.empty() ? std::string() : page_.objects.back().name;
      page_ = TRY(store_.list(prefix_, after, kListPage));
      at_ = 0;
      if (page_.objects.empty()) page_.more = false;
    }
    return at_ < page_.objects.size() ? &page_.objects[at_] : nullptr;
  }
  void pop() { at_++; }

 private:
  store::ObjectStore& store_;
  const std::string prefix_;
  store::ListPage page_{{}, true};
  std::size_t at_ = 0;
};

void count_unnamed(const store::ObjectInfo& found, CheckReport& report) {
  if (!segment::parse_object_name(found.name)) {
    report.strangers++;
    return;
  }
  report.orphans++;
  report.orphan_bytes += found.size;
}

// The size of `name`, and what stands before it; nullopt: it is not there.
Result<std::optional<std::uint64_t>> advance(Listing& listing, const std::string& name,
                                             CheckReport& report) {
  for (;;) {
    const store::ObjectInfo* found = TRY(listing.front());
    if (found == nullptr || found->name > name) return std::nullopt;
    const std::uint64_t size = found->size;
    const bool same = found->name == name;
    if (!same) count_unnamed(*found, report);
    listing.pop();
    if (same) return size;
  }
}

Result<> count_rest(Listing& listing, CheckReport& report) {
  for (;;) {
    const store::ObjectInfo* found = TRY(listing.front());
    if (found == nullptr) return {};
    count_unnamed(*found, report);
    listing.pop();
  }
}

}  // namespace

Result<> walk_tree(PageLoader& loader, const MaybeRoot& root, std::uint64_t& pages,
                   const OnLeaf& leaf, const OnBadPage& bad) {
  if (!root) return {};
  return walk_page(loader, TRY(root_place(*root)), {}, pages, leaf, bad);
}

KnownObjects::KnownObjects(Volume& volume, const View& view)
    : volume_(volume), view_(view), fresh_(view.new_objects) {
  std::ranges::sort(fresh_, {}, &ObjectInfo::key);
}

Result<std::optional<ObjectInfo>> KnownObjects::find(const ObjectKey& key) {
  auto fresh = std::ranges::lower_bound(fresh_, key, {}, &ObjectInfo::key);
  if (fresh != fresh_.end() && fresh->key == key) return *fresh;
  Bytes table_key = object_table_key(key);
  const Companions& companions = view_.companions;
  const MaybeRoot table = key.origin == 0 ? companions.objects : origin_table(companions.origin_objects, key.origin);
  auto value = TRY(tree_find(volume_.pages(), table, table_key));
  if (!value) return std::nullopt;
  return TRY(decode_object_info({std::move(table_key), std::move(*value)}));
}

Result<> KnownObjects::for_each(Findings& findings,
                                const std::function<Result<>(const ObjectInfo&)>& each) {
  auto fresh = fresh_.begin();
  const auto leaf = [&](const Page& page, const Place& place) -> Result<> {
    for (const PageEntry& entry : page.entries) {
      auto info = decode_object_info(entry);
      if (!info) {
        findings.add(stored_name(place.page), {}, info.error().message());
        continue;
      }
      for (; fresh != fresh_.end() && fresh->key < info->key; ++fresh) TRY(each(*fresh));
      if (fresh != fresh_.end() && fresh->key == info->key) ++fresh;
      TRY(each(*info));
    }
    return {};
  };
  const auto bad = [&](const Place& place, ByteView lower, const Error& error) -> Result<> {
    const std::string name = stored_name(place.page);
    const auto damage = findings.add(name, {}, error.message());
    Hidden hidden{Bytes(lower.begin(), lower.end()), {}, damage};
    if (place.upper) hidden.upper.emplace(place.upper->begin(), place.upper->end());
    hidden_.push_back(std::move(hidden));
    findings.report().orphans_known = false;
    return {};
  };
  TRY(walk_tree(volume_.pages(), view_.companions.objects, findings.report().pages, leaf, bad));
  for (; fresh != fresh_.end(); ++fresh) TRY(each(*fresh));
  return {};
}

std::optional<Findings::DamageId> KnownObjects::hidden_by(const ObjectKey& key) const {
  const Bytes table_key = object_table_key(key);
  for (const Hidden& hidden : hidden_)
    if (compare(hidden.lower, table_key) <= 0 &&
        (!hidden.upper || compare(table_key, *hidden.upper) < 0))
      return hidden.damage;
  return std::nullopt;
}

Result<> ObjectCheck::all(KnownObjects& known, std::uint64_t expected) {
  CheckReport& report = findings_.report();
  Listing segments(volume_.store(), segment::kSegmentsPrefix);
  Listing maps(volume_.store(), segment::kMapPrefix);
  std::uint64_t done = 0;
  TRY(known.for_each(findings_, [&](const ObjectInfo& info) -> Result<> {
    TRY(findings_.tick("objects", ++done, std::max(done, expected)));
    if (info.key.origin != 0 || info.kind == ObjectKind::inline_extents) return {};
    Listing& listing = info.kind == ObjectKind::map ? maps : segments;
    const auto size = TRY(advance(listing, stored_name(info), report));
    // What LIST does not show, or shows with another size, is looked at by its name before it is
    // called damage.
    return size == info.length ? content(info) : one(info);
  }));
  TRY(count_rest(segments, report));
  return count_rest(maps, report);
}

}  // namespace s3crate::volume
