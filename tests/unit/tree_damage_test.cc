// SPDX-License-Identifier: GPL-3.0-or-later
// What the writer of pages puts, damage in the store, and trees whose pages are all authentic, but
// not where they belong.

#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/map_trees.h"
#include "tests/support/sanitized.h"
#include "tests/support/seed.h"
#include "volume/run_map.h"
#include "volume/tree.h"

namespace s3crate::test {
namespace {

using volume::encode_run;
using volume::Page;
using volume::PageKind;
using volume::TreeId;
using volume::TreeRoot;

// ---- Pages that are lost -------------------------------------------------------------------------

// What a block is: the number of its run's extent, 0 for a hole; nullopt: it cannot be read.
using Blocks = std::vector<std::optional<std::uint32_t>>;

Blocks blocks_of(TreeWorld& world, const MaybeRoot& root, const std::vector<MapRun>& over,
                 std::uint64_t size) {
  Blocks out(size);
  for (std::uint64_t block = 0; block < size; ++block) {
    (void)map_lookup(world.loader(), root, BlockIndex(block), BlockIndex(block + 1),
                     [&](const MapRun& run) { out[block] = run.hole ? 0 : run.extent.number; });
  }
  for (const MapRun& run : over) {
    for (BlockIndex at = run.block; at < run.end(); at = at.next())
      out[at.value] = run.hole ? 0 : run.extent.number;
  }
  return out;
}

std::vector<MapRun> random_changes(SeededRandom& random, std::uint64_t blocks) {
  std::vector<MapRun> out;
  for (std::uint64_t at = random.u64() % 40; at < blocks; at += random.u64() % 60) {
    const std::uint64_t count = std::min(blocks - at, 1 + random.u64() % 16);
    out.push_back(random.u64() % 3 == 0
                      ? hole_run(at, count)
                      : data_run(at, count, 1 + static_cast<std::uint32_t>(random.u64() % 100'000)));
    at += count;
  }
  return out;
}

// Changes over pages that cannot be read stay beside the tree; nothing that could be read, or was
// written since, is lost by it, however often it happens; and once the pages are back, all is.
TEST(LostPageTest, ChangesOverItAreCarried) {
  constexpr std::uint64_t kBlocks = 2000;
  SEEDED_TEST(seed);
  std::size_t carried_ever = 0, roots_lost = 0;
  for (std::uint64_t round = 0; round < (test::kSanitized ? 5 : 30); ++round) {
    TreeWorld world(seed + round);
    MaybeRoot root = sparse_map(world, kBlocks / 2);
    Blocks model = blocks_of(world, root, {}, kBlocks);
    std::vector<MapRun> carried;
    std::vector<std::string> lost;
    for (int step = 0; step < 4; ++step) {
      const auto pages = pages_of(world, root);
      world.make_cold();
      for (int i = 0; i < 2; ++i) {
        // Left to chance alone, some runs would have none.
        const bool the_root = round == 0 && step == 0 && i == 0;
        const PageRef page = the_root ? root->page : pages[world.random.u64() % pages.size()];
        lost.push_back(segment::object_name(segment::ObjectKind::map, page.object.id, page.nonce));
        world.faults.lose(lost.back());
        roots_lost += page == root->page ? 1 : 0;
      }
      volume::RunMap changes;
      for (const MapRun& one : carried) changes.put(one);
      Blocks expected = blocks_of(world, root, carried, kBlocks);
      for (const MapRun& one : random_changes(world.random, kBlocks)) {
        changes.put(one);
        for (BlockIndex at = one.block; at < one.end(); at = at.next())
          expected[at.value] = model[at.value] = one.hole ? 0 : one.extent.number;
      }
      carried.clear();
      auto writer = world.writer();
      volume::Ledger ledger;
      const auto updated = map_update(world.loader(), writer, root, changes.runs(), ledger, &carried);
      ASSERT_TRUE(updated) << updated.error().message();
      ASSERT_TRUE(writer.finish());
      root = *updated;
      carried_ever += carried.size();
      const Blocks found = blocks_of(world, root, carried, kBlocks);
      for (std::uint64_t i = 0; i < kBlocks; ++i) {
        // Where a leaf became empty, the one before answers for its blocks: perhaps one that is lost.
        if (expected[i] == 0u && !found[i]) continue;
        ASSERT_EQ(expected[i], found[i]) << "round " << round << ", block " << i;
      }
      for (const std::string& name : lost) world.faults.restore(name);
      ASSERT_EQ(model, blocks_of(world, root, carried, kBlocks)) << "round " << round;
      lost.clear();
    }
  }
  EXPECT_GT(carried_ever, 100u);
  EXPECT_GE(roots_lost, 1u);
}

TEST(LostPageTest, RowsOfOtherTreesAreCarriedToo) {
  TreeWorld world(1);
  world.object_bytes = 1;  // each page in its own
  const auto row = [](int i, std::string_view value) {
    return volume::TreeChange{Bytes{static_cast<std::uint8_t>(i)}, Bytes(value.begin(), value.end())};
  };
  std::vector<volume::TreeChange> rows;
  for (int i = 0; i < 200; i += 2) rows.push_back(row(i, "old"));
  auto writer = world.writer();
  volume::Ledger ledger;
  const auto root = tree_update(world.loader(), writer, TreeId::tags, {}, rows, ledger);
  ASSERT_TRUE(root && writer.finish());
  const auto pages = pages_of(world, *root);
  world.make_cold();
  world.faults.lose(segment::object_name(segment::ObjectKind::map, pages.back().object.id,
                                         pages.back().nonce));
  std::vector<volume::TreeChange> changes = {row(0, "new"), row(199, "new"), row(201, "new")};
  std::vector<volume::TreeChange> carried;
  auto again = world.writer();
  EXPECT_FALSE(tree_update(world.loader(), again, TreeId::tags, *root, changes, ledger));
  auto third = world.writer();
  const auto updated = tree_update(world.loader(), third, TreeId::tags, *root, changes, ledger, &carried);
  ASSERT_TRUE(updated) << updated.error().message();
  ASSERT_TRUE(third.finish());
  ASSERT_EQ(carried.size(), 2u);
  EXPECT_EQ(carried[0].key, changes[1].key);
  EXPECT_EQ(carried[1].value, changes[2].value);
  const auto found = tree_find(world.loader(), *updated, changes[0].key);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(**found, *changes[0].value);
}

// ---- The writer ---------------------------------------------------------------------------------

TEST(PageWriterTest, AnswersEveryObjectAsItIsStored) {
  TreeWorld world(1);
  auto writer = world.writer();
  std::vector<MapRun> runs;
  for (std::uint32_t i = 0; i < 1000; ++i) runs.push_back(data_run(2 * i, 1, i));
  volume::Ledger ledger;
  const auto root = map_update(world.loader(), writer, std::nullopt, runs, ledger);
  ASSERT_TRUE(root);
  const auto objects = writer.finish();
  ASSERT_TRUE(objects);
  EXPECT_GT(objects->size(), 5u);
  for (const volume::ObjectInfo& info : *objects) {
    EXPECT_EQ(info.kind, segment::ObjectKind::map);
    const auto stored =
        world.memory.get(segment::object_name(info.kind, info.key.id, info.nonce), 1 << 20);
    ASSERT_TRUE(stored);
    EXPECT_EQ(info.length, stored->size());
    EXPECT_EQ(info.hash, crypto::blake2b(*stored));
    EXPECT_LE(info.length, world.object_bytes + world.page_bytes + 200);
    EXPECT_TRUE(volume::decode_map_object_header(
        ByteView(*stored).first(volume::map_object_header_size())));
  }
  EXPECT_TRUE(writer.finish()->empty());
}

// Puts everything twice, as a retry does when the first answer was lost.
class PutsTwice final : public store::ObjectStore {
 public:
  explicit PutsTwice(store::ObjectStore& inner) : inner_(inner) {}
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    (void)inner_.put(name, parts);
    if (forge)
      (void)inner_.remove(name), (void)inner_.put(name, std::vector<ByteView>{as_bytes("other")});
    return inner_.put(name, parts);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max) override {
    return inner_.get(name, max);
  }
  Result<> get_range(const std::string& name, std::uint64_t at, MutableByteView out) override {
    return inner_.get_range(name, at, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override { return inner_.head(name); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& after,
                               std::size_t max) override {
    return inner_.list(prefix, after, max);
  }
  Result<> remove(const std::string& name) override { return inner_.remove(name); }
  store::StoreCaps caps() const override { return inner_.caps(); }
  std::string describe() const override { return inner_.describe(); }
  bool forge = false;

 private:
  store::ObjectStore& inner_;
};

TEST(PageWriterTest, ObjectAlreadyPutByALostTryIsItsOwn) {
  TreeWorld world(1);
  PutsTwice twice(world.memory);
  const auto target = world.writer().target();
  for (bool forge : {false, true}) {
    volume::PageWriter writer({.store = twice,
                               .random = world.random,
                               .loader = world.loader(),
                               .vid = target.vid,
                               .ring = target.ring,
                               .page_key = target.page_key,
                               .new_id = target.new_id});
    const std::vector<MapRun> runs = {data_run(1, 1)};
    volume::Ledger ledger;
    ASSERT_TRUE(map_update(world.loader(), writer, std::nullopt, runs, ledger));
    twice.forge = forge;
    const auto finished = writer.finish();
    EXPECT_EQ(finished.has_value(), !forge);
    EXPECT_EQ(is(finished, Code::kCorrupt), forge);
  }
}

TEST(PageWriterTest, OutageIsItsError) {
  TreeWorld world(1);
  auto writer = world.writer();
  const std::vector<MapRun> runs = {data_run(1, 1)};
  volume::Ledger ledger;
    ASSERT_TRUE(map_update(world.loader(), writer, std::nullopt, runs, ledger));
  world.faults.set_away(true);
  EXPECT_TRUE(is(writer.finish(), Code::kTransient));
}

// ---- Damage -------------------------------------------------------------------------------------

TEST(TreeDamageTest, AnyFlippedByteOfAPageIsNoticed) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 40);
  ASSERT_EQ(root->level, 1);
  for (const PageRef& ref : pages_of(world, root)) {
    const std::string name =
        segment::object_name(segment::ObjectKind::map, ref.object.id, ref.nonce);
    const Bytes intact = *world.memory.get(name, 1 << 20);
    for (std::size_t at = ref.offset; at < ref.offset + ref.length; ++at) {
      Bytes damaged = intact;
      damaged[at] ^= static_cast<std::uint8_t>(1u << at % 8);
      world.faults.replace(name, damaged);
      world.make_cold();
      ASSERT_TRUE(
          is(map_lookup(world.loader(), root, BlockIndex(0), BlockIndex(100), [](const MapRun&) {}),
             Code::kCorrupt))
          << at;
    }
    world.faults.restore(name);
  }
}

TEST(TreeDamageTest, EveryPartOfAReferenceCounts) {
  TreeWorld world(1);
  const MaybeRoot root = sparse_map(world, 1);
  const auto load = [&](const std::function<void(PageRef&)>& change) {
    PageRef ref = root->page;
    change(ref);
    world.make_cold();
    return world.loader().load(ref);
  };
  EXPECT_TRUE(load([](PageRef&) {}));
  EXPECT_TRUE(is(load([](PageRef& ref) { ref.hash[31] ^= 1; }), Code::kCorrupt));
  EXPECT_TRUE(is(load([](PageRef& ref) { ref.length -= 1; }), Code::kCorrupt));
  EXPECT_TRUE(is(load([](PageRef& ref) { ref.length = 0; }), Code::kCorrupt));
  EXPECT_TRUE(is(load([](PageRef& ref) { ref.length = ~0u; }), Code::kCorrupt));
  EXPECT_TRUE(is(load([](PageRef& ref) { ref.offset += 1; }), Code::kCorrupt));
  EXPECT_TRUE(is(load([](PageRef& ref) { ref.object.origin = 1; }), Code::kCorrupt));
  EXPECT_TRUE(is(load([](PageRef& ref) { ref.nonce[0] ^= 1; }), Code::kNotFound));
}

TEST(TreeDamageTest, MissingPageCostsItsBlocksOnlyAndNotForEver) {
  TreeWorld world(1);
  world.object_bytes = 1;  // an object for each page
  const MaybeRoot root = sparse_map(world, 1000);
  const auto pages = pages_of(world, root);
  const PageRef lost = pages.back();  // the last leaf
  const std::string name =
      segment::object_name(segment::ObjectKind::map, lost.object.id, lost.nonce);
  const auto expected = runs_in(world, root, 0, 2000);
  world.make_cold();
  world.faults.lose(name);
  EXPECT_FALSE(
      map_lookup(world.loader(), root, BlockIndex(0), BlockIndex(2000), [](const MapRun&) {}));
  EXPECT_EQ(runs_in(world, root, 0, 1000).size(), 1000u);
  world.faults.restore(name);
  EXPECT_EQ(runs_in(world, root, 0, 2000), expected);
}

// Trees made by hand of pages that are all authentic.
class ForgedTreeTest : public testing::Test {
 protected:
  PageRef leaf(const std::vector<MapRun>& runs, TreeId tree = TreeId::map) {
    Page page;
    page.tree = tree;
    for (const MapRun& run : runs) page.entries.push_back(encode_run(run));
    if (!runs.empty()) page.first_key = page.entries[0].key;
    return *writer_.write(page);
  }
  PageRef inner(std::uint8_t level,
                const std::vector<std::pair<std::uint64_t, PageRef>>& children) {
    Page page;
    page.kind = PageKind::inner;
    page.level = level;
    for (const auto& [block, ref] : children) {
      page.entries.push_back({encode_run(data_run(block, 1)).key, volume::encode_page_ref(ref)});
    }
    page.first_key = page.entries[0].key;
    return *writer_.write(page);
  }
  // How looking up everything, laying something over it and seeking go.
  Code verdict(std::uint8_t level, const PageRef& ref) {
    const MaybeRoot root = TreeRoot{TreeId::map, level, ref};
    const Result<> looked =
        map_lookup(world_.loader(), root, BlockIndex(0), BlockIndex(1000), [](const MapRun&) {});
    const auto sought = map_seek(world_.loader(), root, BlockIndex(0), BlockIndex(1000), true);
    auto writer = world_.writer();
    std::vector<MapRun> changes;
    for (std::uint64_t block = 5; block < 1000; block += 10)
      changes.push_back(data_run(block, 1, 9));
    volume::Ledger ledger;
    const auto updated = map_update(world_.loader(), writer, root, changes, ledger);
    EXPECT_EQ(looked.has_value(), updated.has_value());
    if (looked) return Code::kExists;
    EXPECT_EQ(looked.error().code(), updated.error().code());
    EXPECT_FALSE(map_surely_hole(world_.loader(), root, BlockIndex(0), BlockIndex(1000)));
    (void)sought;
    return looked.error().code();
  }

  static constexpr Code kSound = Code::kExists;
  TreeWorld world_{1};
  volume::PageWriter writer_ = world_.writer();
};

TEST_F(ForgedTreeTest, SoundOneIsAccepted) {
  EXPECT_EQ(verdict(1, inner(1, {{0, leaf({data_run(0, 1)})},
                                 {100, leaf({data_run(100, 1), data_run(101, 16, 2)})}})),
            kSound);
}

TEST_F(ForgedTreeTest, SwappedChildrenAreRefused) {
  const PageRef a = leaf({data_run(0, 1)}), b = leaf({data_run(100, 1)});
  EXPECT_EQ(verdict(1, inner(1, {{0, b}, {100, a}})), Code::kCorrupt);
  EXPECT_EQ(verdict(1, inner(1, {{0, a}, {100, a}})), Code::kCorrupt);
}

TEST_F(ForgedTreeTest, PageOfAnotherTreeOrLevelIsRefused) {
  const PageRef a = leaf({data_run(0, 1)}), b = leaf({data_run(100, 1)});
  EXPECT_EQ(verdict(0, leaf({data_run(0, 1)}, TreeId::objects)), Code::kCorrupt);
  EXPECT_EQ(verdict(1, inner(1, {{0, a}, {100, leaf({data_run(100, 1)}, TreeId::tags)}})),
            Code::kCorrupt);
  EXPECT_EQ(verdict(2, inner(2, {{0, a}, {100, b}})), Code::kCorrupt);
  EXPECT_EQ(verdict(1, inner(1, {{0, inner(1, {{0, a}})}, {100, b}})), Code::kCorrupt);
  EXPECT_EQ(verdict(1, a), Code::kCorrupt);
  EXPECT_EQ(verdict(0, inner(1, {{0, a}})), Code::kCorrupt);
  EXPECT_EQ(verdict(200, a), Code::kCorrupt);
}

TEST_F(ForgedTreeTest, RunBeyondItsLeafIsRefused) {
  const PageRef b = leaf({data_run(100, 1)});
  EXPECT_EQ(verdict(1, inner(1, {{0, leaf({data_run(0, 1), data_run(99, 1)})}, {100, b}})), kSound);
  EXPECT_EQ(verdict(1, inner(1, {{0, leaf({data_run(0, 1), data_run(99, 2)})}, {100, b}})),
            Code::kCorrupt);
  EXPECT_EQ(verdict(1, inner(1, {{0, leaf({data_run(0, 1), data_run(100, 1)})}, {100, b}})),
            Code::kCorrupt);
}

TEST_F(ForgedTreeTest, InheritedBoundCounts) {
  const PageRef low =
      inner(1, {{0, leaf({data_run(0, 1)})}, {50, leaf({data_run(50, 1), data_run(150, 1)})}});
  const PageRef high = inner(1, {{100, leaf({data_run(100, 1)})}});
  EXPECT_EQ(verdict(2, inner(2, {{0, low}, {100, high}})), Code::kCorrupt);
}

TEST_F(ForgedTreeTest, KeyBeyondItsLeafIsRefusedInAnyTree) {
  const auto page = [&](std::uint8_t level, std::vector<PageEntry> entries) {
    Page page;
    page.kind = level == 0 ? PageKind::leaf : PageKind::inner;
    page.tree = TreeId::tags;
    page.level = level;
    page.first_key = entries[0].key;
    page.entries = std::move(entries);
    return *writer_.write(page);
  };
  const auto scan = [&](const PageRef& a, const PageRef& b) {
    const PageRef root =
        page(1, {{{1}, volume::encode_page_ref(a)}, {{5}, volume::encode_page_ref(b)}});
    return volume::tree_scan(world_.loader(), TreeRoot{TreeId::tags, 1, root}, {},
                             [](const PageEntry&) -> Result<bool> { return true; });
  };
  const PageRef b = page(0, {{{5}, {}}});
  EXPECT_TRUE(scan(page(0, {{{1}, {}}, {{4, 9}, {}}}), b));
  EXPECT_TRUE(is(scan(page(0, {{{1}, {}}, {{5}, {}}}), b), Code::kCorrupt));
  EXPECT_TRUE(is(scan(page(0, {{{1}, {}}, {{5, 1}, {}}}), b), Code::kCorrupt));
}

TEST_F(ForgedTreeTest, EmptyPagesAndStoredHolesAreRefused) {
  EXPECT_EQ(verdict(0, leaf({})), Code::kCorrupt);
  EXPECT_EQ(verdict(0, leaf({hole_run(0, 5)})), Code::kCorrupt);
}

}  // namespace
}  // namespace s3crate::test
