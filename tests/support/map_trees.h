// SPDX-License-Identifier: GPL-3.0-or-later
// Making and looking at map trees in a TreeWorld.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/tree_world.h"
#include "volume/ledger.h"

namespace s3crate::test {

using volume::MaybeRoot;
using volume::PageEntry;
using volume::PageRef;
using MapRun = segment::Run;  // testing::Test has a Run of its own

// All pages of a tree.
inline void collect(TreeWorld& world, std::uint8_t level, const PageRef& ref,
                    std::vector<PageRef>& out) {
  out.push_back(ref);
  auto page = world.loader().load(ref);
  ASSERT_TRUE(page) << page.error().message();
  if ((*page)->base) out.push_back(*(*page)->base);
  if (level == 0) return;
  for (const PageEntry& entry : (*page)->entries) {
    collect(world, static_cast<std::uint8_t>(level - 1), *volume::decode_page_ref(entry.value),
            out);
  }
}
inline std::vector<PageRef> pages_of(TreeWorld& world, const MaybeRoot& root) {
  std::vector<PageRef> out;
  if (root) collect(world, root->level, root->page, out);
  return out;
}
inline std::size_t count_new(TreeWorld& world, const MaybeRoot& before, const MaybeRoot& after) {
  const auto old = pages_of(world, before);
  std::size_t count = 0;
  for (const PageRef& ref : pages_of(world, after))
    count += std::find(old.begin(), old.end(), ref) == old.end() ? 1 : 0;
  return count;
}

inline MapRun data_run(std::uint64_t block, std::uint64_t count, std::uint32_t number = 1,
                       std::uint16_t first = 0) {
  MapRun run{
      .block = BlockIndex(block), .count = count, .hole = false, .first = first, .extent = {}};
  run.extent = {.object = {.origin = 0, .id = volume::ObjectId::of(1, 7)},
                .number = number,
                .offset = number,
                .length = 5000,
                .digest = {}};
  return run;
}
inline MapRun hole_run(std::uint64_t block, std::uint64_t count) {
  return {.block = BlockIndex(block), .count = count, .hole = true, .first = 0, .extent = {}};
}

// Puts what was written in the store as well.
inline MaybeRoot update_map(TreeWorld& world, const MaybeRoot& root,
                            const std::vector<MapRun>& changes) {
  auto writer = world.writer();
  volume::Ledger ledger;
  auto updated = map_update(world.loader(), writer, root, changes, ledger);
  EXPECT_TRUE(updated) << updated.error().message();
  EXPECT_TRUE(writer.finish());
  return updated.value_or(std::nullopt);
}

inline std::vector<MapRun> runs_in(TreeWorld& world, const MaybeRoot& root, std::uint64_t from,
                                   std::uint64_t to) {
  std::vector<MapRun> out;
  auto done = map_lookup(world.loader(), root, BlockIndex(from), BlockIndex(to),
                         [&](const MapRun& run) { out.push_back(run); });
  EXPECT_TRUE(done) << done.error().message();
  return out;
}

// A run of one block at every second block, so that none joins.
inline MaybeRoot sparse_map(TreeWorld& world, std::uint64_t runs) {
  std::vector<MapRun> all;
  for (std::uint64_t i = 0; i < runs; ++i)
    all.push_back(data_run(2 * i, 1, static_cast<std::uint32_t>(i)));
  return update_map(world, std::nullopt, all);
}

}  // namespace s3crate::test
