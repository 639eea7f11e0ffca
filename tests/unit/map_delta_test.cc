// SPDX-License-Identifier: GPL-3.0-or-later
// Delta pages of the map: that readers see through them, what they spare, and when they are folded.
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/map_model.h"
#include "tests/support/seed.h"
#include "volume/map_leaf.h"

namespace s3crate::test {
namespace {

using volume::Page;
using volume::PageKind;

struct PageCounts {
  std::size_t leaves = 0, deltas = 0, bytes = 0;
};
PageCounts count_pages(TreeWorld& world, const MaybeRoot& root) {
  PageCounts counts;
  for (const PageRef& ref : pages_of(world, root)) {
    const auto page = *world.loader().load(ref);
    counts.leaves += page->kind == PageKind::leaf ? 1 : 0;
    counts.deltas += page->kind == PageKind::delta ? 1 : 0;
    counts.bytes += ref.length;
  }
  return counts;
}

TEST(MapDeltaTest, BehavesAsAnArrayOfBlocksAtEveryOldRoot) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  TreeWorld world(seed, 1 << 18);
  world.page_bytes = 3000 + random() % 20000;
  world.object_bytes = 100'000;
  std::vector<std::pair<MaybeRoot, MapModel>> history;
  MaybeRoot root;
  MapModel model(kMapModelBlocks);
  std::uint32_t number = 0;
  std::size_t deltas = 0, folded = 0, deltas_before = 0;
  for (int step = 0; step < 200; ++step) {
    root = update_map(world, root, random_changes(random, model, number));
    for (int i = 0; i < 10; ++i) {
      const std::uint64_t from = random() % kMapModelBlocks,
                          to = from + random() % (kMapModelBlocks - from + 1);
      ASSERT_NO_FATAL_FAILURE(expect_range(world, root, model, from, to)) << "step " << step;
      ASSERT_NO_FATAL_FAILURE(expect_seek(world, root, model, from, to)) << "step " << step;
      const bool surely = map_surely_hole(world.loader(), root, BlockIndex(from), BlockIndex(to));
      ASSERT_TRUE(!surely || is_hole(model, from, to)) << "step " << step;
    }
    ASSERT_NO_FATAL_FAILURE(expect_range(world, root, model, 0, kMapModelBlocks)) << "step " << step;
    const std::size_t now = count_pages(world, root).deltas;
    deltas += now;
    folded += now < deltas_before ? 1 : 0;
    deltas_before = now;
    if (step % 10 == 0) history.emplace_back(root, model);
  }
  EXPECT_GT(deltas, 10u);
  EXPECT_GT(folded, 1u);
  world.make_cold();
  for (const auto& [old, then] : history)
    ASSERT_NO_FATAL_FAILURE(expect_range(world, old, then, 0, kMapModelBlocks));
}

// A map of some leaves of real size.
MaybeRoot big_map(TreeWorld& world, std::uint64_t runs) {
  world.page_bytes = volume::kPagePlainMax;
  world.object_bytes = 8 << 20;
  return sparse_map(world, runs);
}

TEST(MapDeltaTest, OneChangeCostsASmallPageAndNotALeaf) {
  TreeWorld world(1);
  const MaybeRoot root = big_map(world, 20'000);
  const PageCounts before = count_pages(world, root);
  ASSERT_GT(before.leaves, 5u);
  const std::uint64_t bytes = world.metered.stats()[store::Verb::put].bytes;
  const MaybeRoot changed = update_map(world, root, {data_run(20'001, 1, 77)});
  EXPECT_LT(world.metered.stats()[store::Verb::put].bytes - bytes, 2500u);  // the root is most of it
  const PageCounts after = count_pages(world, changed);
  EXPECT_EQ(after.leaves, before.leaves);
  EXPECT_EQ(after.deltas, 1u);
  EXPECT_EQ(runs_in(world, changed, 20'000, 20'003),
            (std::vector<MapRun>{data_run(20'000, 1, 10'000), data_run(20'001, 1, 77),
                                 data_run(20'002, 1, 10'001)}));
}

TEST(MapDeltaTest, BaseIsReadOnlyWhereTheDeltaPageDoesNotAnswer) {
  TreeWorld world(1);
  const MaybeRoot root = big_map(world, 20'000);
  const MaybeRoot changed = update_map(world, root, {data_run(20'000, 4, 77)});
  world.make_cold();
  std::uint64_t reads = world.reads();
  EXPECT_EQ(runs_in(world, changed, 20'001, 20'003).size(), 1u);
  EXPECT_EQ(world.reads() - reads, 2u);  // the root and the delta page
  EXPECT_EQ(runs_in(world, changed, 20'003, 20'005).size(), 2u);
  EXPECT_EQ(world.reads() - reads, 3u);
  // Another change needs the base no more than that.
  world.make_cold();
  reads = world.reads();
  (void)update_map(world, changed, {data_run(20'010, 1, 78)});
  EXPECT_EQ(world.reads() - reads, 2u);
}

TEST(MapDeltaTest, HoleOverTheBaseIsAHole) {
  TreeWorld world(1);
  const MaybeRoot root = big_map(world, 5000);
  const MaybeRoot changed = update_map(world, root, {hole_run(2000, 1)});
  EXPECT_EQ(count_pages(world, changed).deltas, 1u);
  EXPECT_EQ(runs_in(world, changed, 1998, 2003),
            (std::vector<MapRun>{data_run(1998, 1, 999), hole_run(1999, 3), data_run(2002, 1, 1001)}));
  EXPECT_TRUE(map_surely_hole(world.loader(), changed, BlockIndex(1999), BlockIndex(2002)));
  EXPECT_FALSE(map_surely_hole(world.loader(), changed, BlockIndex(1999), BlockIndex(2003)));
  EXPECT_EQ(map_seek(world.loader(), changed, BlockIndex(1999), BlockIndex(3000), false)->value, 2002u);
}

TEST(MapDeltaTest, ChangeOfWhatALeafSaysAlreadyWritesNothing) {
  TreeWorld world(1);
  const MaybeRoot root = big_map(world, 5000);
  const std::uint64_t puts = world.puts();
  EXPECT_EQ(update_map(world, root, {hole_run(1999, 1), data_run(2000, 1, 1000), hole_run(2001, 1)}), root);
  EXPECT_EQ(world.puts(), puts);
}

TEST(MapDeltaTest, DeltaPagesAreFoldedBeforeTheyExceedAQuarterOfTheirBase) {
  TreeWorld world(1);
  MaybeRoot root = big_map(world, 1500);
  ASSERT_EQ(root->level, 0);
  std::size_t folds = 0, largest = 0;
  for (std::uint32_t i = 0; i < 400; ++i) {
    root = update_map(world, root, {data_run((i * 1237) % 3000, 1, 100'000 + i)});
    const auto page = *world.loader().load(root->level == 0 ? root->page : *volume::decode_page_ref(
        (*world.loader().load(root->page))->entries[0].value));
    if (page->kind != PageKind::delta) ++folds;
    else if (root->level == 0) {
      largest = std::max<std::size_t>(largest, root->page.length);
      EXPECT_LE(root->page.length * 4, page->base->length);
    }
  }
  EXPECT_GT(folds, 3u);
  EXPECT_LT(folds, 100u);
  EXPECT_GT(largest, 1000u);
}

TEST(MapDeltaTest, DeltasCostTheLeastInTheLongRun) {
  // Of all fixed numbers of updates between two folds none is much better than the rule's.
  constexpr std::uint64_t kBase = 65'000, kEntry = 40, kFrame = 150;
  for (std::uint64_t news : {1, 4, 16, 40}) {
    const std::uint64_t new_bytes = news * kEntry;
    std::uint64_t rule = 1;
    while (volume::is_delta_worth((rule + 1) * new_bytes, new_bytes, kBase)) ++rule;
    const auto cost = [&](std::uint64_t updates) {
      double bytes = kBase;
      for (std::uint64_t i = 1; i < updates; ++i) bytes += static_cast<double>(i * new_bytes + kFrame);
      return bytes / static_cast<double>(updates);
    };
    double best = cost(1);
    for (std::uint64_t updates = 2; updates < 400; ++updates) best = std::min(best, cost(updates));
    EXPECT_LT(cost(rule + 1), 1.15 * best) << news << " at a time: folded after " << rule;
  }
}

TEST(MapDeltaTest, LostBaseKeepsTheDeltaPageAndCarriesWhatWouldFoldIt) {
  TreeWorld world(1);
  const MaybeRoot root = big_map(world, 1500);
  const MaybeRoot changed = update_map(world, root, {data_run(1001, 1, 7)});
  const auto delta = *world.loader().load(changed->page);
  ASSERT_EQ(delta->kind, PageKind::delta);
  world.faults.lose(segment::object_name(segment::ObjectKind::map, delta->base->object.id, delta->base->nonce));
  world.make_cold();
  EXPECT_EQ(runs_in(world, changed, 1001, 1002), (std::vector<MapRun>{data_run(1001, 1, 7)}));
  EXPECT_FALSE(map_lookup(world.loader(), changed, BlockIndex(1000), BlockIndex(1001), [](const MapRun&) {}));
  std::vector<MapRun> many, carried;
  for (std::uint64_t block = 3; block < 3000; block += 4) many.push_back(data_run(block, 1, 9));
  auto writer = world.writer();
  volume::Ledger ledger;
  const auto kept = map_update(world.loader(), writer, changed, many, ledger, &carried);
  EXPECT_TRUE(ledger.net().empty());
  ASSERT_TRUE(kept) << kept.error().message();
  EXPECT_EQ(*kept, changed);
  EXPECT_EQ(carried, many);
}

}  // namespace
}  // namespace s3crate::test
