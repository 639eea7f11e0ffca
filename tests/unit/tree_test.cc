// SPDX-License-Identifier: GPL-3.0-or-later
// Trees with tiny pages: any keys against std::map, the map against an array of blocks, every old
// root included; and what is read and written for an update, counted.

#include "volume/tree.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/map_model.h"
#include "tests/support/seed.h"

namespace s3crate::test {
namespace {

using volume::encode_run;
using volume::encoded_entry_bound;
using volume::TreeChange;
using volume::TreeId;

// ---- Any keys -----------------------------------------------------------------------------------

using KeyModel = std::map<Bytes, Bytes>;

Bytes random_bytes(std::mt19937_64& random, std::size_t min, std::size_t max, unsigned letters) {
  Bytes out(min + random() % (max - min + 1));
  for (auto& byte : out)
    byte = static_cast<std::uint8_t>(random() % letters * (255 / (letters - 1)));
  return out;
}

void expect_same(TreeWorld& world, const MaybeRoot& root, const KeyModel& model,
                 std::mt19937_64& random) {
  auto expected = model.begin();
  auto scanned = tree_scan(world.loader(), root, {}, [&](const PageEntry& entry) -> Result<bool> {
    if (expected == model.end() || expected->first != entry.key || expected->second != entry.value)
      return false;
    ++expected;
    return true;
  });
  ASSERT_TRUE(scanned) << scanned.error().message();
  ASSERT_TRUE(expected == model.end());
  ASSERT_EQ(root.has_value(), !model.empty());
  for (int i = 0; i < 10; ++i) {
    const Bytes key = random_bytes(random, 1, 6, 4);
    auto found = tree_find(world.loader(), root, key);
    ASSERT_TRUE(found);
    const auto in_model = model.find(key);
    ASSERT_EQ(found->has_value(), in_model != model.end());
    if (*found) {
      ASSERT_EQ(**found, in_model->second);
    }
    // A scan from the middle that is ended begins where it should.
    std::optional<Bytes> first;
    ASSERT_TRUE(tree_scan(world.loader(), root, key, [&](const PageEntry& entry) -> Result<bool> {
      first = entry.key;
      return false;
    }));
    const auto next = model.lower_bound(key);
    ASSERT_EQ(first.has_value(), next != model.end());
    if (first) {
      ASSERT_EQ(*first, next->first);
    }
  }
}

TEST(TreeTest, KeysBehaveAsInAMapAtEveryOldRoot) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  TreeWorld world(seed, 20000);
  world.page_bytes = 60 + random() % 400;
  std::vector<std::pair<MaybeRoot, KeyModel>> history;
  MaybeRoot root;
  KeyModel model;
  for (int step = 0; step < 60; ++step) {
    std::map<Bytes, std::optional<Bytes>> changes;
    const bool shrink = random() % 4 == 0;
    for (std::uint64_t n = 1 + random() % 150; n > 0; --n) {
      std::optional<Bytes> value;
      if (!shrink && random() % 4 != 0) value = random_bytes(random, 0, 30, 256);
      changes[random_bytes(random, 1, 6, 4)] = value;
    }
    if (random() % 20 == 0) {
      for (const auto& [key, value] : model) changes[key] = std::nullopt;
    }
    std::vector<TreeChange> list;
    for (const auto& [key, value] : changes) {
      list.push_back({key, value});
      if (value) {
        model[key] = *value;
      } else {
        model.erase(key);
      }
    }
    auto writer = world.writer();
    volume::Ledger ledger;
    auto updated = tree_update(world.loader(), writer, TreeId::objects, root, list, ledger);
    ASSERT_TRUE(updated) << updated.error().message();
    ASSERT_TRUE(writer.finish());
    root = *updated;
    ASSERT_NO_FATAL_FAILURE(expect_same(world, root, model, random)) << "step " << step;
    history.emplace_back(root, model);
  }
  world.make_cold();
  for (const auto& [old, then] : history)
    ASSERT_NO_FATAL_FAILURE(expect_same(world, old, then, random));
}

TEST(TreeTest, ErrorOfACallbackEndsTheScan) {
  TreeWorld world(1);
  auto writer = world.writer();
  const std::vector<TreeChange> changes = {{{1}, Bytes{}}, {{2}, Bytes{}}};
  volume::Ledger ledger;
  auto root = tree_update(world.loader(), writer, TreeId::tags, {}, changes, ledger);
  ASSERT_TRUE(root);
  int calls = 0;
  auto done = tree_scan(world.loader(), *root, {}, [&](const PageEntry&) -> Result<bool> {
    ++calls;
    return fail(Code::kCancelled, "stop");
  });
  EXPECT_TRUE(is(done, Code::kCancelled));
  EXPECT_EQ(calls, 1);
}

// ---- The map ------------------------------------------------------------------------------------

// No page is empty, too large, or the only child of the root.
void expect_sound(TreeWorld& world, const MaybeRoot& root) {
  if (root && root->level > 0) {
    ASSERT_GE((*world.loader().load(root->page))->entries.size(), 2u);
  }
  for (const PageRef& ref : pages_of(world, root)) {
    auto page = world.loader().load(ref);
    ASSERT_TRUE(page);
    ASSERT_FALSE((*page)->entries.empty());
    ASSERT_EQ((*page)->first_key, (*page)->entries.front().key);
    std::size_t bytes = 0;
    for (const PageEntry& entry : (*page)->entries)
      bytes += encoded_entry_bound(entry.key, entry.value);
    ASSERT_TRUE(bytes <= world.page_bytes ||
                (*page)->entries.size() <= ((*page)->level == 0 ? 1u : 4u))
        << bytes;
  }
}

TEST(MapTreeTest, BehavesAsAnArrayOfBlocksAtEveryOldRoot) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  TreeWorld world(seed, 1 << 16);
  world.page_bytes = 40 + random() % 500;
  std::vector<std::pair<MaybeRoot, MapModel>> history;
  MaybeRoot root;
  MapModel model(kMapModelBlocks);
  std::uint32_t number = 0;
  for (int step = 0; step < 100; ++step) {
    const std::vector<MapRun> changes = random_changes(random, model, number);
    root = update_map(world, root, changes);
    for (int i = 0; i < 10; ++i) {
      const std::uint64_t from = random() % kMapModelBlocks, to = from + random() % (kMapModelBlocks - from + 1);
      ASSERT_NO_FATAL_FAILURE(expect_range(world, root, model, from, to)) << "step " << step;
      ASSERT_NO_FATAL_FAILURE(expect_seek(world, root, model, from, to)) << "step " << step;
      const bool surely = map_surely_hole(world.loader(), root, BlockIndex(from), BlockIndex(to));
      ASSERT_TRUE(!surely || is_hole(model, from, to))
          << "step " << step << " from " << from << " to " << to;
    }
    ASSERT_NO_FATAL_FAILURE(expect_range(world, root, model, 0, kMapModelBlocks)) << "step " << step;
    if (step % 10 == 0) {
      ASSERT_NO_FATAL_FAILURE(expect_sound(world, root)) << "step " << step;
    }
    history.emplace_back(root, model);
  }
  world.make_cold();
  for (const auto& [old, then] : history)
    ASSERT_NO_FATAL_FAILURE(expect_range(world, old, then, 0, kMapModelBlocks));
}

