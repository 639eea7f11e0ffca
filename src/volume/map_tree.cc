// SPDX-License-Identifier: GPL-3.0-or-later
// The map: a tree whose leaves hold runs, keyed by their first block.
//
// Runs do not overlap anywhere in the tree, so none reaches the first key of the next leaf: a leaf
// alone answers for every block from its first key to its upper bound. This is checked of each run
// that is looked at. Holes are not stored. Where runs that continue each other come to stand in one
// leaf as it is built, they are joined. A few changes to a big leaf become a delta page over it.
#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "volume/map_leaf.h"
#include "volume/tree_edit.h"

namespace s3crate::volume {
namespace {

// Calls `each` with the stored runs that end behind `from` and begin before `to`, until it answers
// false.
Result<> for_each_run(PageLoader& loader, const TreeRoot& root, BlockIndex from, BlockIndex to,
                      const std::function<bool(const Run&)>& each) {
  CHECK(root.tree == TreeId::map);
  const BlockKey from_key = block_key(from), to_key = block_key(to);
  const auto in_leaf = [&](const Page& page, const Place& place) -> Result<bool> {
    return for_each_run_in(
        page, place, from, to, [&] { return load_base(loader, place, page); }, each);
  };
  (void)TRY(for_each_leaf(loader, TRY(root_place(root)), from_key, to_key, in_leaf));
  return {};
}

// False: not in the cache, damaged, or not all hole.
bool surely_hole_below(PageLoader& loader, const Place& place, BlockIndex from, BlockIndex to) {
  const PagePtr page = loader.cached(place.page);
  if (page == nullptr || !check_page(*page, place)) return false;
  if (place.level == 0) {
    const auto cached_base = [&]() -> Result<PagePtr> {
      PagePtr base = loader.cached(*page->base);
      if (base == nullptr) return fail(Code::kNotFound, "not in the cache");
      TRY(check_base(*base, place, *page));
      return base;
    };
    return for_each_run_in(*page, place, from, to, cached_base, [](const Run&) { return false; })
        .value_or(false);
  }
  for (std::size_t i = floor_entry(*page, block_key(from)); i < page->entries.size(); ++i) {
    if (block_of(page->entries[i].key) >= to) break;
    const Result<Place> child = child_place(place, *page, i);
    if (!child || !surely_hole_below(loader, *child, from, to)) return false;
  }
  return true;
}

// Lays runs over runs. What is left of the changes begins with left_.front(), less its blocks below
// done_.
class RunEdit final : public TreeEdit {
 public:
  RunEdit(std::span<const Run> changes, std::vector<Run>* carried, Ledger& ledger)
      : left_(changes), carried_(carried), ledger_(ledger) {}

  bool touches(std::optional<ByteView> upper) const override {
    return !left_.empty() && (!upper || next_block() < block_of(*upper));
  }

  bool will_read(ByteView first_key, std::optional<ByteView> upper) const override {
    const BlockIndex from = block_of(first_key), end = block_or_end(upper);
    const auto next = std::ranges::partition_point(
        left_, [&](const Run& change) { return change.end() <= from; });
    if (next == left_.end() || next->block >= end) return false;
    return !upper || !covers({next, left_.end()}, from, end);
  }

  bool replaces(ByteView first_key, std::optional<ByteView> upper) const override {
    return upper && covers(left_, block_of(first_key), block_of(*upper));
  }

  Result<> apply(std::span<const PageEntry> entries, std::optional<ByteView> upper,
                 TreeBuilder& builder) override {
    const BlockIndex leaf_end = block_or_end(upper);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const Run run = TRY(run_at(entries, i, upper, PageKind::leaf));
      BlockIndex at = std::max(run.block, done_);
      while (!left_.empty() && next_block() < run.end()) {
        if (next_block() > at) TRY(add(clip(run, at, next_block()), builder));
        TRY(add_next(leaf_end, builder));
        at = std::max(at, done_);
      }
      if (at < run.end()) TRY(add(clip(run, at, run.end()), builder));
    }
    while (touches(upper)) TRY(add_next(leaf_end, builder));
    return {};
  }

  void forget(const Page& page) override { ledger_.forget_runs(page); }

  Result<bool> amend(const Place& place, const PagePtr& page, TreeBuilder& builder) override {
    const auto before = std::pair(left_, done_);
    const PageRef& base = page->base ? *page->base : place.page;
    RunMap over;
    for (std::size_t i = 0; page->base && i < page->entries.size(); ++i)
      over.put(TRY(run_at(page->entries, i, place.upper, page->kind)));
    std::uint64_t new_bytes = 0;
    while (touches(place.upper) && is_delta_worth(new_bytes, new_bytes, base.length)) {
      const Run change = take_next(block_or_end(place.upper));
      if (!page->base && TRY(says(*page, place, change))) continue;
      new_bytes += bytes_of(encode_run(change));
      over.put(change);
    }
    if (over.empty() && !touches(place.upper)) {
      TRY(builder.keep(0, page->first_key, place.page));
      return true;
    }
    Page delta{.kind = PageKind::delta, .tree = TreeId::map, .level = 0, .first_key = page->first_key,
               .base = base, .entries = {}, .extensions = {}};
    std::uint64_t bytes = 0;
    for (const Run& run : over.runs()) {
      delta.entries.push_back(encode_run(run));
      bytes += bytes_of(delta.entries.back());
    }
    if (touches(place.upper) || !is_delta_worth(bytes, new_bytes, base.length)) {
      std::tie(left_, done_) = before;
      return false;
    }
    if (compare(delta.entries.front().key, delta.first_key) < 0)
      delta.first_key = delta.entries.front().key;
    for (const Run& run : over.runs()) ledger_.add(run);
    TRY(builder.amend(std::move(delta)));
    return true;
  }

