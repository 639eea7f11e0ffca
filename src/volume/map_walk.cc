// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/map_walk.h"

#include <algorithm>

#include "volume/map_leaf.h"

namespace s3crate::volume {
namespace {

class Walk {
 public:
  Walk(PageLoader& loader, BlockIndex from, BlockIndex to,
       const std::function<void(const Run&)>& run,
       const std::function<void(BlockIndex, BlockIndex, const Error&)>& bad)
      : loader_(loader), from_(from), to_(to), run_(run), bad_(bad) {}

  Result<> page(const Place& place) {
    const auto loaded = load_page(loader_, place);
    const BlockIndex first = place.first_key ? block_of(*place.first_key) : BlockIndex(0);
    if (!loaded) return lose(first, block_or_end(place.upper), loaded.error());
    const Page& page = **loaded;
    if (place.level == 0) return leaf(page, place);
    for (std::size_t i = floor_entry(page, block_key(from_)); i < page.entries.size(); ++i) {
      const BlockIndex begin = block_of(page.entries[i].key);
      if (begin >= to_) break;
      const auto child = child_place(place, page, i);
      if (child) {
        TRY(this->page(*child));
        continue;
      }
      const bool last = i + 1 == page.entries.size();
      TRY(lose(begin, last ? block_or_end(place.upper) : block_of(page.entries[i + 1].key),
               child.error()));
    }
    return {};
  }

 private:
  Result<> lose(BlockIndex from, BlockIndex to, const Error& error) {
    if (!is_damage(error)) return fail(error);
    from = std::max(from, from_);
    to = std::min(to, to_);
    if (from < to) bad_(from, to, error);
    return {};
  }

  void take(const Run& run) {
    if (run.hole || run.end() <= from_ || run.block >= to_) return;
    run_(clip(run, std::max(run.block, from_), std::min(run.end(), to_)));
  }

  // What a delta page says stands, whatever became of its base.
  Result<> leaf(const Page& page, const Place& place) {
    std::vector<Run> found;
    const auto base = [&] { return load_base(loader_, place, page); };
    const auto all = for_each_run_in(page, place, from_, to_, base, [&](const Run& run) {
      found.push_back(run);
      return true;
    });
    if (all) {
      for (const Run& run : found) take(run);
      return {};
    }
    const BlockIndex first = block_of(page.first_key), end = block_or_end(place.upper);
    RunMap amended;
    for (std::size_t i = 0; page.base && i < page.entries.size(); ++i)
      if (const auto run = run_at(page.entries, i, place.upper, page.kind)) amended.put(*run);
    Result<> done;
    amended.tile(first, end, [&](const Run& run) { take(run); },
                 [&](BlockIndex a, BlockIndex b) {
                   if (done) done = lose(a, b, all.error());
                 });
    return done;
  }

  PageLoader& loader_;
  const BlockIndex from_, to_;
  const std::function<void(const Run&)>& run_;
  const std::function<void(BlockIndex, BlockIndex, const Error&)>& bad_;
};

}  // namespace

Result<> map_walk(PageLoader& loader, const MaybeRoot& root, BlockIndex from, BlockIndex to,
                  const std::function<void(const Run&)>& run,
                  const std::function<void(BlockIndex, BlockIndex, const Error&)>& bad) {
  if (!root || from >= to) return {};
  return Walk(loader, from, to, run, bad).page(TRY(root_place(*root)));
}

}  // namespace s3crate::volume