TEST(MapTreeTest, RunsThatContinueEachOtherAreOneInTheMap) {
  TreeWorld world(1);
  MaybeRoot root = update_map(world, std::nullopt, {data_run(10, 4, 5, 0)});
  root = update_map(world, root, {data_run(14, 4, 5, 4), data_run(18, 1, 6)});
  auto page = world.loader().load(root->page);
  ASSERT_TRUE(page);
  EXPECT_EQ((*page)->entries, (std::vector<PageEntry>{encode_run(data_run(10, 8, 5, 0)),
                                                      encode_run(data_run(18, 1, 6))}));
}

TEST(MapTreeTest, RunLaidAcrossLeavesStaysOneRun) {
  TreeWorld world(1);
  MaybeRoot root = sparse_map(world, 200);
  ASSERT_GT(pages_of(world, root).size(), 10u);
  std::vector<MapRun> before = runs_in(world, root, 0, 400);
  for (std::uint64_t block = 0; block + 16 < 400; block += 13) {
    const MaybeRoot changed = update_map(world, root, {data_run(block, 16, 9999)});
    bool found = false;
    ASSERT_TRUE(
        volume::tree_scan(world.loader(), changed, {}, [&](const PageEntry& entry) -> Result<bool> {
          found = found || *volume::decode_run(entry) == data_run(block, 16, 9999);
          return true;
        }));
    EXPECT_TRUE(found) << block;
  }
  EXPECT_EQ(runs_in(world, root, 0, 400), before);
}

