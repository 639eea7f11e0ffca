// SPDX-License-Identifier: GPL-3.0-or-later
// Arena: cells of 32 bytes for Secret, in memory that is locked, left out of core dumps, and not
// inherited by children. Only Secret uses it.
//
// Memory comes in slabs of a few pages between two inaccessible ones, so that an overrun from or
// into it is a fault and not a leak; a slab holds hundreds of cells, so thousands of secrets cost a
// few locked pages and no system calls. Slabs are never given back. Which cells are free is noted
// outside of them, and a free cell is always zero.
//
// Where the kernel refuses to lock memory the arena goes on without, and says so in notice().
//
// After fork the child has an empty arena of its own: the pages of its parent's secrets are not
// there, and touching one is a fault, not a silent key of zeros.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/thread_annotations.h"

namespace s3crate::crypto::internal {

class Arena {
 public:
  // The one of this process; never destroyed, since a Secret may be static.
  static Arena& instance();

  // A zeroed cell. Throws std::bad_alloc without memory, like any container.
  [[nodiscard]] std::uint8_t* take() EXCLUDES(mu_);
  // Wipes the cell.
  void give_back(std::uint8_t* cell) EXCLUDES(mu_);
  // Maps the first slab, so that notice() is known early.
  void prepare() EXCLUDES(mu_);
  [[nodiscard]] std::string notice() EXCLUDES(mu_);

 private:
  Arena();
  void add_slab() REQUIRES(mu_);

  Mutex mu_;
  std::vector<std::uint8_t*> free_ GUARDED_BY(mu_);
  std::size_t cells_ GUARDED_BY(mu_) = 0;
  std::string notice_ GUARDED_BY(mu_);
};

}  // namespace s3crate::crypto::internal
