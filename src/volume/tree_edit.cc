// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/tree_edit.h"

#include "base/check.h"
#include "volume/map_leaf.h"

namespace s3crate::volume {
namespace {

bool is_lost(const Result<PagePtr>& page) {
  return is(page, Code::kCorrupt) || is(page, Code::kNotFound);
}

Result<> keep(const Place& place, TreeBuilder& builder) {
  return builder.keep(place.level, place.first_key.value_or(ByteView()), place.page);
}

// What a delta page makes of its base becomes a leaf, or leaves.
Result<> fold(PageLoader& loader, const Place& place, const Page& delta, TreeEdit& edit,
              TreeBuilder& builder) {
  const auto loaded = load_base(loader, place, delta);
  if (is_lost(loaded) && edit.carry(place.upper)) return keep(place, builder);
  const PagePtr base = TRY(loaded);
  std::vector<PageEntry> entries;
  const auto add = [&entries](const Run& run) {
    entries.push_back(encode_run(run));
    return true;
  };
  (void)TRY(for_each_run_in(delta, place, BlockIndex(0), block_or_end(std::nullopt),
                            [&]() -> Result<PagePtr> { return base; }, add));
  return edit.apply(entries, place.upper, builder);
}

// The depth is that of the tree: at most kTreeLevelMax.
Result<> edit_page(PageLoader& loader, const Place& place, TreeEdit& edit, TreeBuilder& builder) {
  const auto loaded = load_page(loader, place);
  if (is_lost(loaded) && edit.carry(place.upper)) return keep(place, builder);
  const PagePtr page = TRY(loaded);
  if (place.level == 0 && TRY(edit.amend(place, page, builder))) return {};
  if (page->kind == PageKind::delta) return fold(loader, place, *page, edit, builder);
  builder.page_begins(place, page);
  if (place.level == 0) TRY(edit.apply(page->entries, place.upper, builder));
  for (std::size_t i = 0; place.level > 0 && i < page->entries.size(); ++i) {
    const Place child = TRY(child_place(place, *page, i));
    if (!edit.touches(child.upper)) {
      TRY(keep(child, builder));
    } else if (edit.replaces(*child.first_key, child.upper)) {
      TRY(edit.apply({}, child.upper, builder));
    } else {
      TRY(edit_page(loader, child, edit, builder));
    }
  }
  return builder.page_ends(place.level);
}

}  // namespace

Result<MaybeRoot> edit_tree(PageLoader& loader, PageWriter& writer, TreeId tree,
                            const MaybeRoot& root, TreeEdit& edit) {
  CHECK(!root || root->tree == tree);
  if (!edit.touches(std::nullopt)) return root;
  TreeBuilder builder(writer, tree);
  if (root) {
    TRY(edit_page(loader, TRY(root_place(*root)), edit, builder));
  } else {
    TRY(edit.apply({}, std::nullopt, builder));
  }
  return builder.finish();
}

}  // namespace s3crate::volume
