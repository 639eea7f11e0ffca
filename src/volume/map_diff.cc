// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/map_diff.h"

#include <algorithm>

#include "base/check.h"
#include "volume/map_leaf.h"

namespace s3crate::volume {
namespace {

// A way through a tree from left to right, that goes down only where it is told to.
class Cursor {
 public:
  static Result<Cursor> at_root(const MaybeRoot& root) {
    Cursor out;
    if (root) out.frames_.push_back({TRY(root_place(*root)), nullptr, 0, 0});
    return out;
  }

  [[nodiscard]] bool done() const { return frames_.empty(); }
  [[nodiscard]] const Place& place() const { return frames_.back().place; }
  [[nodiscard]] int level() const { return done() ? -1 : place().level; }
  [[nodiscard]] BlockIndex end() const {
    return done() ? BlockIndex(~std::uint64_t{0}) : block_or_end(place().upper);
  }

  // To the child that answers for `at`.
  Result<> descend(PageLoader& loader, BlockIndex at) {
    Frame& top = frames_.back();
    CHECK(top.place.level > 0);
    top.page = TRY(load_page(loader, top.place));
    top.child = top.ahead = floor_entry(*top.page, block_key(at));
    return enter_child();
  }

  Result<> skip() {
    for (frames_.pop_back(); !frames_.empty(); frames_.pop_back())
      if (++frames_.back().child < frames_.back().page->entries.size()) return enter_child();
    return {};
  }

  // Leaves from here on that `other` does not have beside it, not told of before.
  std::vector<PageRef> leaves_ahead(const Cursor& other) {
    std::vector<PageRef> out;
    if (frames_.size() < 2) return out;
    Frame& parent = frames_[frames_.size() - 2];
    if (parent.place.level != 1 || parent.child < parent.ahead) return out;
    parent.ahead = parent.child;
    const auto& entries = parent.page->entries;
    for (; parent.ahead < entries.size() && out.size() < PageLoader::kAheadMax; ++parent.ahead) {
      const PageEntry& entry = entries[parent.ahead];
      if (other.has_sibling(entry.value)) continue;
      if (auto ref = decode_page_ref(entry.value)) out.push_back(*ref);
    }
    return out;
  }

 private:
  struct Frame {
    Place place;
    PagePtr page;  // of one that was gone down from
    std::size_t child = 0;
    std::size_t ahead = 0;  // children up to here were told of
  };

  Result<> enter_child() {
    const Frame& top = frames_.back();
    frames_.push_back({TRY(child_place(top.place, *top.page, top.child)), nullptr, 0, 0});
    return {};
  }

  [[nodiscard]] bool has_sibling(ByteView ref) const {
    if (frames_.size() < 2) return false;
    const auto& entries = frames_[frames_.size() - 2].page->entries;
    return std::ranges::any_of(entries, [&](const PageEntry& e) { return equal(e.value, ref); });
  }

  std::vector<Frame> frames_;
};

class Diff {
 public:
  Diff(PageLoader& loader, const View& a, const View& b,
       const std::function<Result<>(BlockIndex, BlockIndex)>& changed)
      : loader_(loader), a_(a), b_(b), changed_(changed) {}

  Result<> run(BlockIndex end) {
    Result<> done;
    const auto go_on = [&](auto&& step) {
      if (done) done = step();
    };
    a_.changes.tile(
        BlockIndex(0), end,
        [&](const Run& in_a) {
          b_.changes.tile(
              in_a.block, in_a.end(),
              [&](const Run& in_b) { go_on([&] { return runs(clip(in_a, in_b.block, in_b.end()), in_b); }); },
              [&](BlockIndex from, BlockIndex to) {
                go_on([&] { return run_and_tree(clip(in_a, from, to), b_.map); });
              });
        },
        [&](BlockIndex from, BlockIndex to) {
          b_.changes.tile(
              from, to, [&](const Run& in_b) { go_on([&] { return run_and_tree(in_b, a_.map); }); },
              [&](BlockIndex p, BlockIndex q) { go_on([&] { return trees(p, q); }); });
        });
    TRY(done);
    return flush();
  }

 private:
  static bool same(const Run& a, const Run& b) {
    if (a.hole || b.hole) return a.hole == b.hole;
    return a.extent == b.extent && a.block.value - a.first == b.block.value - b.first;
  }

