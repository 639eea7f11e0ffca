// SPDX-License-Identifier: GPL-3.0-or-later
// The ledger of an update of the trees: what it takes out and puts in, object by object, so that the
// liveness tree follows without any old map being opened.
//
// What is counted is what stands in pages: of a segment (or inline extents) the blocks of all runs in
// leaves and delta pages, of a map object its pages. A run that a delta page hides counts until the
// page is folded, so an object lives rather too long than too short.
//
// Subtrees that an update drops unread are noted, and walked later, some pages at a time.
#pragma once

#include <map>

#include "volume/tree.h"

namespace s3crate::volume {

class Ledger {
 public:
  // The children of an inner page whose keys are in [from, to) (an empty `to`: all from there on) are
  // no longer part of the tree, nor is anything below them. The page itself is counted already.
  struct Dropped {
    std::uint8_t level = 1;
    PageRef page;
    Bytes from;
    Bytes to;
    friend bool operator==(const Dropped&, const Dropped&) = default;
  };

  void add(const Run& run);     // data stands in a page
  void forget(const Run& run);  // no longer
  void forget_runs(const Page& leaf_or_delta);
  void forget_page(const PageRef& page);
  void drop(const Dropped& dropped);

  // Walks what was dropped, until `pages_max` pages were read and at most `dropped_max` notes are
  // left. What cannot be read is passed over: it stays counted. kCancelled once it is stopped.
  [[nodiscard]] Result<> walk(PageLoader& loader, std::size_t pages_max, std::size_t dropped_max,
                              const std::function<bool()>& stopped = {});

  // Blocks or pages that were added, less those forgotten; where that is nothing, no entry.
  [[nodiscard]] const std::map<ObjectKey, std::int64_t>& net() const { return net_; }
  [[nodiscard]] const std::vector<Dropped>& dropped() const { return dropped_; }
  void clear_net() { net_.clear(); }

  // What is still to be noted when a checkpoint is committed, as its extension (see the format page).
  // At most so many bytes: of what is beyond, objects are counted too long.
  [[nodiscard]] Bytes encode(std::size_t bytes_max) const;
  [[nodiscard]] static Result<Ledger> decode(ByteView bytes);

 private:
  struct Walk;
  void count(const ObjectKey& object, std::int64_t change);
  std::map<ObjectKey, std::int64_t> net_;
  std::vector<Dropped> dropped_;
};

}  // namespace s3crate::volume
