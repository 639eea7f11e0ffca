// SPDX-License-Identifier: GPL-3.0-or-later
// Points of the past: generations, tags and times, found below a head in few requests whatever the length of the history, beside
// a plain model; and stores that show commits of another history.
#include "volume/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/history_world.h"
#include "tests/support/seed.h"

namespace s3crate::volume {
namespace {

using test::HistoryWorld;
using testing::HasSubstr;
using std::chrono::hours;
using std::chrono::seconds;

TEST(PointTest, ReadsGenerationsTimesAndTags) {
  const WallTime now(hours(24 * 20'000));
  const WallTime day(std::chrono::sys_days(std::chrono::year(2026) / 11 / 20).time_since_epoch());
  const std::pair<const char*, Point> good[] = {
      {"1", Generation(1)},
      {"0042", Generation(42)},
      {"2026-11-20", day},
      {"2026-11-20T12:00:01Z", day + hours(12) + seconds(1)},
      {"2h ago", now - hours(2)},
      {"3 days ago", now - hours(72)},
      {"1 day ago", now - hours(24)},
      {"90 minutes ago", now - seconds(5400)},
      {"2w ago", now - hours(24 * 14)},
      {"0s ago", now},
      {"nightly", TagName{"nightly"}},
      {"2h", TagName{"2h"}},
      {"2026-11-31", TagName{"2026-11-31"}},
      {"3 fortnights ago", TagName{"3 fortnights ago"}},
      {"99999999999 days ago", TagName{"99999999999 days ago"}},
      {"-1", TagName{"-1"}},
      {"42 ", TagName{"42 "}},
  };
  for (const auto& [text, point] : good) {
    const auto read = parse_point(text, now);
    ASSERT_TRUE(read) << text;
    EXPECT_TRUE(*read == point) << text;
  }
  EXPECT_EQ(format_point(day + seconds(1)), "2026-11-20T00:00:01Z");
  EXPECT_EQ(format_point(Generation(7)), "7");
  for (const std::string& text : {std::string(), std::string("99999999999999999999"), std::string("a/b"), std::string(".."),
                                  std::string("a\nb"), std::string(256, 'x')})
    EXPECT_TRUE(is(parse_point(text, now), Code::kBadArgument)) << text;
}

class TimelineTest : public testing::Test {
 protected:
  Timeline timeline() {
    volume_ = world_.open_volume();
    return {*volume_, *volume_->load_head(), 7};
  }
  void expect_as_in_model(Timeline& timeline, std::mt19937_64& random) {
    ASSERT_EQ(timeline.head().generation, world_.newest());
    for (Generation g(1); g <= world_.newest(); g = g.next()) {
      const auto row = timeline.row(g);
      ASSERT_TRUE(row) << g.value << ": " << row.error().message();
      EXPECT_EQ(row->generation, g);
      EXPECT_EQ(row->hash, world_.at(g).hash);
      EXPECT_EQ(row->kind, world_.at(g).kind);
      EXPECT_EQ(row->time, world_.at(g).time);
      EXPECT_EQ(row->disk_bytes, world_.at(g).disk_bytes);
      EXPECT_EQ(*timeline.hash(g), world_.at(g).hash);
    }
    for (int i = 0; i < 12; ++i) {
      const auto found = timeline.tag(fmt::format("t{}", i));
      const auto named = world_.tags.find(fmt::format("t{}", i));
      if (named == world_.tags.end()) {
        EXPECT_TRUE(is(found, Code::kNotFound));
      } else {
        ASSERT_TRUE(found) << found.error().message();
        EXPECT_EQ(found->generation, named->second);
      }
    }
    const auto tags = timeline.tags(1000);
    ASSERT_TRUE(tags);
    ASSERT_EQ(tags->size(), world_.tags.size());
    for (std::size_t i = 0; const auto& [name, generation] : world_.tags) {
      EXPECT_EQ((*tags)[i].name, name);
      EXPECT_EQ((*tags)[i++].generation, generation);
    }
    for (int i = 0; i < 20; ++i) {
      const Generation g(random() % world_.newest().value + 1);
      expect_at_time(timeline, world_.at(g).time + seconds(static_cast<std::int64_t>(random() % 3) - 1));
    }
  }
  // The newest that was made at or before it; where clocks ran backwards, one whose successor was made later.
  void expect_at_time(Timeline& timeline, WallTime time) {
    const auto found = timeline.find(time);
    // Older than the first one, it is found only where a clock ran back to before that.
    if (time < world_.at(Generation(1)).time && (!backwards_ || !found)) {
      EXPECT_TRUE(is(found, Code::kNotFound));
      return;
    }
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_LE(world_.at(found->generation).time, time);
    if (found->generation < world_.newest()) {
      EXPECT_GT(world_.at(found->generation.next()).time, time);
    }
    if (backwards_) return;
    for (Generation g = world_.newest(); g > found->generation; g = Generation(g.value - 1)) EXPECT_GT(world_.at(g).time, time);
  }
  void random_step(std::mt19937_64& random) {
    world_.day.now += seconds(random() % 3);
    if (backwards_ && random() % 8 == 0) world_.day.now -= seconds(random() % 20);
    const std::string name = fmt::format("t{}", random() % 12);
    switch (random() % 12) {
      case 0:
      case 1:
        return world_.tag(name, Generation(random() % world_.newest().value + 1));
      case 2:
        return world_.tags.contains(name) ? world_.untag(name) : world_.change();
      case 3:
        return random() % 4 == 0 ? world_.checkpoint() : world_.resize((random() % 50 + 200) * 4096);
      default:
        return world_.change();
    }
  }

  std::mt19937_64 random_{test::test_seed()};
  testing::ScopedTrace trace_{__FILE__, __LINE__, fmt::format("S3CRATE_TEST_SEED={}", test::test_seed())};
  HistoryWorld world_;
  std::unique_ptr<Volume> volume_;
  bool backwards_ = false;
};

TEST_F(TimelineTest, RandomHistoryIsFoundAsItWasMade) {
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < 40; ++i) random_step(random_);
    Timeline now = timeline();
    ASSERT_NO_FATAL_FAILURE(expect_as_in_model(now, random_));
  }
}

TEST_F(TimelineTest, ClocksThatRanBackwardsStillGiveAPlaceOfTheirTime) {
  backwards_ = true;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 60; ++i) random_step(random_);
    Timeline now = timeline();
    ASSERT_NO_FATAL_FAILURE(expect_as_in_model(now, random_));
  }
}

