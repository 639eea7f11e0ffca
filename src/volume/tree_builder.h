// SPDX-License-Identifier: GPL-3.0-or-later
// Builds a tree from the left to the right: a stream of leaf entries, and of subtrees of the old
// tree that stay as they are.
//
// One buffer a level. Entries that follow each other share pages whatever pages they came from, so
// what shrank merges and what grew splits. A page is cut only where the next entry does not fit, a
// kept subtree follows, or the tree ends; so that no tiny page is left behind there, a buffer holds
// up to two pages and divides what it holds evenly. An old page whose entries come out as they went
// in, at the same places, is kept as well (page_begins, page_ends). Memory: two pages a level.
#pragma once

#include "volume/tree_read.h"

namespace s3crate::volume {

class TreeBuilder {
 public:
  TreeBuilder(PageWriter& writer, TreeId tree);

  // All keys ascend, those of kept subtrees included.
  [[nodiscard]] Result<> add(PageEntry entry);
  // A page of `level` and all below it. `first_key` is its own.
  [[nodiscard]] Result<> keep(std::uint8_t level, ByteView first_key, const PageRef& page);

  // A delta page, and with it the base that it names.
  [[nodiscard]] Result<> amend(Page delta);

  // The last entry added, if it is still here: nullptr if a page was written or kept behind it.
  [[nodiscard]] const PageEntry* last() const;
  void replace_last(PageEntry entry);

  // Around the parts of an old page of `level`: if they are what was added in between, it is not
  // written anew. Answers whether it stays.
  void page_begins(const Place& place, const PagePtr& page);
  [[nodiscard]] Result<bool> page_ends(std::uint8_t level);

  // Nothing if there were no entries.
  [[nodiscard]] Result<MaybeRoot> finish();

 private:
  struct Level {
    std::vector<PageEntry> entries;  // of pages of this level, not yet written
    std::size_t bytes = 0;
    PagePtr old;  // entries began where this page does
    PageRef old_ref;
  };
  Level& level(std::size_t number);
  [[nodiscard]] Result<> add_to(std::size_t number, PageEntry entry);
  [[nodiscard]] Result<> write_front(std::size_t number, std::size_t count);
  // Writes all entries of one level, in as few pages as they need.
  [[nodiscard]] Result<> flush(std::size_t number);
  [[nodiscard]] bool fits(std::size_t number, std::size_t bytes, std::size_t count) const;
  [[nodiscard]] std::size_t front_that_fits(std::size_t number) const;
  [[nodiscard]] std::size_t first_half(std::size_t number) const;
  [[nodiscard]] bool empty_above(std::size_t number) const;

  PageWriter& writer_;
  const TreeId tree_;
  const std::size_t page_bytes_;
  std::vector<Level> levels_;
};

}  // namespace s3crate::volume
