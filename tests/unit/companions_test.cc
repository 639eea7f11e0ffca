// SPDX-License-Identifier: GPL-3.0-or-later
// The companions of the map, checkpoint after checkpoint, against a recount of all pages: what is in
// use is counted to the block and the page, what died has really gone, and nothing that an old map
// needs is dead for it.
#include "volume/companions.h"

#include <gtest/gtest.h>

#include <set>

#include "segment/object_names.h"
#include "tests/support/map_model.h"
#include "tests/support/seed.h"
#include "volume/map_leaf.h"

namespace s3crate::test {
namespace {

using segment::ObjectInfo;
using segment::ObjectKey;
using segment::ObjectKind;
using volume::Companions;
using volume::Event;
using volume::Ledger;
using volume::Liveness;
using volume::Page;
using volume::PageKind;

using Counts = std::map<ObjectKey, std::uint64_t>;

void recount(TreeWorld& world, const MaybeRoot& root, Counts& counts) {
  for (const PageRef& ref : pages_of(world, root)) {
    counts[ref.object]++;
    const auto page = *world.loader().load(ref);
    if (page->tree != volume::TreeId::map || page->kind == PageKind::inner) continue;
    for (const PageEntry& entry : page->entries) {
      const auto run = *volume::decode_run(entry);
      if (!run.hole) counts[run.extent.object] += run.count;
    }
  }
}
Counts recount(TreeWorld& world, const MaybeRoot& map, const Companions& companions) {
  Counts counts;
  recount(world, map, counts);
  for (const MaybeRoot* root : {&companions.objects, &companions.liveness, &companions.dead,
                                &companions.catalogue, &companions.tags})
    recount(world, *root, counts);
  return counts;
}

std::map<ObjectKey, Liveness> rows_of(TreeWorld& world, const MaybeRoot& root) {
  std::map<ObjectKey, Liveness> rows;
  EXPECT_TRUE(tree_scan(world.loader(), root, {}, [&](const PageEntry& entry) -> Result<bool> {
    rows.insert(*volume::decode_liveness(entry));
    return true;
  }));
  return rows;
}

// A volume's checkpoints without the rest of the volume.
struct History {
  explicit History(TreeWorld& w) : world(w) {}

  // What a generation wrote: each its own segment.
  void write(const std::vector<MapRun>& runs) {
    const Generation generation = now = now.next();
    ObjectInfo info{.key = {0, volume::ObjectId::of(2, generation.value)},
                    .kind = ObjectKind::segment,
                    .born = generation};
    for (MapRun run : runs) {
      if (!run.hole) run.extent.object = info.key;
      info.blocks += run.hole ? 0 : run.count;
      info.has_holes = info.has_holes || (run.hole && holes_count);
      changes.put(run);
    }
    fresh.push_back(info);
    pass(volume::CommitKind::data);
  }
  void pass(volume::CommitKind kind, std::vector<volume::Tag> tags = {}) {
    Event event;
    event.entry.generation = now;
    event.entry.kind = kind;
    event.entry.time = WallTime(Duration(1000 * now.value));
    event.tags = std::move(tags);
    events.push_back(event);
    kinds[now] = kind;
  }
  void tag(volume::CommitKind kind, const std::string& name, Generation generation) {
    now = now.next();
    pass(kind, {{name, generation}});
  }

  void checkpoint(std::size_t walk_pages = 512) {
    const Generation as_of = now;
    auto writer = world.writer();
    companions.late.clear_net();
    companions.late = *Ledger::decode(late);
    auto updated = map_update(world.loader(), writer, map, changes.runs(), companions.late);
    ASSERT_TRUE(updated);
    ASSERT_TRUE(companions.late.walk(world.loader(), walk_pages, 48));
    std::ranges::sort(fresh, {}, &ObjectInfo::key);
    std::vector<volume::TreeChange> carried;
    auto next = update_companions(world.loader(), writer, companions,
                                  {.as_of = as_of, .previous = previous, .objects = fresh, .events = events},
                                  carried);
    ASSERT_TRUE(next) << next.error().message();
    std::erase_if(fresh, [&](const ObjectInfo& info) {
      const Bytes key = volume::object_table_key(info.key);
      return std::ranges::find(carried, key, &volume::TreeChange::key) == carried.end();
    });
    left = fresh.size();
    auto own = *writer.finish();
    map = *updated;
    companions = *next;
    late = companions.late.encode(65536);
    changes.clear();
    events.clear();
    now = Generation(now.value + 1 + commits_meanwhile);
    previous = {now, as_of, {}};
    for (ObjectInfo& info : own) info.born = now, info.length = 1;
    fresh.insert(fresh.end(), own.begin(), own.end());
    pass(volume::CommitKind::checkpoint);
    checkpoints.push_back({previous, map, companions});
  }

