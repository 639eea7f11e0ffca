// SPDX-License-Identifier: GPL-3.0-or-later
// Older generations whose map is lost, in part or as a whole, out of the commits: each against the array of bytes that it was.
#include <gtest/gtest.h>

#include "tests/support/crate.h"
#include "tests/support/seed.h"
#include "volume/rebuild.h"

namespace s3crate {
namespace {

using test::Crate;

std::vector<std::string> map_objects(Crate& crate) {
  std::vector<std::string> names;
  const auto page = crate.memory.list("map/", "", 1000).value();
  for (const auto& object : page.objects) names.push_back(object.name);
  return names;
}

TEST(RepairPastTest, EveryGenerationHasItsMapAgain) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  for (const bool all : {true, false}) {
    Crate crate(160);
    crate.world.options.page_bytes = 512;
    crate.world.options.checkpoint_runs = 24;
    ASSERT_OK(crate.world.open());
    crate.note();
    for (int step = 0; step < 50; ++step) {
      crate.write_some(random);
      if (random() % 9 == 0) crate.take(crate.try_resize(random));
      else if (random() % 9 == 0) crate.take(crate.try_roll_back(crate.any_state(random)));
      else crate.note();
      ASSERT_FALSE(HasFatalFailure());
    }
    ASSERT_OK(crate.world.close());
    const auto objects = map_objects(crate);
    ASSERT_GT(objects.size(), 4u);
    for (const std::string& name : objects)
      if (all || random() % 2 == 0) ASSERT_OK(crate.memory.remove(name));
    std::size_t rebuilt = 0;
    for (const auto& [generation, bytes] : crate.states) {
      SCOPED_TRACE(fmt::format("generation {}", generation));
      const auto volume = crate.open_volume();
      const auto commit = volume->load_commit(generation);
      ASSERT_OK(commit);
      const auto again = volume::rebuild(*volume, *commit, {});
      ASSERT_OK(again);
      rebuilt += !again->report.sound;
      EXPECT_TRUE(again->report.unreadable.empty());
      EXPECT_EQ(again->view.generation, generation);
      const auto read = test::read_view(*volume, again->view);
      ASSERT_OK(read);
      EXPECT_TRUE(*read == bytes);
    }
    EXPECT_GT(rebuilt, all ? crate.states.size() / 2 : 0);

    Crate fork(Crate::Empty::yes);
    const Generation point = crate.any_state(random);
    const auto volume = crate.open_volume();
    fork.origins = {&crate.memory};
    fork.attach_origins();
    const volume::Commit commit = volume->load_commit(point).value();
    const auto view = volume::rebuild(*volume, commit, {});
    ASSERT_OK(view);
    volume::ForkOptions options;
    options.page_bytes = 1024;
    const auto slot = fork.world.slot();
    const auto made = volume::fork(system_env(), *volume, commit, view->view, fork.stores, options, {&slot, 1}, Crate::guests_of(*volume));
    ASSERT_OK(made);
    EXPECT_EQ(made->origin_generation, point);
    fork.states[Generation(2)] = crate.states.at(point);
    fork.expect_states(fork.others, fork.states);
    fork.expect_sound();
  }
}

}  // namespace
}  // namespace s3crate
