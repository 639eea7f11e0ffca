// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/tree_whole.h"

#include <algorithm>

#include "volume/map_leaf.h"

namespace s3crate::volume {
namespace {

class Walk {
 public:
  Walk(PageLoader& loader, const std::function<bool()>& each) : loader_(loader), each_(each) {}

  Result<> page(const Place& place) {
    if (!each_()) return fail(Code::kCancelled, "no more pages are wanted");
    const PagePtr page = TRY(load_page(loader_, place));
    if (place.level == 0) return place.tree == TreeId::map ? runs(*page, place) : Result<>();
    std::size_t looked = 0;
    for (std::size_t i = 0; i < page->entries.size(); ++i) {
      if (place.level == 1 && i >= looked) looked = i + TRY(load_ahead(*page, i));
      TRY(this->page(TRY(child_place(place, *page, i))));
    }
    return {};
  }

 private:
  // Leaves side by side, from the i-th child on.
  Result<std::size_t> load_ahead(const Page& page, std::size_t i) {
    std::vector<PageRef> leaves;
    for (; i < page.entries.size() && leaves.size() < PageLoader::kAheadMax; ++i)
      leaves.push_back(TRY(decode_page_ref(page.entries[i].value)));
    return std::max<std::size_t>(1, loader_.load_ahead(leaves));
  }

  Result<> runs(const Page& page, const Place& place) {
    const auto base = [&] { return load_base(loader_, place, page); };
    if (page.base) TRY(base());  // also where the delta page says all that is asked for
    TRY(for_each_run_in(page, place, BlockIndex(0), block_or_end({}), base, [](const Run&) { return true; }));
    return {};
  }

  PageLoader& loader_;
  const std::function<bool()>& each_;
};

}  // namespace

Result<> tree_whole(PageLoader& loader, const MaybeRoot& root, const std::function<bool()>& each) {
  if (!root) return {};
  return Walk(loader, each).page(TRY(root_place(*root)));
}

}  // namespace s3crate::volume
