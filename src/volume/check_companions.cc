// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/check_companions.h"

#include <unordered_map>

#include "segment/object_names.h"
#include "volume/map_leaf.h"

namespace s3crate::volume {
namespace {

struct KeyHash {
  std::size_t operator()(const ObjectKey& key) const {
    return std::hash<std::uint64_t>()(key.id.value * 31 + key.origin);
  }
};

class Recount {
 public:
  Recount(PageLoader& pages, Findings& findings) : pages_(pages), findings_(findings) {}

  Result<> tree(const MaybeRoot& root) {
    if (!root) return {};
    return page(TRY(root_place(*root)));
  }
  // How often the trees refer to it.
  std::int64_t of(const ObjectKey& key) const {
    const auto found = counts_.find(key);
    return found == counts_.end() ? 0 : found->second;
  }
  bool overflowed() const { return counts_.size() > kRecountedMax; }

 private:
  Result<> page(const Place& place) {
    if (overflowed()) return {};
    TRY(findings_.tick());
    const auto loaded = load_page(pages_, place);
    if (!loaded) return is_passing(loaded.error().code()) ? fail(loaded.error()) : Result<>();
    const PagePtr page = *loaded;
    counts_[place.page.object]++;
    runs(*page);
    if (page->base) {
      counts_[page->base->object]++;
      const auto base = load_base(pages_, place, *page);
      if (!base && is_passing(base.error().code())) return fail(base.error());
      if (base) runs(**base);
    }
    for (std::size_t i = 0; place.level > 0 && i < page->entries.size(); ++i)
      TRY(this->page(TRY(child_place(place, *page, i))));
    return {};
  }

  void runs(const Page& page) {
    if (page.tree != TreeId::map || page.kind == PageKind::inner) return;
    for (const PageEntry& entry : page.entries) {
      const auto run = decode_run(entry);
      if (run && !run->hole) counts_[run->extent.object] += static_cast<std::int64_t>(run->count);
    }
  }

  PageLoader& pages_;
  Findings& findings_;
  std::unordered_map<ObjectKey, std::int64_t, KeyHash> counts_;
};

}  // namespace

Result<> check_companions(Volume& volume, const View& view, Findings& findings) {
  Recount recount(volume.pages(), findings);
  const Companions& companions = view.companions;
  for (const MaybeRoot* root : {&view.map, &companions.objects, &companions.liveness,
                                &companions.dead, &companions.catalogue, &companions.tags})
    TRY(recount.tree(*root));
  if (recount.overflowed()) return {};
  const auto each = [&](const Page& page, const Place& place) -> Result<> {
    for (const PageEntry& entry : page.entries) {
      const auto row = decode_liveness(entry);
      if (!row) {
        findings.add(segment::object_name(segment::ObjectKind::map, place.page.object.id, place.page.nonce),
                     {}, row.error().message());
        continue;
      }
      const auto& [key, liveness] = *row;
      const auto late = companions.late.net().find(key);
      // What the checkpoint left to be noted is still counted in the row.
      const std::int64_t used =
          recount.of(key) - (late == companions.late.net().end() ? 0 : late->second);
      const auto counted = static_cast<std::int64_t>(liveness.live);
      if (used <= counted && (liveness.died == Generation(0) || used <= 0)) continue;
      const std::string name = fmt::format("object {:016x}", key.id.value);
      findings.add(name, {}, fmt::format("{} counts as used {} times, yet the trees refer to it {} times: "
                                         "pruning would delete what is needed", name, counted, used));
    }
    return {};
  };
  const auto bad = [](const Place&, ByteView, const Error&) { return Result<>(); };
  std::uint64_t pages = 0;
  return walk_tree(volume.pages(), companions.liveness, pages, each, bad);
}

}  // namespace s3crate::volume