TEST(MapTreeTest, HoleAtTheTopOfTheLargestDiskIsFound) {
  TreeWorld world(1);
  const std::uint64_t blocks = segment::kDiskBytesMax / 4096;
  MaybeRoot root = update_map(world, std::nullopt, {data_run(0, 1), data_run(blocks - 16, 16)});
  EXPECT_EQ(
      runs_in(world, root, 0, blocks),
      (std::vector<MapRun>{data_run(0, 1), hole_run(1, blocks - 17), data_run(blocks - 16, 16)}));
  EXPECT_EQ(update_map(world, root, {hole_run(0, blocks)}), std::nullopt);
}

// ---- What an update costs -----------------------------------------------------------------------

TEST(TreeCostTest, SmallUpdateOfABigTreeReadsAPageALevelAndWritesAtMostTwo) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  TreeWorld world(seed);
  const MaybeRoot root = sparse_map(world, 5000);
  const std::size_t levels = root->level + std::size_t{1};
  ASSERT_GE(levels, 4u);
  ASSERT_GT(pages_of(world, root).size(), 400u);
  for (int i = 0; i < 30; ++i) {
    const MapRun change = data_run(2 * (random() % 5000) + 1, 1, 77777);
    world.make_cold();
    const std::uint64_t reads = world.reads();
    const MaybeRoot changed = update_map(world, root, {change});
    EXPECT_LE(world.reads() - reads, levels);
    EXPECT_LE(count_new(world, root, changed), 2 * levels);
  }
}

TEST(TreeCostTest, LookupOfABlockReadsAPageALevel) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 5000);
  world.make_cold();
  const std::uint64_t reads = world.reads();
  EXPECT_EQ(runs_in(world, root, 5000, 5001).size(), 1u);
  EXPECT_EQ(world.reads() - reads, root->level + std::uint64_t{1});
  EXPECT_EQ(runs_in(world, root, 5000, 5001).size(), 1u);
  EXPECT_EQ(world.reads() - reads, root->level + std::uint64_t{1});
}

TEST(TreeCostTest, SubtreeThatAHoleCoversIsDroppedUnread) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 5000);
  const auto top = *world.loader().load(root->page);
  ASSERT_GE(top->entries.size(), 3u);
  const auto block_at = [&](std::size_t child) {
    std::uint64_t block = 0;
    for (std::uint8_t byte : top->entries[child].key) block = block << 8 | byte;
    return block;
  };
  world.make_cold();
  const std::uint64_t reads = world.reads();
  const std::uint64_t from = block_at(1), to = block_at(2);
  const MaybeRoot changed = update_map(world, root, {hole_run(from, to - from)});
  EXPECT_EQ(world.reads() - reads, 1u);  // the root
  EXPECT_EQ(runs_in(world, changed, from, to), std::vector<MapRun>{hole_run(from, to - from)});
  EXPECT_EQ(runs_in(world, changed, 0, from), runs_in(world, root, 0, from));
  EXPECT_EQ(runs_in(world, changed, to, 10000), runs_in(world, root, to, 10000));
}

TEST(TreeCostTest, HoleInTheMiddleReadsOnlyTheWaysToItsEdges) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 5000);
  world.make_cold();
  const std::uint64_t reads = world.reads();
  (void)update_map(world, root, {hole_run(1001, 8000)});
  EXPECT_LE(world.reads() - reads, 2u * root->level + 1);
}

