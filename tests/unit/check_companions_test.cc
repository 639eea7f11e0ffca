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
Checked check_with(DamageWorld& world, const std::function<void(Liveness&)>& change) {
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
  volume::CheckOptions options;
  volume::Findings findings(options, DiskWorld::kBlock);
  CHECK(volume::check_companions(*volume, view, findings));
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

}  // namespace
}  // namespace s3crate::test
