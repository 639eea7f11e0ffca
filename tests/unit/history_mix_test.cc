// SPDX-License-Identifier: GPL-3.0-or-later
// All that makes history, in one: volumes, forks of them and forks of those are written to, resized, rolled back, imported into, tagged,
// forked, killed in any of that, and mounted elsewhere; each generation of each reads as it was, beside its live disk and after.
#include <gtest/gtest.h>

#include "segment/object_names.h"
#include "tests/support/crate.h"
#include "tests/support/seed.h"

namespace s3crate {
namespace {

using test::Crate;
using test::DiskWorld;

constexpr std::size_t kCratesMax = 5;
constexpr int kSteps = 160;

class HistoryMixTest : public testing::Test {
 protected:
  Crate& any_crate() { return *crates_[random_() % crates_.size()]; }
  void add(std::unique_ptr<Crate> crate) {
    crate->world.options.page_bytes = 512;
    crate->world.options.checkpoint_runs = 24;
    crate->world.options.history_age_max = {};
    crate->let_blind_in();
    crates_.push_back(std::move(crate));
  }

  // One of those, done or killed in the middle.
  void make_generation(Crate& crate) {
    const unsigned kind = random_() % 8;
    if (kind < 4) crate.write_some(random_);
    if (testing::Test::HasFatalFailure()) return;
    const bool killed = random_() % 3 == 0;
    if (kind == 7) ASSERT_OK(crate.world.close());
    if (killed) {
      if (crate.world.disk) ASSERT_OK(crate.world.disk->flush());
      crate.line.die_after(static_cast<std::int64_t>(random_() % 12));
    }
    auto attempt = kind < 4    ? crate.try_sync()
                   : kind == 4 ? crate.try_resize(random_)
                   : kind < 7  ? crate.try_roll_back(crate.any_state(random_))
                   : random_() % 2 == 0 ? crate.try_import(random_)
                                        : crate.try_blind_import(random_);
    ++(killed ? killed_ : done_)[kind];
    if (!killed) return crate.take(std::move(attempt));
    cut_off_ += !attempt.done;
    crate.survive(std::move(attempt));
  }
  void give_or_take_tag(Crate& crate) {
    if (!crate.tags.empty() && random_() % 3 == 0) crate.untag(crate.tags.begin()->first);
    else crate.tag(fmt::format("tag{}", tags_++), crate.any_state(random_));
  }
  void fork(Crate& origin) {
    auto target = std::make_unique<Crate>(Crate::Empty::yes);
    const Generation point = origin.any_state(random_);
    if (random_() % 2 == 0) {  // one that does not get through: what it leaves is nobody's
      target->line.die_after(static_cast<std::int64_t>(random_() % 5));
      (void)origin.fork_to(*target, point);
      target = std::make_unique<Crate>(Crate::Empty::yes);
    }
    target->begin_as_fork_of(origin, point);
    if (HasFatalFailure()) return;
    ASSERT_OK(target->world.close());
    add(std::move(target));
    ASSERT_OK(crates_.back()->world.open());
  }
  void mount_again(Crate& crate) {
    switch (random_() % 3) {
      case 0: ASSERT_OK(crate.world.close()); break;
      case 1: crate.world.vanish(); break;
      default:  // another machine
        crate.world.vanish();
        crate.world.lose_state();
        crate.world.options.take_over = true;
    }
    ASSERT_OK(crate.world.open());
    crate.world.options.take_over = false;
    crate.expect_all_states();
  }
  void look_back(Crate& crate) {
    crate.expect_in_history(crate.any_state(random_));
    for (const auto& [name, generation] : crate.tags) {
      const auto found = crate.world.disk->history()->find(name);
      ASSERT_OK(found);
      EXPECT_EQ(found->generation, generation) << name;
    }
  }
  void step() {
    Crate& crate = any_crate();
    switch (random_() % 12) {
      case 0: give_or_take_tag(crate); break;
      case 1: if (crates_.size() < kCratesMax) fork(crate); break;
      case 2: mount_again(crate); break;
      case 3: case 4: look_back(crate); break;
      default: make_generation(crate); break;
    }
  }

  const std::uint64_t seed_ = test::test_seed();
  const testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", seed_)};
  std::mt19937_64 random_{seed_};
  std::vector<std::unique_ptr<Crate>> crates_;  // forks after their origins
  int tags_ = 0, cut_off_ = 0;
  std::map<unsigned, int> done_, killed_;
};

TEST_F(HistoryMixTest, EveryGenerationOfEveryForkReadsAsItWasBesideTheLiveDisksAndAfter) {
  add(std::make_unique<Crate>(64));
  ASSERT_OK(crates_[0]->world.open());
  crates_[0]->note();
  for (int i = 0; i < kSteps; ++i) {
    SCOPED_TRACE(i);
    step();
    if (HasFatalFailure()) return;
  }
  for (auto& crate : crates_) {
    crate->expect_all_states();
    look_back(*crate);
    if (HasFatalFailure()) return;
  }
  for (auto& crate : crates_) ASSERT_OK(crate->world.close());
  for (std::size_t i = 0; i < crates_.size(); ++i) {
    SCOPED_TRACE(fmt::format("volume {}", i));
    crates_[i]->expect_all_states();
    crates_[i]->expect_sound();
  }
  EXPECT_GT(crates_.size(), 1u);
  EXPECT_GT(cut_off_, 0);
}

}  // namespace
}  // namespace s3crate
