// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/tree_edit.h"

#include "base/check.h"

namespace s3crate::volume {
namespace {

// The depth is that of the tree: at most kTreeLevelMax.
Result<> edit_page(PageLoader& loader, const Place& place, TreeEdit& edit, TreeBuilder& builder) {
  const auto loaded = load_page(loader, place);
  const bool lost = is(loaded, Code::kCorrupt) || is(loaded, Code::kNotFound);
  if (lost && edit.carry(place.upper)) {
    return builder.keep(place.level, place.first_key.value_or(ByteView()), place.page);
  }
  const PagePtr page = TRY(loaded);
  builder.page_begins(place, page);
  if (place.level == 0) TRY(edit.apply(page->entries, place.upper, builder));
  for (std::size_t i = 0; place.level > 0 && i < page->entries.size(); ++i) {
    const Place child = TRY(child_place(place, *page, i));
    if (!edit.touches(child.upper)) {
      TRY(builder.keep(child.level, *child.first_key, child.page));
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
