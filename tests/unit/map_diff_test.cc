// SPDX-License-Identifier: GPL-3.0-or-later
// The difference of two maps, against arrays of blocks; and that it reads only what they do not share.
#include "volume/map_diff.h"

#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/map_model.h"
#include "tests/support/seed.h"

namespace s3crate::test {
namespace {

using volume::View;

constexpr std::uint32_t kBlock = 4096;

struct State {
  View view;
  MapModel model;
};

// Which blocks differ, as the models say it: nothing is behind the end of the smaller one.
std::vector<std::pair<std::uint64_t, std::uint64_t>> expected(const State& a, const State& b) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
  for (std::uint64_t i = 0; i < kMapModelBlocks; ++i) {
    if (a.model[i] == b.model[i]) continue;
    if (!out.empty() && out.back().second == i) out.back().second = i + 1;
    else out.emplace_back(i, i + 1);
  }
  return out;
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> found(TreeWorld& world, const State& a, const State& b) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> out;
  const auto done = volume::map_diff(world.loader(), a.view, b.view, kBlock, [&](BlockIndex from, BlockIndex to) -> Result<> {
    out.emplace_back(from.value, to.value);
    return {};
  });
  EXPECT_TRUE(done) << done.error().message();
  return out;
}

TEST(MapDiffTest, IsExactlyWhereTwoArraysOfBlocksDiffer) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  TreeWorld world(seed, 1 << 20);
  world.page_bytes = random() % 2 == 0 ? 400 : 3000 + random() % 20000;  // small pages make levels, large ones delta pages
  world.object_bytes = 100'000;
  std::vector<State> states(1);
  states[0].model.resize(kMapModelBlocks);
  states[0].view.disk_bytes = kMapModelBlocks * kBlock;
  std::uint32_t number = 0;
  for (int step = 0; step < 40; ++step) {
    State next = states.back();
    const auto changes = random_changes(random, next.model, number);
    for (const MapRun& run : changes) next.view.changes.put(run);
    if (random() % 3 == 0) {  // a checkpoint
      next.view.map = update_map(world, next.view.map, next.view.changes.runs());
      next.view.changes.clear();
    }
    states.push_back(std::move(next));
  }
  for (int i = 0; i < 50; ++i) {
    const State &a = states[random() % states.size()], &b = states[random() % states.size()];
    ASSERT_EQ(found(world, a, b), expected(a, b));
  }
  const State empty;
  EXPECT_EQ(found(world, states[0], empty), expected(states[0], states[0]));
}

TEST(MapDiffTest, BehindTheEndOfTheSmallerDiskIsNothing) {
  TreeWorld world(1);
  View small, large;
  small.disk_bytes = 10 * kBlock;
  large.disk_bytes = 100 * kBlock;
  large.changes.put(data_run(50, 8, 1));
  const State a{small, MapModel()}, b{large, MapModel()};
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> tail = {{50, 58}};
  EXPECT_EQ(found(world, a, b), tail);
  EXPECT_EQ(found(world, b, a), tail);
}

TEST(MapDiffTest, ReadsThePagesThatTheMapsDoNotShareAndNoOthers) {
  TreeWorld world(1);
  world.page_bytes = volume::kPagePlainMax;
  world.object_bytes = 8 << 20;
  State a, b;
  a.view.disk_bytes = b.view.disk_bytes = std::uint64_t{1} << 40;
  a.view.map = sparse_map(world, 40'000);
  b.view.map = update_map(world, a.view.map, {data_run(20'001, 1, 77), data_run(60'001, 2, 78)});
  world.make_cold();
  const std::uint64_t before = world.reads();
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> changed = {{20'001, 20'002}, {60'001, 60'003}};
  EXPECT_EQ(found(world, a, b), changed);
  // Of each the root, and where they differ a leaf and the delta page over it.
  EXPECT_LE(world.reads() - before, 6u);
  const std::uint64_t now = world.reads();
  EXPECT_TRUE(found(world, b, b).empty());
  EXPECT_EQ(world.reads(), now);
}

TEST(MapDiffTest, DamagedPageIsNoUnchangedPage) {
  TreeWorld world(1);
  State a, b;
  a.view.disk_bytes = b.view.disk_bytes = std::uint64_t{1} << 40;
  a.view.map = sparse_map(world, 2'000);
  b.view.map = update_map(world, a.view.map, {data_run(1'001, 1, 77)});
  world.make_cold();
  const auto name = segment::object_name(segment::ObjectKind::map, b.view.map->page.object.id, b.view.map->page.nonce);
  ASSERT_TRUE(world.memory.remove(name));
  const auto done = volume::map_diff(world.loader(), a.view, b.view, kBlock, [](BlockIndex, BlockIndex) -> Result<> { return {}; });
  ASSERT_FALSE(done);
}

}  // namespace
}  // namespace s3crate::test