  struct Checkpoint {
    volume::CheckpointRef ref;
    MaybeRoot map;
    Companions companions;
  };
  TreeWorld& world;
  bool holes_count = false;
  std::uint64_t commits_meanwhile = 0;  // of others, between a checkpoint's P and its C
  Generation now;
  volume::CheckpointRef previous;
  std::size_t left = 0;  // of the objects: what the last checkpoint's table could not take
  volume::RunMap changes;
  std::vector<ObjectInfo> fresh;
  std::vector<Event> events;
  std::map<Generation, volume::CommitKind> kinds;
  MaybeRoot map;
  Companions companions;
  Bytes late = Ledger().encode(1000);
  std::vector<Checkpoint> checkpoints;
};

// The rows of the newest checkpoint, with what it left to be noted, are what a recount says.
void expect_exact(History& history) {
  TreeWorld& world = history.world;
  Companions& companions = history.companions;
  if (!companions.late.dropped().empty()) return;
  const Counts counts = recount(world, history.map, companions);
  const auto rows = rows_of(world, companions.liveness);
  const std::set<ObjectKey> fresh = [&] {
    std::set<ObjectKey> keys;
    for (const ObjectInfo& info : history.fresh) keys.insert(info.key);
    return keys;
  }();
  for (const auto& [key, row] : rows) {
    const auto found = counts.find(key);
    auto expected = static_cast<std::int64_t>(found == counts.end() ? 0 : found->second);
    if (const auto late = companions.late.net().find(key); late != companions.late.net().end())
      expected -= late->second;
    EXPECT_EQ(static_cast<std::int64_t>(row.live), expected) << key.id.epoch() << "/" << key.id.counter();
    EXPECT_EQ(row.live == 0, row.died != Generation(0));
  }
  for (const auto& [key, count] : counts)
    EXPECT_TRUE(rows.contains(key) || fresh.contains(key)) << key.id.epoch() << "/" << key.id.counter();
  std::size_t dead = 0;
  ASSERT_TRUE(tree_scan(world.loader(), companions.dead, {}, [&](const PageEntry&) -> Result<bool> {
    dead++;
    return true;
  }));
  EXPECT_EQ(dead, static_cast<std::size_t>(std::ranges::count_if(
                      rows, [](const auto& row) { return row.second.died != Generation(0); })));
}

// What the newest liveness calls dead, no generation needs whose commit names an older checkpoint
// (rule 7 of the format).
void expect_never_early(History& history) {
  const auto rows = rows_of(history.world, history.companions.liveness);
  const auto& all = history.checkpoints;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& old = all[i];
    const Generation end = i + 1 < all.size() ? all[i + 1].ref.commit : history.now;
    for (const auto& [key, count] : recount(history.world, old.map, old.companions)) {
      const auto row = rows.find(key);
      if (row == rows.end()) continue;
      const bool is_page = key.id.epoch() == 1;
      const Generation born = is_page ? old.ref.commit : old.ref.as_of;  // at the latest
      for (Generation g = old.ref.commit; g < end; g = g.next())
        EXPECT_TRUE(volume::is_needed(born, row->second.died, g, old.ref))
            << key.id.epoch() << "/" << key.id.counter() << " at " << g.value;
    }
  }
}
TEST(CompanionsTest, LivenessIsWhatARecountSays) {
  SEEDED_TEST(seed);
  std::size_t died = 0, walked_late = 0;
  for (std::uint64_t round = 0; round < 6; ++round) {
    std::mt19937_64 random(seed + round);
    TreeWorld world(seed + round, 1 << 20);
    world.page_bytes = round % 2 == 0 ? 400 : 6000;
    world.object_bytes = 20'000;
    History history(world);
    history.commits_meanwhile = round % 3 * 2;
    MapModel model(kMapModelBlocks);
    std::uint32_t number = 0;
    for (int step = 0; step < 40; ++step) {
      for (std::uint64_t n = 1 + random() % 4; n > 0; --n) history.write(random_changes(random, model, number));
      ASSERT_NO_FATAL_FAILURE(history.checkpoint(random() % 3 == 0 ? 2 : 512));
      walked_late += history.companions.late.dropped().empty() ? 0 : 1;
      ASSERT_NO_FATAL_FAILURE(expect_exact(history)) << "step " << step;
      ASSERT_FALSE(testing::Test::HasFailure()) << "round " << round << " step " << step;
    }
    ASSERT_NO_FATAL_FAILURE(expect_never_early(history));
    for (const auto& [key, row] : rows_of(world, history.companions.liveness))
      EXPECT_LE(row.died, history.previous.commit);
    for (const auto& [key, row] : rows_of(world, history.companions.liveness)) died += row.died.value > 0 ? 1 : 0;
    ASSERT_NO_FATAL_FAILURE(expect_range(world, history.map, model, 0, kMapModelBlocks));
  }
  EXPECT_GT(died, 100u);
  EXPECT_GT(walked_late, 3u);
}

TEST(CompanionsTest, SubtreesThatAreDroppedUnreadAreWalkedAFewPagesAtATime) {
  TreeWorld world(1);
  History history(world);
  std::vector<MapRun> all;
  for (std::uint64_t i = 0; i < 5000; ++i) all.push_back(data_run(2 * i, 1, static_cast<std::uint32_t>(i)));
  history.write(all);
  history.checkpoint();
  world.make_cold();
  const std::uint64_t reads = world.reads();
  history.write({hole_run(0, 9000)});
  history.checkpoint(10);
  EXPECT_LE(world.reads() - reads, 30u);
  EXPECT_FALSE(history.companions.late.dropped().empty());
  const ObjectKey first{0, volume::ObjectId::of(2, 1)};
  EXPECT_EQ(rows_of(world, history.companions.liveness)[first].died, Generation(0));
  int more = 0;
  while (!history.companions.late.dropped().empty() && ++more < 1000) {
    history.write({});
    history.checkpoint(10);
  }
  EXPECT_GT(more, 5);
  EXPECT_EQ(rows_of(world, history.companions.liveness)[first].live, 500u);
  expect_exact(history);
  expect_never_early(history);
}

TEST(CompanionsTest, SegmentWhoseIndexTellsHolesStaysAlive) {
  TreeWorld world(1);
  History history(world);
  history.holes_count = true;
  history.write({data_run(0, 4), hole_run(8, 4)});
  history.write({data_run(100, 1)});
  history.checkpoint();
  history.write({data_run(0, 4), data_run(100, 1)});
  history.checkpoint();
  auto rows = rows_of(world, history.companions.liveness);
  EXPECT_EQ((rows[{0, volume::ObjectId::of(2, 1)}]), (Liveness{1, Generation(0)}));
  EXPECT_EQ((rows[{0, volume::ObjectId::of(2, 2)}]), (Liveness{0, Generation(4)}));
}

TEST(CompanionsTest, WhatNoMapEverHeldDiesWithItsCheckpoint) {
  TreeWorld world(1);
  History history(world);
  history.write({data_run(0, 4)});
  history.write({data_run(0, 4)});  // over it, before any checkpoint
  history.checkpoint();
  auto rows = rows_of(world, history.companions.liveness);
  EXPECT_EQ((rows[{0, volume::ObjectId::of(2, 1)}]), (Liveness{0, Generation(2)}));
  EXPECT_EQ((rows[{0, volume::ObjectId::of(2, 2)}]), (Liveness{4, Generation(0)}));
}

// Its row waits for a sound page, and is told to each checkpoint until then.
TEST(CompanionsTest, WhatTheTableCannotTakeStaysInUse) {
  TreeWorld world(1);
  world.object_bytes = 1;  // an object for each page
  History history(world);
  history.write({data_run(0, 4)});
  history.checkpoint();
  const PageRef table = history.companions.objects->page;
  const std::string name = segment::object_name(ObjectKind::map, table.object.id, table.nonce);
  world.faults.lose(name);
  world.make_cold();
  history.write({data_run(100, 4)});
  const ObjectKey segment{0, volume::ObjectId::of(2, history.now.value)};
  for (int i = 0; i < 3; ++i) {
    history.checkpoint();
    EXPECT_GE(history.left, 2u);  // the segment, and pages
    world.make_cold();
    EXPECT_EQ(rows_of(world, history.companions.liveness)[segment], (Liveness{4, Generation(0)})) << i;
    history.write({data_run(200, 1)});
  }
  world.faults.restore(name);
  world.make_cold();
  history.checkpoint();
  EXPECT_EQ(history.left, 0u);
  history.write({hole_run(100, 4)});
  history.checkpoint();
  EXPECT_EQ(rows_of(world, history.companions.liveness)[segment].live, 0u);
  EXPECT_NE(rows_of(world, history.companions.liveness)[segment].died, Generation(0));
  expect_never_early(history);
}

TEST(CompanionsTest, CatalogueAndTagsFollowTheChain) {
  TreeWorld world(1);
  History history(world);
  history.write({data_run(0, 1)});
  history.tag(volume::CommitKind::tag, "first", Generation(1));
  history.tag(volume::CommitKind::tag, "gone", Generation(1));
  history.checkpoint();
  history.write({data_run(1, 1)});
  history.tag(volume::CommitKind::untag, "gone", Generation(1));
  history.tag(volume::CommitKind::tag, "second", Generation(5));
  history.checkpoint();
  std::map<Generation, volume::CommitKind> kinds;
  ASSERT_TRUE(tree_scan(world.loader(), history.companions.catalogue, {}, [&](const PageEntry& e) -> Result<bool> {
    const auto row = *volume::decode_catalogue(e);
    kinds[row.generation] = row.kind;
    return true;
  }));
  history.kinds.erase(history.previous.commit);  // the newest checkpoint itself comes with the next
  EXPECT_EQ(kinds, history.kinds);
  std::map<std::string, Generation> tags;
  ASSERT_TRUE(tree_scan(world.loader(), history.companions.tags, {}, [&](const PageEntry& e) -> Result<bool> {
    const auto row = *volume::decode_tag(e);
    tags[row.name] = row.generation;
    return true;
  }));
  EXPECT_EQ(tags, (std::map<std::string, Generation>{{"first", Generation(1)}, {"second", Generation(5)}}));
}

// Else an update that writes many pages of a big disk anew remembers most objects of it.
TEST(CompanionsTest, LedgerRemembersOnlyWhatChanged) {
  TreeWorld world(1);
  world.page_bytes = 6000;
  std::vector<MapRun> all;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    all.push_back(data_run(2 * i, 1, 1));
    all.back().extent.object.id = volume::ObjectId::of(3, i + 1);
  }
  const MaybeRoot root = update_map(world, std::nullopt, all);
  std::vector<MapRun> changes;
  for (std::uint64_t i = 0; i < 1000; i += 3) changes.push_back(all[i]), changes.back().extent.object.id = volume::ObjectId::of(4, 1);
  Ledger ledger;
  auto writer = world.writer();
  ASSERT_TRUE(map_update(world.loader(), writer, root, changes, ledger));
  EXPECT_LE(ledger.net().size(), changes.size() + 100);  // old objects, the new one, and pages
  EXPECT_EQ((ledger.net().at({0, volume::ObjectId::of(4, 1)})), static_cast<std::int64_t>(changes.size()));
}