TEST_F(TimelineTest, FollowsAHeadThatGoesOn) {
  Timeline kept = timeline();
  auto volume = std::move(volume_);
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 15; ++i) random_step(random_);
    ASSERT_TRUE(kept.follow(*volume->load_head()));
    ASSERT_NO_FATAL_FAILURE(expect_as_in_model(kept, random_));
  }
}

TEST_F(TimelineTest, WhatIsNotThereIsSaidInASentence) {
  world_.day.now += hours(1);
  world_.change();
  world_.tag("there", Generation(2));
  world_.tag("gone", Generation(2));
  world_.untag("gone");
  for (int round = 0; round < 2; ++round) {  // above a checkpoint, and below
    Timeline now = timeline();
    const auto expect = [&](const Point& point, std::string_view text) {
      const auto found = now.find(point);
      ASSERT_TRUE(is(found, Code::kNotFound));
      EXPECT_THAT(found.error().message(), HasSubstr(text));
    };
    expect(Generation(0), "there is no generation 0: the newest is");
    expect(world_.newest().next(), fmt::format("there is no generation {}: the newest is {}", world_.newest().next(), world_.newest()));
    expect(Generation(~std::uint64_t{0}), "there is no generation");
    expect(TagName{"gone"}, "there is no tag gone");
    expect(TagName{"ther"}, "there is no tag ther");
    expect(world_.at(Generation(1)).time - seconds(1), "there is no generation as old as 2024-10-03T23:59:59Z: the first was made at 2024-");
    EXPECT_EQ(now.find(world_.day.now + hours(1))->generation, world_.newest());
    world_.checkpoint();
  }
}

