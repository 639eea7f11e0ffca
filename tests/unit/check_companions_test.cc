// SPDX-License-Identifier: GPL-3.0-or-later
// The recount of a check: a volume as its writer made it counts right, and a row that calls unused
// what is in use is told.
#include "volume/check_companions.h"

#include <gtest/gtest.h>

#include "tests/support/damage_world.h"
#include "tests/support/seed.h"

namespace s3crate::test {
namespace {

using volume::Liveness;
using volume::PageEntry;
using volume::TreeChange;

struct Checked {
  std::vector<std::string> problems;
  std::uint64_t rows = 0, dead = 0, catalogued = 0;
};

// Checks with some rows of the liveness tree exchanged.
Checked check_with(DamageWorld& world, const std::function<void(Liveness&)>& change,
                   const volume::CheckOptions& options = {}) {
  auto volume = *world.open_volume();
  const auto head = *volume->load_head();
  auto view = *volume->load_view(head);
  Checked out;
  std::vector<TreeChange> rows;
  CHECK(tree_scan(volume->pages(), view.companions.liveness, {}, [&](const PageEntry& entry) -> Result<bool> {
    auto [key, liveness] = *volume::decode_liveness(entry);
    out.rows++;
    out.dead += liveness.died.value > 0 ? 1 : 0;
    const Liveness before = liveness;
    change(liveness);
    if (!(liveness == before)) {
      PageEntry changed = volume::encode_liveness(key, liveness);
      rows.push_back({changed.key, changed.value});
    }
    return true;
  }));
  CHECK(tree_scan(volume->pages(), view.companions.catalogue, {}, [&](const PageEntry& entry) -> Result<bool> {
    EXPECT_EQ(volume::decode_catalogue(entry)->generation.value, ++out.catalogued);
    return true;
  }));
  const auto keys = volume->keys();
  std::uint64_t id = 0;
  volume::PageWriter writer({.store = world.faults, .random = system_random(), .loader = volume->pages(), .vid = keys->vid(),
                             .ring = keys->ring(), .page_key = keys->page_sealing_key(),
                             .new_id = [&]() -> Result<volume::ObjectId> { return volume::ObjectId::of(999, ++id); }});
  volume::Ledger ledger;
  view.companions.liveness =
      *tree_update(volume->pages(), writer, volume::TreeId::liveness, view.companions.liveness, rows, ledger);
  CHECK(writer.finish());
  volume::Findings findings(options, DiskWorld::kBlock);
  CHECK(volume::check_companions(*volume, view, options, findings));
  for (const auto& damage : findings.report().damages) out.problems.push_back(damage.what);
  return out;
}

TEST(CheckCompanionsTest, WhatAWriterMadeCountsRight) {
  SEEDED_TEST(seed);
  DamageWorld world(seed, 12);
  const Checked checked = check_with(world, [](Liveness&) {});
  EXPECT_EQ(checked.problems, std::vector<std::string>{});
  EXPECT_GT(checked.rows, 20u);
  EXPECT_GT(checked.dead, 5u);
  EXPECT_GT(checked.catalogued, 20u);
}

TEST(CheckCompanionsTest, RowThatCountsTooLittleIsTold) {
  DamageWorld world(1, 6);
  std::size_t changed = 0;
  const Checked checked = check_with(world, [&](Liveness& row) {
    if (row.live < 2 || changed >= 2) return;
    row.live -= ++changed;
  });
  ASSERT_EQ(changed, 2u);
  ASSERT_GE(checked.problems.size(), 1u);  // a run that a delta page hides may have been one of them
  EXPECT_NE(checked.problems[0].find("pruning would delete what is needed"), std::string::npos);
}

TEST(CheckCompanionsTest, WhatIsInUseMayNotBeCalledDead) {
  DamageWorld world(1, 6);
  std::size_t changed = 0;
  const Checked checked = check_with(world, [&](Liveness& row) {
    if (row.live >= 1 && row.died.value == 0 && changed++ == 0) row.died = Generation(3);
  });
  EXPECT_EQ(checked.problems.size(), 1u);
}

TEST(CheckCompanionsTest, WhatCountsTooLongIsNoDamage) {
  DamageWorld world(1, 6);
  EXPECT_EQ(check_with(world, [](Liveness& row) { row.live += 3; }).problems, std::vector<std::string>{});
}

// With room for few counts at a time the trees are read again and again, and all comes out as with
// plenty.
TEST(CheckCompanionsTest, LittleMemoryFindsTheSameInMoreRounds) {
  DamageWorld world(1, 6);
  const auto spoil = [](int which) {
    return [which, n = 0](Liveness& row) mutable {
      if (row.live < 1 || row.died.value != 0 || ++n % 5 != 0) return;
      if (which == 0) row.live -= 1;
      if (which == 1) row.died = Generation(3);
    };
  };
  const Checked sound = check_with(world, [](Liveness&) {}, {.recounted_max = 3});
  EXPECT_EQ(sound.problems, std::vector<std::string>{});
  EXPECT_GT(sound.rows, 12u);
  for (int which = 0; which < 2; ++which) {
    const Checked plenty = check_with(world, spoil(which));
    EXPECT_GT(plenty.problems.size(), 1u);
    for (std::size_t room : {1, 2, 3, 7, 1000})
      EXPECT_EQ(check_with(world, spoil(which), {.recounted_max = room}).problems, plenty.problems) << room;
  }
}

TEST(CheckCompanionsTest, RecountShowsHowFarItIsAndEndsWhenAsked) {
  DamageWorld world(1, 6);
  std::atomic<bool> stop = false;
  std::uint64_t calls = 0, last = 0;
  volume::CheckOptions options{.stop = &stop, .recounted_max = 4};
  options.progress = [&](const volume::CheckProgress& at) {
    if (at.phase != "counts") return;
    EXPECT_GE(at.done, last);
    EXPECT_LE(at.done, at.total);
    last = at.done;
    stop = ++calls > 20;
  };
  const auto report = world.check(options);
  EXPECT_TRUE(is(report, Code::kCancelled));
  EXPECT_EQ(calls, 21u);
}

}  // namespace
}  // namespace s3crate::test
