// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/tree_read.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::volume {

std::strong_ordering compare(ByteView a, ByteView b) { return as_chars(a) <=> as_chars(b); }

Result<Place> root_place(const TreeRoot& root) {
  if (root.level > kTreeLevelMax) return fail(Code::kCorrupt, "a tree of {} levels", root.level);
  return Place{
      .tree = root.tree, .level = root.level, .page = root.page, .first_key = {}, .upper = {}};
}

Result<Place> child_place(const Place& parent, const Page& page, std::size_t child) {
  CHECK(parent.level > 0 && child < page.entries.size());
  const PageEntry& entry = page.entries[child];
  Place place{.tree = parent.tree,
              .level = static_cast<std::uint8_t>(parent.level - 1),
              .page = TRY(decode_page_ref(entry.value)),
              .first_key = entry.key,
              .upper = parent.upper};
  if (child + 1 < page.entries.size()) place.upper = page.entries[child + 1].key;
  return place;
}

Result<> check_page(const Page& page, const Place& place) {
  if (page.kind == PageKind::delta && page.tree != TreeId::map)
    return fail(Code::kUnsupported, "a delta page of tree {}: made by a newer version",
                static_cast<int>(page.tree));
  const bool kind_fits = place.level > 0 ? page.kind == PageKind::inner : page.kind != PageKind::inner;
  if (page.tree != place.tree || page.level != place.level || !kind_fits || page.entries.empty()) {
    return fail(Code::kCorrupt,
                "a page of tree {}, level {}, where one of tree {}, level {} should be",
                static_cast<int>(page.tree), page.level, static_cast<int>(place.tree), place.level);
  }
  if (place.first_key && !equal(page.first_key, *place.first_key)) {
    return fail(Code::kCorrupt, "a page does not begin where its parent says");
  }
  if (place.upper && compare(page.entries.back().key, *place.upper) >= 0) {
    return fail(Code::kCorrupt, "a page goes on where its parent says that the next one begins");
  }
  return {};
}

Result<PagePtr> load_page(PageLoader& loader, const Place& place) {
  PagePtr page = TRY(loader.load(place.page));
  TRY(check_page(*page, place));
  return page;
}

Result<PagePtr> load_base(PageLoader& loader, const Place& place, const Page& delta) {
  PagePtr base = TRY(loader.load(*delta.base));
  TRY(check_base(*base, place, delta));
  return base;
}

Result<> check_base(const Page& base, const Place& place, const Page& delta) {
  // It begins where the delta page does, or behind.
  TRY(check_page(base, {.tree = place.tree, .level = 0, .page = *delta.base, .first_key = {},
                        .upper = place.upper}));
  if (base.kind == PageKind::leaf && compare(base.first_key, delta.first_key) >= 0) return {};
  return fail(Code::kCorrupt, "a delta page amends a page that is not the leaf at its place");
}

std::size_t lower_bound(const Page& page, ByteView key) {
  const auto below = [key](const PageEntry& entry) { return compare(entry.key, key) < 0; };
  return static_cast<std::size_t>(std::ranges::partition_point(page.entries, below) -
                                  page.entries.begin());
}

std::size_t floor_entry(const Page& page, ByteView key) {
  const std::size_t at = lower_bound(page, key);
  if (at == 0 || (at < page.entries.size() && equal(page.entries[at].key, key))) return at;
  return at - 1;
}

namespace {

// Of n children from `first` on, those below `to`. Answers how many need not be looked at again.
std::size_t load_ahead(PageLoader& loader, const Place& place, const Page& page, std::size_t first, std::size_t n,
                       std::optional<ByteView> to) {
  std::vector<PageRef> wanted;
  for (std::size_t i = first; i < page.entries.size() && wanted.size() < n; ++i) {
    if (to && compare(page.entries[i].key, *to) >= 0) break;
    // What is wrong with one is heard of by who comes to it.
    const auto child = child_place(place, page, i);
    if (!child) break;
    wanted.push_back(child->page);
  }
  const bool all_there = std::ranges::all_of(wanted, [&](const PageRef& ref) { return loader.cached(ref) != nullptr; });
  return std::max<std::size_t>(1, all_there ? wanted.size() : loader.load_ahead(wanted));
}

}  // namespace

Result<bool> for_each_leaf(PageLoader& loader, const Place& place, ByteView from,
                           std::optional<ByteView> to,
                           const std::function<Result<bool>(const Page&, const Place&)>& each) {
  const PagePtr page = TRY(load_page(loader, place));
  if (place.level == 0) return each(*page, place);
  // Who goes on has twice as many leaves loaded ahead each time.
  std::size_t i = floor_entry(*page, from), looked = i + 1, window = 1;
  for (; i < page->entries.size(); ++i) {
    if (to && compare(page->entries[i].key, *to) >= 0) break;
    if (place.level == 1 && i == looked) {
      window = std::min(2 * window, PageLoader::kAheadMax);
      looked = i + load_ahead(loader, place, *page, i, window, to);
    }
    const Place child = TRY(child_place(place, *page, i));
    if (!TRY(for_each_leaf(loader, child, from, to, each))) return false;
  }
  return true;
}

}  // namespace s3crate::volume