TEST(TreeCostTest, SubtreeThatDataCoversIsReplacedUnread) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 5000);
  std::vector<MapRun> changes;
  for (std::uint64_t block = 1001; block < 9001; block += 16)
    changes.push_back(data_run(block, 16, 8));
  world.make_cold();
  const std::uint64_t reads = world.reads();
  const MaybeRoot changed = update_map(world, root, changes);
  EXPECT_LE(world.reads() - reads, 2u * root->level + 1);
  EXPECT_EQ(runs_in(world, changed, 1001, 9001), changes);
}

TEST(TreeCostTest, ChangeThatChangesNothingWritesNothing) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 5000);
  const std::uint64_t puts = world.puts();
  // Blocks with odd numbers are holes already; every other of the rest is written as it is.
  std::vector<MapRun> changes;
  for (std::uint64_t block = 700; block < 900; block += 4) {
    changes.push_back(data_run(block, 1, static_cast<std::uint32_t>(block / 2)));
    changes.push_back(hole_run(block + 1, 1));
  }
  EXPECT_EQ(update_map(world, root, changes), root);
  EXPECT_EQ(update_map(world, root, {hole_run(3001, 1)}), root);
  EXPECT_EQ(update_map(world, root, {}), root);
  EXPECT_EQ(update_map(world, std::nullopt, {hole_run(0, 1 << 30)}), std::nullopt);
  EXPECT_EQ(world.puts(), puts);
}

TEST(TreeCostTest, LeavesThatShrinkTogetherBecomeOne) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 2000);
  std::vector<MapRun> changes;
  for (std::uint64_t block = 0; block < 4000; block += 800)
    changes.push_back(hole_run(block + 1, 799));
  const MaybeRoot changed = update_map(world, root, changes);
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->level, 0);
  EXPECT_EQ(pages_of(world, changed).size(), 1u);
}

TEST(TreeCostTest, PagesAreFilledWhenATreeIsBuiltAtOnce) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 5000);
  std::size_t entries = 0, leaves = 0, small = 0;
  for (const PageRef& ref : pages_of(world, root)) {
    auto page = *world.loader().load(ref);
    if (page->level > 0) continue;
    entries += page->entries.size();
    ++leaves;
    std::size_t bytes = 0;
    for (const PageEntry& entry : page->entries)
      bytes += encoded_entry_bound(entry.key, entry.value);
    if (2 * bytes < world.page_bytes - 50) ++small;
  }
  EXPECT_EQ(entries, 5000u);
  EXPECT_EQ(small, 0u);
}

TEST(TreeCostTest, LeafThatOverflowsIsDividedEvenly) {
  TreeWorld world(1);
  std::uint64_t runs = 1;
  MaybeRoot root = sparse_map(world, runs);
  while (root->level == 0) root = update_map(world, root, {data_run(2 * runs++, 1, 5)});
  ASSERT_EQ(pages_of(world, root).size(), 3u);
  for (const PageRef& ref : pages_of(world, root)) {
    auto page = *world.loader().load(ref);
    if (page->level > 0) continue;
    EXPECT_GE(page->entries.size(), runs / 3);
  }
}

TEST(TreeCostTest, SurelyHoleReadsNothing) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 2000);
  EXPECT_TRUE(map_surely_hole(world.loader(), root, BlockIndex(1001), BlockIndex(1002)));
  EXPECT_FALSE(map_surely_hole(world.loader(), root, BlockIndex(1000), BlockIndex(1002)));
  EXPECT_TRUE(map_surely_hole(world.loader(), root, BlockIndex(5000), BlockIndex(1 << 30)));
  EXPECT_TRUE(map_surely_hole(world.loader(), std::nullopt, BlockIndex(0), BlockIndex(1 << 30)));
  world.make_cold();
  const std::uint64_t reads = world.reads();
  EXPECT_FALSE(map_surely_hole(world.loader(), root, BlockIndex(1001), BlockIndex(1002)));
  EXPECT_EQ(world.reads(), reads);
}

TEST(TreeCostTest, CacheStaysWithinItsCapacity) {
  TreeWorld world(1, 10000);
  const MaybeRoot root = sparse_map(world, 2000);
  EXPECT_EQ(runs_in(world, root, 0, 4000).size(), 4000u);
  EXPECT_LE(world.loader().stats().bytes, 10000u);
  EXPECT_GT(world.loader().stats().bytes, 1000u);
}

}  // namespace
}  // namespace s3crate::test
