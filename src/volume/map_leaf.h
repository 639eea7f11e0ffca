// SPDX-License-Identifier: GPL-3.0-or-later
// Leaves of the map, as readers and the editor see them: the runs of a leaf, or those of a delta
// page over the ones of its base. Pure but for the base, which is asked for only where the delta
// page does not answer.
#pragma once

#include <functional>

#include "volume/run_map.h"
#include "volume/tree_read.h"

namespace s3crate::volume {

using BlockKey = std::array<std::uint8_t, 8>;
[[nodiscard]] BlockKey block_key(BlockIndex block);
// Of a bound: in the order of keys, also for one that is not eight bytes long, under which no leaf
// is accepted.
[[nodiscard]] BlockIndex block_of(ByteView key);
[[nodiscard]] BlockIndex block_or_end(std::optional<ByteView> upper);

// The run of one entry; kCorrupt unless it ends before the next one, and before `upper`. Holes only
// in delta pages.
[[nodiscard]] Result<Run> run_at(std::span<const PageEntry> entries, std::size_t i,
                                 std::optional<ByteView> upper, PageKind kind);

using GetBase = std::function<Result<PagePtr>()>;
// Calls `each` with the data runs that end behind `from` and begin before `to`, in order, until it
// answers false; answers false then. Runs come whole, but those of a base come clipped to what the
// delta page leaves of them.
[[nodiscard]] Result<bool> for_each_run_in(const Page& page, const Place& place, BlockIndex from,
                                           BlockIndex to, const GetBase& base,
                                           const std::function<bool(const Run&)>& each);

// Whether another delta page over a base of `base_bytes` is cheaper than a new leaf, when it would
// hold `bytes` of entries, `new_bytes` of them new. Over the life of a base its delta pages grow and
// are written again and again: they have had their share when together they cost what the base
// does, which is the least in the long run (as is known of renting skis); and no delta page is
// more than a quarter of its base, for the sake of those who read both.
[[nodiscard]] bool is_delta_worth(std::uint64_t bytes, std::uint64_t new_bytes,
                                  std::uint64_t base_bytes);

}  // namespace s3crate::volume
