// SPDX-License-Identifier: GPL-3.0-or-later
// RunMap against an array that says of each block whether it is covered, and by what.

#include "volume/run_map.h"

#include <gtest/gtest.h>

#include <optional>

#include "tests/support/seed.h"

namespace s3crate::test {
namespace {

using MapRun = segment::Run;  // testing::Test has a Run of its own
using volume::RunMap;

constexpr std::uint64_t kBlocks = 200;

struct Cell {
  bool hole = true;
  std::uint32_t number = 0;
  std::uint64_t first = 0;
  friend bool operator==(const Cell&, const Cell&) = default;
};
using Model = std::vector<std::optional<Cell>>;

Cell cell_of(const MapRun& run, std::uint64_t block) {
  if (run.hole) return {};
  return {false, run.extent.number, run.first + (block - run.block.value)};
}

MapRun data_run(std::uint64_t block, std::uint64_t count, std::uint32_t number,
                std::uint16_t first) {
  MapRun run{
      .block = BlockIndex(block), .count = count, .hole = false, .first = first, .extent = {}};
  run.extent.number = number;
  return run;
}

MapRun random_run(std::mt19937_64& random) {
  const std::uint64_t block = random() % kBlocks;
  if (random() % 4 == 0) {
    return {.block = BlockIndex(block),
            .count = 1 + random() % (kBlocks - block),
            .hole = true,
            .first = 0,
            .extent = {}};
  }
  const std::uint64_t count = 1 + random() % std::min<std::uint64_t>(16, kBlocks - block);
  // Few extents, each at its own place, so that neighbours join often.
  const std::uint32_t number = static_cast<std::uint32_t>(random() % 2);
  return data_run(block, count, number, static_cast<std::uint16_t>(block));
}

void expect_same(const RunMap& map, const Model& model, std::uint64_t from, std::uint64_t to) {
  std::uint64_t at = from;
  map.tile(
      BlockIndex(from), BlockIndex(to),
      [&](const MapRun& run) {
        ASSERT_EQ(run.block.value, at);
        ASSERT_GT(run.count, 0u);
        for (; at < run.end().value; ++at) {
          ASSERT_LT(at, to);
          ASSERT_TRUE(model[at].has_value()) << at;
          ASSERT_EQ(*model[at], cell_of(run, at)) << at;
        }
      },
      [&](BlockIndex gap_from, BlockIndex gap_to) {
        ASSERT_EQ(gap_from.value, at);
        ASSERT_LT(gap_from, gap_to);
        for (; at < gap_to.value; ++at) {
          ASSERT_LT(at, to);
          ASSERT_FALSE(model[at].has_value()) << at;
        }
      });
  ASSERT_EQ(at, to);
}

TEST(RunMapTest, BehavesAsAnArrayOfBlocks) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  RunMap map;
  Model model(kBlocks);
  for (int step = 0; step < 3000; ++step) {
    const std::uint64_t from = random() % kBlocks, to = from + random() % (kBlocks - from + 1);
    switch (random() % 8) {
      case 0:
        map.erase(BlockIndex(from), BlockIndex(to));
        for (std::uint64_t b = from; b < to; ++b) model[b].reset();
        break;
      case 1:
        map.update(BlockIndex(from), BlockIndex(to), [](MapRun& run) {
          if (!run.hole) run.extent.number ^= 1;
        });
        for (std::uint64_t b = from; b < to; ++b) {
          if (model[b] && !model[b]->hole) model[b]->number ^= 1;
        }
        break;
      default: {
        const MapRun run = random_run(random);
        map.put(run);
        for (std::uint64_t b = run.block.value; b < run.end().value; ++b)
          model[b] = cell_of(run, b);
      }
    }
    map.check_invariants();
    ASSERT_NO_FATAL_FAILURE(expect_same(map, model, from, to)) << "step " << step;
    ASSERT_NO_FATAL_FAILURE(expect_same(map, model, 0, kBlocks)) << "step " << step;
  }
}

TEST(RunMapTest, VisitClipsToTheRange) {
  RunMap map;
  map.put(data_run(10, 8, 1, 3));
  std::vector<MapRun> seen;
  map.visit(BlockIndex(12), BlockIndex(15), [&](const MapRun& run) { seen.push_back(run); });
  EXPECT_EQ(seen, std::vector<MapRun>{data_run(12, 3, 1, 5)});
}

TEST(RunMapTest, PutsThatContinueEachOtherBecomeOneRun) {
  RunMap map;
  map.put(data_run(10, 2, 1, 0));
  map.put(data_run(14, 2, 1, 4));
  map.put(data_run(12, 2, 1, 2));
  EXPECT_EQ(map.runs(), std::vector<MapRun>{data_run(10, 6, 1, 0)});
}

TEST(RunMapTest, NeighboursOfOtherExtentsOrPlacesStayApart) {
  RunMap map;
  map.put(data_run(10, 2, 1, 0));
  map.put(data_run(12, 2, 1, 3));  // not where the first one ends in the extent
  map.put(data_run(14, 2, 2, 5));
  EXPECT_EQ(map.size(), 3u);
}

TEST(RunMapTest, ChangeOfPartOfARunLeavesTheRestOfIt) {
  RunMap map;
  map.put(data_run(0, 9, 1, 0));
  map.update(BlockIndex(3), BlockIndex(6), [](MapRun& run) { run.extent.number = 7; });
  EXPECT_EQ(map.runs(), (std::vector<MapRun>{data_run(0, 3, 1, 0), data_run(3, 3, 7, 3),
                                             data_run(6, 3, 1, 6)}));
}

}  // namespace
}  // namespace s3crate::test