TEST(CompanionsTest, NumbersThatWouldOverflowAreRefused) {
  const ObjectKey key{0, volume::ObjectId::of(3, 1)};
  EXPECT_TRUE(volume::decode_liveness(volume::encode_liveness(key, {volume::kLiveMax, {}})));
  EXPECT_FALSE(volume::decode_liveness(volume::encode_liveness(key, {volume::kLiveMax + 1, {}})));
  Ledger ledger;
  MapRun run = data_run(0, volume::kLiveMax + 1);
  ledger.add(run);
  EXPECT_FALSE(Ledger::decode(ledger.encode(1000)));
}

TEST(CompanionsTest, LedgerSurvivesItsCodec) {
  TreeWorld world(7);
  Ledger ledger;
  MapRun run = data_run(5, 3);
  ledger.forget(run);
  run.extent.object.id = volume::ObjectId::of(9, 77);
  ledger.add(run);
  const MaybeRoot root = sparse_map(world, 100);
  ledger.forget_page(root->page);
  ledger.drop({.level = 2, .page = root->page, .from = {1, 2}, .to = {3}});
  ledger.drop({.level = 2, .page = root->page, .from = {3}, .to = {}});  // goes on where the last one ended
  ledger.drop({.level = 1, .page = root->page, .from = {4}, .to = {5}});
  const Bytes bytes = ledger.encode(65536);
  auto again = Ledger::decode(bytes);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->net(), ledger.net());
  EXPECT_EQ(again->dropped(), ledger.dropped());
  EXPECT_EQ(again->dropped().size(), 2u);
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_FALSE(Ledger::decode(ByteView(bytes).first(n))) << n;
  EXPECT_LE(ledger.encode(1500).size(), 1500u);
  EXPECT_EQ(Ledger::decode(ledger.encode(10))->net().size(), 0u);
}

// As many as a checkpoint leaves to the next one, at places far apart.
TEST(CompanionsTest, NotesOfFourHundredPlacesFitBesideCounts) {
  Ledger ledger;
  MapRun run = data_run(0, 1);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    run.extent.object.id = volume::ObjectId::of(1 << 20, (std::uint64_t{1} << 39) + i);
    ledger.forget(run);
  }
  for (std::uint64_t i = 0; i < 400; ++i) {
    const volume::BlockKey from = volume::block_key(BlockIndex(2 * i << 40)), to = volume::block_key(BlockIndex((2 * i + 1) << 40));
    const volume::PageRef page{.object = run.extent.object, .nonce = {1}, .offset = 8 << 20, .length = 65536, .hash = {2}};
    ledger.drop({.level = 2, .page = page, .from = {from.begin(), from.end()}, .to = {to.begin(), to.end()}});
  }
  const auto again = Ledger::decode(ledger.encode(segment::kExtensionBytesMax));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->net(), ledger.net());
  EXPECT_EQ(again->dropped(), ledger.dropped());
}

}  // namespace
}  // namespace s3crate::test