  // Of the same blocks.
  Result<> runs(const Run& a, const Run& b) { return same(a, b) ? Result<>() : emit(a.block, a.end()); }

  Result<> run_and_tree(const Run& run, const MaybeRoot& root) {
    Result<> done;
    TRY(map_lookup(loader_, root, run.block, run.end(), [&](const Run& other) {
      if (done) done = runs(other, clip(run, other.block, other.end()));
    }));
    return done;
  }

  Result<> trees(BlockIndex at, BlockIndex to) {
    if (a_.map == b_.map || (a_.map && b_.map && a_.map->page == b_.map->page)) return {};
    Cursor a = TRY(Cursor::at_root(a_.map)), b = TRY(Cursor::at_root(b_.map));
    while (at < to && !(a.done() && b.done())) {
      const bool shared = !a.done() && !b.done() && a.place().page == b.place().page;
      if (!shared && std::max(a.level(), b.level()) > 0) {
        const int level_a = a.level(), level_b = b.level();
        if (level_a >= level_b) TRY(a.descend(loader_, at));
        if (level_b >= level_a) TRY(b.descend(loader_, at));
        continue;
      }
      const BlockIndex end = std::min({a.end(), b.end(), to});
      if (!shared) TRY(leaves(a, b, at, end));
      at = end;
      while (!a.done() && a.end() <= at) TRY(a.skip());
      while (!b.done() && b.end() <= at) TRY(b.skip());
    }
    return {};
  }

  Result<> leaves(Cursor& a, Cursor& b, BlockIndex from, BlockIndex to) {
    if (const auto ahead = a.leaves_ahead(b); ahead.size() > 1) (void)loader_.load_ahead(ahead);
    if (const auto ahead = b.leaves_ahead(a); ahead.size() > 1) (void)loader_.load_ahead(ahead);
    const std::vector<Run> in_a = TRY(runs_of(a, from, to)), in_b = TRY(runs_of(b, from, to));
    // Both tile [from, to).
    for (std::size_t i = 0, j = 0; i < in_a.size() && j < in_b.size();) {
      const BlockIndex begin = std::max(in_a[i].block, in_b[j].block);
      const BlockIndex end = std::min(in_a[i].end(), in_b[j].end());
      TRY(runs(clip(in_a[i], begin, end), clip(in_b[j], begin, end)));
      if (in_a[i].end() == end) {
        if (in_b[j].end() == end) ++j;
        ++i;
      } else {
        ++j;
      }
    }
    return {};
  }

  Result<std::vector<Run>> runs_of(const Cursor& cursor, BlockIndex from, BlockIndex to) {
    std::vector<Run> out;
    BlockIndex at = from;
    const auto hole_up_to = [&](BlockIndex end) {
      if (at < end)
        out.push_back({.block = at, .count = end - at, .hole = true, .first = 0, .extent = {}});
      at = std::max(at, end);
    };
    if (!cursor.done()) {
      const Place& place = cursor.place();
      const PagePtr page = TRY(load_page(loader_, place));
      const auto base = [&] { return load_base(loader_, place, *page); };
      (void)TRY(for_each_run_in(*page, place, from, to, base, [&](const Run& run) {
        const Run part = clip(run, std::max(run.block, from), std::min(run.end(), to));
        hole_up_to(part.block);
        out.push_back(part);
        at = part.end();
        return true;
      }));
    }
    hole_up_to(to);
    return out;
  }

  Result<> emit(BlockIndex from, BlockIndex to) {
    if (from == to_) {
      to_ = to;
      return {};
    }
    TRY(flush());
    from_ = from;
    to_ = to;
    return {};
  }
  Result<> flush() { return from_ < to_ ? changed_(from_, to_) : Result<>(); }

  PageLoader& loader_;
  const View &a_, &b_;
  const std::function<Result<>(BlockIndex, BlockIndex)>& changed_;
  BlockIndex from_, to_;  // found, and not yet told of
};

}  // namespace

Result<> map_diff(PageLoader& loader, const View& a, const View& b, std::uint32_t block_size,
                  const std::function<Result<>(BlockIndex, BlockIndex)>& changed) {
  const BlockIndex end(std::max(a.disk_bytes, b.disk_bytes) / block_size);
  return Diff(loader, a, b, changed).run(end);
}

}  // namespace s3crate::volume
