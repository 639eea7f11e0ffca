// SPDX-License-Identifier: GPL-3.0-or-later
// Which reads make a stream, however they arrive, and how its window grows, shrinks and is dealt
// out.

#include "device/read_streams.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/seed.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using device::ReadStreams;
using device::ReadStreamsOptions;

constexpr std::uint64_t kMin = 32, kMax = 8192, kEnd = 1 << 20;

class ReadStreamsTest : public testing::Test {
 protected:
  static ReadStreamsOptions options(std::uint64_t trigger = 2) {
    ReadStreamsOptions options;
    options.trigger = trigger;
    options.window_min = kMin;
    options.window_max = kMax;
    options.total_max = 4 * kMax;
    options.disk_end = BlockIndex(kEnd);
    return options;
  }
  ReadStreams::Id read(std::uint64_t from, std::uint64_t count) {
    return streams_.note(BlockIndex(from), BlockIndex(from + count), now_);
  }
  // Takes what there is to take; how many blocks.
  std::uint64_t take_all(ReadStreams::Id id, std::uint64_t most = 2048) {
    std::uint64_t blocks = 0;
    while (auto piece = streams_.take(id, most, kEnd, now_)) {
      EXPECT_LE(piece->to - piece->from, most);
      blocks += piece->to - piece->from;
      streams_.planned(id, piece->to);
    }
    return blocks;
  }

  std::optional<ReadStreams> made_{options()};
  ReadStreams& streams_ = *made_;
  MonotonicTime now_{1h};
};

TEST_F(ReadStreamsTest, AReadThatGoesOnEstablishesAStream) {
  EXPECT_EQ(read(100, 32), 0u);
  const auto id = read(132, 32);
  EXPECT_NE(id, 0u);
  EXPECT_EQ(streams_.window(id), 64u);  // as much as was read
  EXPECT_EQ(read(164, 32), id);
}

TEST_F(ReadStreamsTest, TriggerSaysAfterHowManyReads) {
  for (std::uint64_t trigger : {1u, 2u, 5u}) {
    made_.emplace(options(trigger));
    for (std::uint64_t i = 0; i < 8; ++i)
      EXPECT_EQ(read(i * 8, 8) != 0, i + 1 >= trigger) << trigger << " " << i;
  }
}

TEST_F(ReadStreamsTest, ABlockReadInTwoPartsBelongsToBothReads) {
  EXPECT_EQ(read(0, 3), 0u);
  EXPECT_NE(read(2, 3), 0u);
}

TEST_F(ReadStreamsTest, TheSameBlocksAgainAreNoStream) {
  for (int i = 0; i < 10; ++i) EXPECT_EQ(read(50, 8), 0u);
}

TEST_F(ReadStreamsTest, RandomReadsAreNoStream) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  int established = 0;
  for (int i = 0; i < 100'000; ++i) established += read(random() % (kEnd / 16) * 16, 16) != 0;
  EXPECT_LT(established, 300) << "24 by chance, and what falls into the windows of those";
}

TEST_F(ReadStreamsTest, BackwardReadsAreNoStream) {
  for (std::uint64_t at = 1000; at > 0; at -= 8) EXPECT_EQ(read(at, 8), 0u);
}

TEST_F(ReadStreamsTest, ReadsThatArriveOutOfOrderAreOneStream) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> order(4096);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  // Each is overtaken by some of those that come within 16 places behind it.
  for (std::size_t i = 0; i + 16 <= order.size(); i += 16)
    std::shuffle(order.begin() + static_cast<std::ptrdiff_t>(i),
                 order.begin() + static_cast<std::ptrdiff_t>(i) + 16, random);
  std::uint64_t taken = 0, later = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto id = read(order[i] * 32, 32);
    if (i >= 64) later += id == 0;
    if (id == 0) continue;
    streams_.grow(id, now_);
    taken += take_all(id);
  }
  EXPECT_EQ(later, 0u);
  EXPECT_EQ(streams_.active(now_), 1u);
  EXPECT_LE(taken, 4096 * 32 + kMax);
  EXPECT_GE(taken, 4096 * 32 - 32 * 64);
}

TEST_F(ReadStreamsTest, InterleavedReadersHaveAStreamEach) {
  std::vector<std::uint64_t> readers = {0, 10'000, 50'000, 600'000};
  std::vector<ReadStreams::Id> ids(readers.size());
  for (int round = 0; round < 50; ++round) {
    for (std::size_t r = 0; r < readers.size(); ++r) {
      ids[r] = read(readers[r], 32);
      readers[r] += 32;
    }
  }
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end());
  EXPECT_EQ(streams_.active(now_), readers.size());
}

TEST_F(ReadStreamsTest, AReaderIsNotForgottenForRandomReads) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  read(0, 32);
  const auto id = read(32, 32);
  for (std::uint64_t i = 2; i < 200; ++i) {
    for (int k = 0; k < 200; ++k) read(kEnd / 2 + random() % (kEnd / 64) * 32, 16);
    EXPECT_EQ(read(i * 32, 32), id);
  }
}

TEST_F(ReadStreamsTest, AReaderThatEndedGivesItsPlaceUp) {
  for (std::uint64_t i = 0; i < 3 * ReadStreams::kStreamsMax; ++i) {
    read(i * 4096, 8);
    EXPECT_NE(read(i * 4096 + 8, 8), 0u) << "no place for reader " << i;
  }
  EXPECT_LE(streams_.active(now_), ReadStreams::kStreamsMax);
  now_ += ReadStreams::kActive;
  EXPECT_EQ(streams_.active(now_), 0u);
}

