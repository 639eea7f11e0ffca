// SPDX-License-Identifier: GPL-3.0-or-later
// The plain model of a map, an array of blocks, and what holds a tree against it.
#pragma once

#include <random>

#include "tests/support/map_trees.h"
#include "volume/run_map.h"

namespace s3crate::test {

inline constexpr std::uint64_t kMapModelBlocks = 3000;

struct Cell {
  std::uint32_t number = 0;  // 0: a hole
  std::uint64_t first = 0;
  friend bool operator==(const Cell&, const Cell&) = default;
};
using MapModel = std::vector<Cell>;

inline std::vector<MapRun> random_changes(std::mt19937_64& random, MapModel& model,
                                   std::uint32_t& number) {
  volume::RunMap changes;
  const std::uint64_t area = 1 + random() % kMapModelBlocks, start = random() % (kMapModelBlocks - area + 1);
  for (std::uint64_t n = 1 + random() % (random() % 5 == 0 ? 300 : 20); n > 0; --n) {
    const std::uint64_t block = start + random() % area;
    MapRun run;
    if (random() % 5 == 0) {
      run = hole_run(
          block, 1 + random() % (random() % 5 == 0 ? kMapModelBlocks - block
                                                   : std::min(kMapModelBlocks - block, std::uint64_t{40})));
    } else {
      const std::uint64_t count = 1 + random() % std::min<std::uint64_t>(16, kMapModelBlocks - block);
      run = data_run(block, count, ++number, static_cast<std::uint16_t>(random() % (17 - count)));
    }
    changes.put(run);
    for (std::uint64_t b = 0; b < run.count; ++b) {
      model[run.block.value + b] = run.hole ? Cell{} : Cell{run.extent.number, run.first + b};
    }
  }
  return changes.runs();
}

inline void expect_range(TreeWorld& world, const MaybeRoot& root, const MapModel& model,
                  std::uint64_t from, std::uint64_t to) {
  std::uint64_t at = from;
  for (const MapRun& run : runs_in(world, root, from, to)) {
    ASSERT_EQ(run.block.value, at);
    ASSERT_GT(run.count, 0u);
    ASSERT_LE(run.end().value, to);
    for (; at < run.end().value; ++at) {
      const Cell cell =
          run.hole ? Cell{} : Cell{run.extent.number, run.first + (at - run.block.value)};
      ASSERT_EQ(cell, model[at]) << "block " << at;
    }
  }
  ASSERT_EQ(at, to);
}

inline void expect_seek(TreeWorld& world, const MaybeRoot& root, const MapModel& model, std::uint64_t from,
                 std::uint64_t to) {
  for (bool hole : {false, true}) {
    std::uint64_t expected = from;
    while (expected < to && (model[expected].number == 0) != hole) ++expected;
    auto found = map_seek(world.loader(), root, BlockIndex(from), BlockIndex(to), hole);
    ASSERT_TRUE(found);
    ASSERT_EQ(found->value, expected)
        << "from " << from << " to " << to << (hole ? " hole" : " data");
  }
}

inline bool is_hole(const MapModel& model, std::uint64_t from, std::uint64_t to) {
  for (; from < to; ++from) {
    if (model[from].number != 0) return false;
  }
  return true;
}

}  // namespace s3crate::test
