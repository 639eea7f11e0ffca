// SPDX-License-Identifier: GPL-3.0-or-later
// The way down a tree, with all that a page must be at the place where its parent says that it is.
// A hash says that a page is one of ours; these checks say that it is this one:
//
// - it is of this tree and exactly one level below its parent, leaves and (in the map) delta pages at
// level 0; no page is empty;
// - its first key is its parent's key for it, and all its keys are below the parent's next key (the
// upper bound).
//
// A key below the first one of an inner page belongs to the first child: it is not there now, and
// would go there.
#pragma once

#include "volume/tree.h"

namespace s3crate::volume {

// Where a page stands. The views are into the parents, which whoever descends holds.
struct Place {
  TreeId tree = TreeId::map;
  std::uint8_t level = 0;
  PageRef page;
  std::optional<ByteView> first_key;  // nullopt: the root
  std::optional<ByteView> upper;      // no key reaches it; nullopt: no bound
};

[[nodiscard]] Result<Place> root_place(const TreeRoot& root);
[[nodiscard]] Result<Place> child_place(const Place& parent, const Page& page, std::size_t child);
[[nodiscard]] Result<PagePtr> load_page(PageLoader& loader, const Place& place);
[[nodiscard]] Result<> check_page(const Page& page, const Place& place);
// The leaf that a delta page amends. `place` is the delta page's.
[[nodiscard]] Result<PagePtr> load_base(PageLoader& loader, const Place& place, const Page& delta);
[[nodiscard]] Result<> check_base(const Page& base, const Place& place, const Page& delta);

// The first entry that is not below `key`; their number if there is none.
[[nodiscard]] std::size_t lower_bound(const Page& page, ByteView key);
// The entry that is, or whose subtree holds, the greatest key not above `key`; the first one if
// there is none.
[[nodiscard]] std::size_t floor_entry(const Page& page, ByteView key);
[[nodiscard]] std::strong_ordering compare(ByteView a, ByteView b);

// The leaves, or delta pages in their place, that may hold keys in [from, to), and the one that may hold the last key before
// `from`, in order, until `each` answers false. Answers false then. From the second on leaves are loaded ahead, some at a time.
// Memory: one page a level, beside the loader's.
[[nodiscard]] Result<bool> for_each_leaf(
    PageLoader& loader, const Place& place, ByteView from, std::optional<ByteView> to,
    const std::function<Result<bool>(const Page&, const Place&)>& each);

}  // namespace s3crate::volume