TEST_F(ReadStreamsTest, SmallGapsWithinTheWindowAreReadOver) {
  read(0, 32);
  const auto id = read(32, 32);
  EXPECT_EQ(take_all(id), 64u);
  EXPECT_EQ(read(72, 32), id);
  EXPECT_EQ(read(200, 32), 0u) << "far from what was read ahead";
}

TEST_F(ReadStreamsTest, AWindowDoublesOnceForWhatWasReadAheadWithIt) {
  read(0, 16);
  const auto id = read(16, 16);
  ASSERT_EQ(streams_.window(id), 32u);
  for (int i = 0; i < 8; ++i) streams_.grow(id, now_);  // eight readers waited at once
  EXPECT_EQ(streams_.window(id), 64u);
  EXPECT_EQ(take_all(id), 64u);
  for (std::uint64_t at = 32; at < 96; at += 16) {
    read(at, 16);
    streams_.grow(id, now_);
  }
  EXPECT_EQ(streams_.window(id), 128u);
  for (std::uint64_t at = 96; at < 2'000'00; at += 16) {
    take_all(id);
    read(at, 16);
    streams_.grow(id, now_);
  }
  EXPECT_EQ(streams_.window(id), kMax);
}

TEST_F(ReadStreamsTest, AWindowThatLastsLongEnoughDoesNotGrow) {
  read(0, 16);
  const auto id = read(16, 16);
  std::uint64_t at = 32;
  for (int i = 0; i < 100; ++i) {
    take_all(id);
    const std::uint64_t window = streams_.window(id);
    // 100 blocks a second.
    now_ += std::chrono::milliseconds(window * 10);
    read(at, window);
    at += window;
    streams_.grow(id, now_);
  }
  EXPECT_LE(streams_.window(id), 256u);
}

TEST_F(ReadStreamsTest, ALostWindowShrinksToTheLeast) {
  read(0, 256);
  const auto id = read(256, 256);
  EXPECT_EQ(streams_.window(id), 512u);
  streams_.shrink(id);
  EXPECT_EQ(streams_.window(id), 256u);
  for (int i = 0; i < 10; ++i) streams_.shrink(id);
  EXPECT_EQ(streams_.window(id), kMin);
}

TEST_F(ReadStreamsTest, PiecesAreHalvesOfTheWindowAndFollowEachOther) {
  read(0, 128);
  const auto id = read(128, 128);
  ASSERT_EQ(streams_.window(id), 256u);
  auto piece = streams_.take(id, 1000, kEnd, now_);
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->from.value, 256u);
  EXPECT_EQ(piece->to.value, 384u);
  EXPECT_FALSE(streams_.take(id, 1000, kEnd, now_)) << "one at a time";
  streams_.planned(id, BlockIndex(380));  // it ended early
  piece = streams_.take(id, 1000, kEnd, now_);
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->from.value, 380u);
  EXPECT_EQ(piece->to.value, 508u);
  streams_.planned(id, piece->to);
  EXPECT_FALSE(streams_.take(id, 1000, kEnd, now_)) << "four blocks are not worth a request";
  EXPECT_FALSE(streams_.take(id, 1000, 0, now_));
}

TEST_F(ReadStreamsTest, LittleCreditIsSpentOnlyWhenNothingIsAhead) {
  read(0, 128);
  const auto id = read(128, 128);
  EXPECT_FALSE(streams_.take(id, 1000, 0, now_));
  auto piece = streams_.take(id, 1000, 16, now_);
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->to - piece->from, 16u);
  streams_.planned(id, piece->to);
  EXPECT_FALSE(streams_.take(id, 1000, 127, now_));
  EXPECT_TRUE(streams_.take(id, 1000, 128, now_));
}

TEST_F(ReadStreamsTest, NothingIsReadAheadBeyondTheDisk) {
  read(kEnd - 300, 100);
  const auto id = read(kEnd - 200, 100);
  EXPECT_EQ(take_all(id), 100u);
  EXPECT_EQ(read(kEnd - 100, 100), id);
  EXPECT_EQ(take_all(id), 0u);
}

TEST_F(ReadStreamsTest, AReaderWhoOvertakesWhatIsReadAheadIsReadAheadFromWhereHeIs) {
  read(0, 16);
  const auto id = read(16, 16);
  for (std::uint64_t at = 32; at < 160; at += 16) read(at, 16);
  const auto piece = streams_.take(id, 1000, kEnd, now_);
  ASSERT_TRUE(piece);
  EXPECT_EQ(piece->from.value, 160u);
}

TEST_F(ReadStreamsTest, ActiveReadersShareWhatThereIs) {
  ReadStreamsOptions narrow = options();
  narrow.total_max = kMax;
  made_.emplace(narrow);
  std::vector<ReadStreams::Id> ids;
  for (std::uint64_t r = 0; r < 4; ++r) {
    read(r * 200'000, kMax);
    ids.push_back(read(r * 200'000 + kMax, kMax));
  }
  std::uint64_t taken = 0;
  for (const auto id : ids) taken += take_all(id);
  EXPECT_EQ(taken, kMax);
}

TEST_F(ReadStreamsTest, StreamsThatMeetBecomeOne) {
  read(100, 8);
  const auto far = read(108, 8);
  read(60, 8);
  auto near = read(68, 8);
  EXPECT_NE(near, far);
  for (std::uint64_t at = 76; at < 100; at += 8) near = read(at, 8);
  EXPECT_EQ(streams_.active(now_), 1u);
  EXPECT_EQ(read(116, 8), near);
}

}  // namespace
}  // namespace s3crate::test
