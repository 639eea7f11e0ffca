// SPDX-License-Identifier: GPL-3.0-or-later
// The map: a tree whose leaves hold runs, keyed by their first block.
//
// Runs do not overlap anywhere in the tree, so none reaches the first key of the next leaf: a leaf
// alone answers for every block from its first key to its upper bound. This is checked of each run
// that is looked at. Holes are not stored. Where runs that continue each other come to stand in one
// leaf as it is built, they are joined.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "volume/run_map.h"
#include "volume/tree_edit.h"

namespace s3crate::volume {
namespace {

using BlockKey = std::array<std::uint8_t, 8>;

BlockKey block_key(BlockIndex block) {
  BlockKey key;
  for (std::size_t i = 0; i < key.size(); ++i)
    key[i] = static_cast<std::uint8_t>(block.value >> (56 - 8 * i));
  return key;
}

// Of a bound: in the order of keys, also for one that is not eight bytes long, under which no leaf
// is accepted.
BlockIndex block_of(ByteView key) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = value << 8 | (i < key.size() ? key[i] : 0);
  return BlockIndex(value);
}

BlockIndex block_or_end(std::optional<ByteView> upper) {
  return upper ? block_of(*upper) : BlockIndex(~std::uint64_t{0});
}

Result<Run> run_at(std::span<const PageEntry> entries, std::size_t i,
                   std::optional<ByteView> upper) {
  Run run = TRY(decode_run(entries[i]));
  const BlockIndex limit =
      i + 1 < entries.size() ? block_of(entries[i + 1].key) : block_or_end(upper);
  if (run.hole || run.count == 0 || run.block > limit || run.count > limit - run.block) {
    return fail(Code::kCorrupt, "a run of {} blocks at block {} in the map that may not be there",
                run.count, run.block);
  }
  return run;
}

// Calls `each` with the stored runs that end behind `from` and begin before `to`, whole, until it
// answers false.
Result<> for_each_run(PageLoader& loader, const TreeRoot& root, BlockIndex from, BlockIndex to,
                      const std::function<bool(const Run&)>& each) {
  CHECK(root.tree == TreeId::map);
  const BlockKey from_key = block_key(from), to_key = block_key(to);
  const auto in_leaf = [&](const Page& page, const Place& place) -> Result<bool> {
    for (std::size_t i = floor_entry(page, from_key); i < page.entries.size(); ++i) {
      const Run run = TRY(run_at(page.entries, i, place.upper));
      if (run.block >= to) return false;
      if (run.end() > from && !each(run)) return false;
    }
    return true;
  };
  (void)TRY(for_each_leaf(loader, TRY(root_place(root)), from_key, to_key, in_leaf));
  return {};
}

// False: not in the cache, damaged, or not all hole.
bool surely_hole_below(PageLoader& loader, const Place& place, BlockIndex from, BlockIndex to) {
  const PagePtr page = loader.cached(place.page);
  if (page == nullptr || !check_page(*page, place)) return false;
  for (std::size_t i = floor_entry(*page, block_key(from)); i < page->entries.size(); ++i) {
    if (block_of(page->entries[i].key) >= to) break;
    if (place.level == 0) {
      const Result<Run> run = run_at(page->entries, i, place.upper);
      if (!run || run->end() > from) return false;
    } else {
      const Result<Place> child = child_place(place, *page, i);
      if (!child || !surely_hole_below(loader, *child, from, to)) return false;
    }
  }
  return true;
}

// Lays runs over runs. What is left of the changes begins with left_.front(), less its blocks below
// done_.
class RunEdit final : public TreeEdit {
 public:
  RunEdit(std::span<const Run> changes, std::vector<Run>* carried)
      : left_(changes), carried_(carried) {}

  bool touches(std::optional<ByteView> upper) const override {
    return !left_.empty() && (!upper || next_block() < block_of(*upper));
  }

  bool replaces(ByteView first_key, std::optional<ByteView> upper) const override {
    if (!upper) return false;
    const BlockIndex end = block_of(*upper);
    BlockIndex at = block_of(first_key);
    for (const Run& change : left_) {
      if (change.block > at || at >= end) break;
      at = std::max(at, change.end());
    }
    return at >= end;
  }

  Result<> apply(std::span<const PageEntry> entries, std::optional<ByteView> upper,
                 TreeBuilder& builder) override {
    const BlockIndex leaf_end = block_or_end(upper);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const Run run = TRY(run_at(entries, i, upper));
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

  bool carry(std::optional<ByteView> upper) override {
    if (carried_ == nullptr) return false;
    while (touches(upper)) carried_->push_back(take_next(block_or_end(upper)));
    return true;
  }

 private:
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
                             std::span<const Run> changes, std::vector<Run>* carried) {
  for (std::size_t i = 0; i < changes.size(); ++i) {
    CHECK(changes[i].count > 0 && (i == 0 || changes[i - 1].end() <= changes[i].block));
  }
  RunEdit edit(changes, carried);
  return edit_tree(loader, writer, TreeId::map, root, edit);
}

}  // namespace s3crate::volume
