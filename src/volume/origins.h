// SPDX-License-Identifier: GPL-3.0-or-later
// What a fork shares with the volumes that it comes from, its origins: objects and pages, each under numbers of the volume that wrote it.
//
// A fork has one parent, so the origins of the n-th origin are those that follow it in the fork's own list: what it calls k is n + k
// to the fork, and itself, 0, is n. So nothing has to be known of an origin but its number, whatever has become of it.
#pragma once

#include "volume/companions.h"

namespace s3crate::volume {

// How the store of a volume with origins (store/origin_stores.h) knows an object, and one that holds a page.
[[nodiscard]] std::string stored_name(const ObjectInfo& object);
[[nodiscard]] std::string stored_name(const PageRef& page);
// Where in that object the offsets of its extents count from.
[[nodiscard]] std::uint64_t extents_base(const ObjectInfo& object);

// What an origin has written, in the numbers of a fork to which it is origin n. kCorrupt: it names more origins than there can be.
[[nodiscard]] Result<> as_seen_from_fork(ObjectKey& key, std::uint16_t n);
[[nodiscard]] Result<> as_seen_from_fork(Run& run, std::uint16_t n);
[[nodiscard]] Result<> as_seen_from_fork(Page& page, std::uint16_t n);

// The object table of an origin, as of the fork.
[[nodiscard]] MaybeRoot origin_table(std::span<const TreeRoot> tables, std::uint16_t origin);

}  // namespace s3crate::volume