// Round trips are another matter: many of these go side by side.
TEST_F(TimelineTest, RequestsDoNotGrowWithTheHistory) {
  const auto cost = [&](const Point& point) {
    auto volume = world_.open_volume();
    const Commit head = *volume->load_head();
    const std::uint64_t before = world_.requests();
    const auto found = resolve(*volume, head, point);
    EXPECT_TRUE(found) << found.error().message();
    return world_.requests() - before;
  };
  const auto grow_to = [&](std::uint64_t newest) {
    while (world_.newest().value < newest) {
      world_.day.now += seconds(1);
      world_.change();
    }
    world_.checkpoint();
    for (int i = 0; i < 4; ++i) world_.change();
  };
  world_.page_bytes = 4096;  // some 40 rows
  world_.tag("old", Generation(2));
  grow_to(100);
  const WallTime early = world_.at(Generation(50)).time;
  const std::uint64_t generation = cost(Generation(50)), tag = cost(TagName{"old"}), time = cost(early);
  grow_to(1600);
  // Another level of the tree; halving sixteen times as much costs four more leaves.
  EXPECT_LE(cost(Generation(50)), generation + 1);
  EXPECT_LE(cost(TagName{"old"}), tag);
  EXPECT_LE(cost(early), time + 1 + 2 * 4);
  EXPECT_EQ(cost(world_.newest()), 0u);
  EXPECT_LE(cost(Generation(world_.newest().value - 2)), 3u);
  EXPECT_LE(generation, 4u);
}

// A commit that is signed, by a writer of this volume, but stands in another history of it.
TEST_F(TimelineTest, CommitOfAnotherHistoryIsNoPointOfThisOne) {
  for (int i = 0; i < 5; ++i) world_.change();
  HistoryWorld other(world_);
  for (int i = 0; i < 8; ++i) {
    world_.change();
    other.resize(4096);
  }
  for (int round = 0; round < 2; ++round) {
    for (Generation g = std::min(world_.newest(), other.newest()); g > Generation(8); g = Generation(g.value - 1)) {
      if (world_.at(g).hash == other.at(g).hash) continue;
      world_.store.replace(segment::commit_name(g), other.commit_bytes(g));
      auto volume = world_.open_volume();
      const auto found = resolve(*volume, *volume->load_head(), g);
      const bool ties_nothing = g == world_.newest();
      EXPECT_EQ(is(found, Code::kCorrupt), !ties_nothing) << g.value;
      world_.store.restore(segment::commit_name(g));
      auto again = world_.open_volume();
      EXPECT_TRUE(resolve(*again, *again->load_head(), g));
    }
    world_.checkpoint();
    world_.change();
  }
}

TEST_F(TimelineTest, AnotherHistoryIsNotFollowed) {
  for (int i = 0; i < 5; ++i) world_.change();
  HistoryWorld other(world_);
  world_.change();
  Timeline now = timeline();
  for (int i = 0; i < 3; ++i) other.change();
  auto volume = other.open_volume();
  EXPECT_TRUE(is(now.follow(*volume->load_head()), Code::kCorrupt));
  EXPECT_EQ(now.head().generation, world_.newest());
  const auto older = volume_->load_commit(Generation(3));
  EXPECT_TRUE(now.follow(*older));  // a stale answer
  EXPECT_EQ(now.head().generation, world_.newest());
}

TEST_F(TimelineTest, LostCommitHidesWhatOnlyItTies) {
  for (int i = 0; i < 4; ++i) world_.change();
  world_.tag("below", Generation(3));
  world_.checkpoint();
  const Generation as_of = Generation(world_.newest().value - 1);
  for (int i = 0; i < 6; ++i) world_.change();
  world_.tag("above", Generation(4));
  const Generation lost(world_.newest().value - 2);
  world_.store.lose(segment::commit_name(lost));
  Timeline now = timeline();
  EXPECT_TRUE(now.row(lost.next()));
  EXPECT_EQ(*now.hash(lost), world_.at(lost).hash);  // its successor names it
  EXPECT_TRUE(is(now.row(lost), Code::kCorrupt));
  EXPECT_TRUE(is(now.row(Generation(lost.value - 1)), Code::kCorrupt));
  EXPECT_EQ(*now.hash(lost), world_.at(lost).hash);
  EXPECT_TRUE(now.row(as_of));
  EXPECT_TRUE(now.row(Generation(2)));
  EXPECT_EQ(now.tag("above")->generation, Generation(4));
  EXPECT_TRUE(is(now.tag("below"), Code::kCorrupt));  // it may have said otherwise
  const auto rows = now.rows(world_.newest(), 100);
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), world_.newest().value);
  for (const TimelineRow& row : *rows) EXPECT_EQ(row.problem.empty(), row.entry.generation != lost) << row.problem;
}

}  // namespace
}  // namespace s3crate::volume
