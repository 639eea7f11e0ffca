// SPDX-License-Identifier: GPL-3.0-or-later
// One pass over a tree that lays changes over it. Subtrees that no change touches are kept unread,
// subtrees that the changes replace altogether are left out unread; all else streams through a
// TreeBuilder. A leaf of the map that changes little gets a delta page over it. A subtree whose
// page is damaged or gone is kept as it is, and the changes to it are carried: the caller has to
// lay them over whatever it reads there.
//
// The children of a page that will be read are loaded some at a time, side by side.
#pragma once

#include "volume/ledger.h"
#include "volume/tree_builder.h"

namespace s3crate::volume {

// A sorted list of changes, used up from the front as the pass goes on: all below the place it has
// reached is done.
class TreeEdit {
 public:
  virtual ~TreeEdit() = default;
  // Whether any change is left below `upper` (nullopt: at all).
  [[nodiscard]] virtual bool touches(std::optional<ByteView> upper) const = 0;
  // Whether a page of [first_key, upper), that the pass has not reached, will have to be read. A
  // guess: a wrong one costs time.
  [[nodiscard]] virtual bool will_read(ByteView first_key, std::optional<ByteView> upper) const = 0;
  // Whether nothing that the tree holds in [first_key, upper) would be left.
  [[nodiscard]] virtual bool replaces(ByteView first_key, std::optional<ByteView> upper) const = 0;
  // Adds what the changes below `upper` make of these entries of a leaf, and uses those changes up.
  [[nodiscard]] virtual Result<> apply(std::span<const PageEntry> entries,
                                       std::optional<ByteView> upper, TreeBuilder& builder) = 0;
  // What a page of the old tree held is no longer in it.
  virtual void forget(const Page& page) = 0;
  // Lays the changes below the place's upper bound over its page by a delta page, and uses them up,
  // if that is cheaper than to apply() them. Answers whether.
  [[nodiscard]] virtual Result<bool> amend(const Place& place, const PagePtr& page,
                                           TreeBuilder& builder) = 0;
  // Uses up the changes below `upper` by keeping them for the caller; false if he wants none.
  [[nodiscard]] virtual bool carry(std::optional<ByteView> upper) = 0;
};

// `ledger` hears of pages that are not in the new tree.
[[nodiscard]] Result<MaybeRoot> edit_tree(PageLoader& loader, PageWriter& writer, TreeId tree,
                                          const MaybeRoot& root, TreeEdit& edit, Ledger& ledger);

}  // namespace s3crate::volume
