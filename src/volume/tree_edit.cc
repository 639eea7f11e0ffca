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

// One pass.
class Pass {
 public:
  Pass(PageLoader& loader, const PageWriter& writer, TreeEdit& edit, TreeBuilder& builder,
       Ledger& ledger)
      : loader_(loader), writer_(writer), edit_(edit), builder_(builder), ledger_(ledger) {}

  // The depth is that of the tree: at most kTreeLevelMax.
  Result<> page(const Place& place) {
    const auto loaded = load_page(loader_, place);
    if (is_lost(loaded) && edit_.carry(place.upper)) return keep(place, builder_);
    const PagePtr page = TRY(loaded);
    if (place.level == 0 && TRY(edit_.amend(place, page, builder_))) {
      if (page->base) forget(place.page, *page);
      return {};
    }
    if (page->base) return fold(place, *page);
    builder_.page_begins(place, page);
    if (place.level == 0) {
      edit_.forget(*page);
      TRY(edit_.apply(page->entries, place.upper, builder_));
    } else {
      TRY(children(place, *page));
    }
    if (!TRY(builder_.page_ends(place.level))) ledger_.forget_page(place.page);
    return {};
  }

 private:
  Result<> children(const Place& place, const Page& page) {
    std::size_t looked = 0;  // ahead, up to there
    for (std::size_t i = 0; i < page.entries.size(); ++i) {
      const Place child = TRY(child_place(place, page, i));
      if (i >= looked && edit_.touches(child.upper)) looked = TRY(load_ahead(place, page, i));
      if (!edit_.touches(child.upper)) {
        TRY(keep(child, builder_));
      } else if (edit_.replaces(*child.first_key, child.upper)) {
        ledger_.drop({.level = place.level, .page = place.page, .from = page.entries[i].key,
                      .to = i + 1 < page.entries.size() ? page.entries[i + 1].key : Bytes()});
        TRY(edit_.apply({}, child.upper, builder_));
      } else {
        TRY(this->page(child));
      }
    }
    return {};
  }

  // Of the children from `at` on, some that will be read. Answers which one to go on with.
  Result<std::size_t> load_ahead(const Place& place, const Page& page, std::size_t at) {
    TRY(writer_.go_on());
    std::vector<PageRef> wanted;
    std::vector<std::size_t> children;
    for (; at < page.entries.size() && wanted.size() < PageLoader::kAheadMax; ++at) {
      const Place child = TRY(child_place(place, page, at));
      if (!edit_.will_read(*child.first_key, child.upper) || loader_.cached(child.page) != nullptr)
        continue;
      wanted.push_back(child.page);
      children.push_back(at);
    }
    const std::size_t loaded = loader_.load_ahead(wanted);
    if (loaded == wanted.size()) return at;
    return loaded == 0 ? page.entries.size() : children[loaded];  // with no room for one: never mind
  }

  // What a delta page makes of its base becomes a leaf, or leaves.
  Result<> fold(const Place& place, const Page& delta) {
    const auto loaded = load_base(loader_, place, delta);
    if (is_lost(loaded) && edit_.carry(place.upper)) return keep(place, builder_);
    const PagePtr base = TRY(loaded);
    std::vector<PageEntry> entries;
    const auto add = [&entries](const Run& run) {
      entries.push_back(encode_run(run));
      return true;
    };
    (void)TRY(for_each_run_in(delta, place, BlockIndex(0), block_or_end(std::nullopt),
                              [&]() -> Result<PagePtr> { return base; }, add));
    forget(place.page, delta);
    forget(*delta.base, *base);
    return edit_.apply(entries, place.upper, builder_);
  }

  void forget(const PageRef& ref, const Page& page) {
    edit_.forget(page);
    ledger_.forget_page(ref);
  }

  PageLoader& loader_;
  const PageWriter& writer_;
  TreeEdit& edit_;
  TreeBuilder& builder_;
  Ledger& ledger_;
};

}  // namespace

Result<MaybeRoot> edit_tree(PageLoader& loader, PageWriter& writer, TreeId tree,
                            const MaybeRoot& root, TreeEdit& edit, Ledger& ledger) {
  CHECK(!root || root->tree == tree);
  if (!edit.touches(std::nullopt)) return root;
  TreeBuilder builder(writer, tree);
  if (root) {
    TRY(Pass(loader, writer, edit, builder, ledger).page(TRY(root_place(*root))));
  } else {
    TRY(edit.apply({}, std::nullopt, builder));
  }
  return builder.finish();
}

}  // namespace s3crate::volume
