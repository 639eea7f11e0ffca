// SPDX-License-Identifier: GPL-3.0-or-later
// Guests beside a writer.
#include "tests/sim/scenario.h"
#include "volume/guest.h"

namespace s3crate::sim {
namespace {

using volume::Commit;
using volume::CommitKind;

std::uint64_t tags_in(volume::Volume& volume) {
  std::uint64_t tags = 0;
  for (Generation g = volume.load_head()->header.generation; g >= Generation(1); g = Generation(g.value - 1))
    tags += volume.load_commit(g)->body.kind == CommitKind::tag ? 1 : 0;
  return tags;
}

// Its next commit needs half the round trips that a guest's look at the head and its own put need, so that without the gaps which it
// leaves the guest would come too late each time.
TEST(Guests, ComeBetweenTheCommitsOfAWriterThatNeverPauses) {
  for (const Duration round_trip : {10ms, 30ms, 400ms}) {
    SCOPED_TRACE(fmt::format("{} ms", round_trip / 1ms));
    StackWorld w(1);
    w.run([&] {
      const auto takes = [&](Duration time) {
        return [&w, time](store::Verb, const std::string&) -> Result<> {
          w.sleep(time);
          return {};
        };
      };
      device::DiskOptions options = small_options();
      options.durability = device::Durability::store;
      options.checkpoint_runs = options.checkpoint_bytes = ~std::uint64_t{0};  // while one is made there are gaps, too
      options.checkpoint_commits = ~std::uint32_t{0};
      Mount mount(w, w.world.disk(), options), other(w, w.world.add_disk(), options);
      ASSERT_OK(mount.open());
      mount.hooks.before = takes(round_trip);
      other.hooks.before = takes(2 * round_trip);  // this writer reads back what it puts
      bool stop = false;
      std::uint64_t written = 0;
      auto load = mount.env().executor.spawn("load", [&] {
        while (!stop) {
          ASSERT_OK(mount.disk().write(0, pattern(4096, ++written)));
          ASSERT_OK(mount.disk().flush());
        }
      });
      auto volume = w.open_volume(other.env(), other.store());
      ASSERT_OK(volume);
      constexpr std::uint64_t kTags = 3;
      for (std::uint64_t n = 0; n < kTags; ++n) {
        const std::uint64_t before = written;
        volume::Guest guest(other.env(), **volume, {}, [](const Error& error) { ADD_FAILURE() << error.message(); });
        const auto head = (*volume)->load_head();
        ASSERT_OK(head);
        volume::CommitBody body;
        body.kind = CommitKind::tag;
        body.tags = {{fmt::format("tag{}", n), head->header.generation}};
        EXPECT_OK(guest.append(*head, body, [](const Commit&) -> Result<> { return {}; }));
        wait_until(w, [&] { return written > before + 2; });  // it goes on
      }
      stop = true;
      load.reset();
      mount.hooks = other.hooks = {};
      EXPECT_EQ(*mount.read(0, 4096), pattern(4096, written));
      EXPECT_OK(mount.close());
      EXPECT_EQ(tags_in(**volume), kTags);
    });
  }
}

}  // namespace
}  // namespace s3crate::sim