  bool carry(std::optional<ByteView> upper) override {
    if (carried_ == nullptr) return false;
    while (touches(upper)) carried_->push_back(take_next(block_or_end(upper)));
    return true;
  }

 private:
  static bool covers(std::span<const Run> changes, BlockIndex at, BlockIndex end) {
    for (const Run& change : changes) {
      if (change.block > at || at >= end) break;
      at = std::max(at, change.end());
    }
    return at >= end;
  }

  static std::size_t bytes_of(const PageEntry& entry) {
    return encoded_entry_bound(entry.key, entry.value);
  }

  // Whether a leaf holds just that already.
  static Result<bool> says(const Page& leaf, const Place& place, const Run& change) {
    BlockIndex at = change.block;
    bool same = true;
    (void)TRY(for_each_run_in(leaf, place, change.block, change.end(), {}, [&](const Run& run) {
      const Run part = clip(run, change.block, change.end());
      same = !change.hole && part == clip(change, part.block, part.end()) && part.block == at;
      at = part.end();
      return same;
    }));
    return same && (change.hole || at == change.end());
  }

  BlockIndex next_block() const { return std::max(left_.front().block, done_); }

  // The next change, up to `end`: what is beyond waits for the next leaf.
  Run take_next(BlockIndex end) {
    const Run change = clip(left_.front(), next_block(), end);
    done_ = change.end();
    if (done_ == left_.front().end()) left_ = left_.subspan(1);
    return change;
  }

  Result<> add_next(BlockIndex end, TreeBuilder& builder) {
    const Run change = take_next(end);
    if (change.hole) return {};
    return add(change, builder);
  }

  Result<> add(const Run& run, TreeBuilder& builder) {
    ledger_.add(run);
    const PageEntry* last = builder.last();
    if (last != nullptr && equal(last->key, block_key(last_.block)) && joins(last_, run)) {
      last_.count += run.count;
      builder.replace_last(encode_run(last_));
      return {};
    }
    last_ = run;
    return builder.add(encode_run(run));
  }

  std::span<const Run> left_;
  std::vector<Run>* carried_;
  Ledger& ledger_;
  BlockIndex done_;
  Run last_;  // the one added last
};

}  // namespace

Result<> map_lookup(PageLoader& loader, const MaybeRoot& root, BlockIndex from, BlockIndex to,
                    const std::function<void(const Run&)>& each) {
  if (from >= to) return {};
  BlockIndex at = from;
  const auto hole_up_to = [&](BlockIndex end) {
    if (at < end) each({.block = at, .count = end - at, .hole = true, .first = 0, .extent = {}});
  };
  const auto visit = [&](const Run& run) {
    hole_up_to(run.block);
    const Run part = clip(run, std::max(run.block, at), to);
    each(part);
    at = part.end();
    return at < to;
  };
  if (root) TRY(for_each_run(loader, *root, from, to, visit));
  hole_up_to(to);
  return {};
}

bool map_surely_hole(PageLoader& loader, const MaybeRoot& root, BlockIndex from, BlockIndex to) {
  if (!root || from >= to) return true;
  CHECK(root->tree == TreeId::map);
  const Result<Place> place = root_place(*root);
  return place && surely_hole_below(loader, *place, from, to);
}

Result<BlockIndex> map_seek(PageLoader& loader, const MaybeRoot& root, BlockIndex from,
                            BlockIndex to, bool hole) {
  BlockIndex at = hole ? from : to;  // where the answer is if there are no more runs
  const auto visit = [&](const Run& run) {
    if (!hole) at = std::max(run.block, from);
    if (!hole || run.block > at) return false;
    at = run.end();
    return at < to;
  };
  if (root && from < to) TRY(for_each_run(loader, *root, from, to, visit));
  return std::min(at, to);
}

Result<MaybeRoot> map_update(PageLoader& loader, PageWriter& writer, const MaybeRoot& root,
                             std::span<const Run> changes, Ledger& ledger,
                             std::vector<Run>* carried) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CHECK(changes[i].count > 0 && (i == 0 || changes[i - 1].end() <= changes[i].block));
  }
  RunEdit edit(changes, carried, ledger);
  return edit_tree(loader, writer, TreeId::map, root, edit, ledger);
}

}  // namespace s3crate::volume
