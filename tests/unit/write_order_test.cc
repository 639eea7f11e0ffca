// SPDX-License-Identifier: GPL-3.0-or-later
// What indexes alone say of a disk, held against a plain array of blocks: random histories of writers that come and go, of which
// random segments are lost.
#include "volume/write_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/support/assert_ok.h"
#include "tests/support/seed.h"

namespace s3crate {
namespace {

using segment::SegmentIndex;
using volume::IndexedPlace;
using volume::OrderedMap;
using volume::Run;

constexpr std::uint32_t kBlock = 4096;
constexpr std::uint64_t kBlocks = 96;
using Content = std::vector<std::uint64_t>;  // a number for what was written; 0: nothing

struct Stored {
  SegmentIndex index;
  bool lost = false;
};
struct TrueGeneration {
  std::vector<std::size_t> segments;
  std::uint32_t epoch = 0;
  Content after;
  std::uint64_t disk_bytes = 0;
  std::uint64_t ordinal = 0;
  std::optional<std::size_t> back_to = {};  // a rollback: to what there was after so many
};

// A writer that stores generations, as the uploader does, and others that take over from it.
class WrittenHistory {
 public:
  // Older writers did not tell what an epoch goes on from, and rollbacks left no trace.
  WrittenHistory(std::uint64_t seed, bool tells) : random_(seed), tells_(tells) {}

  std::uint64_t any(std::uint64_t below) { return random_() % below; }
  void run(int generations, bool orphans) {
    for (int i = 0; i < generations; ++i) {
      if (any(6) == 0) take_over(orphans);
      if (any(8) == 0 && !resized_) resize();
      else if (tells_ && any(7) == 0 && !line.empty()) roll_back();
      else generation();
    }
    generation();  // the last one to take over tells so by what it writes
  }
  // Batches that were never acknowledged, and ones that changed nothing.
  void skip_batches() {
    if (any(2) == 0) {
      const Seq first = seq_.next();
      seq_ = seq_ + 1 + any(3);
      abandoned_ = {{first, seq_}};
    } else if (epoch_begun_) {
      seq_ = seq_ + 1 + any(3);
    }
  }
  void generation() {
    if (any(5) == 0) skip_batches();
    const Seq first = seq_.next();
    seq_ = seq_ + 1 + any(4);
    volume::RunMap runs;
    for (std::uint64_t n = 1 + any(8); n > 0; --n) {
      const std::uint64_t at = any(blocks_), count = 1 + any(std::min<std::uint64_t>(6, blocks_ - at));
      Run run{.block = BlockIndex(at), .count = count, .hole = any(4) == 0, .first = 0, .extent = {}};
      run.extent.number = run.hole ? 0 : ++value_;
      runs.put(run);
    }
    store(runs, first, 1 + any(3));
    resized_ = false;
  }
  void resize() {
    const std::uint64_t to = kBlocks / 2 + any(kBlocks / 2);
    volume::RunMap runs;
    if (to < blocks_) runs.put({.block = BlockIndex(to), .count = blocks_ - to, .hole = true, .first = 0, .extent = {}});
    blocks_ = to;
    content_.resize(to);
    if (!runs.empty()) store(runs, seq_.next(), 1);
    resized_ = true;
  }
  void roll_back() {
    const std::size_t to = 1 + any(line.size());
    const TrueGeneration point = line[to - 1];
    content_ = point.after;
    blocks_ = point.disk_bytes / kBlock;
    store({}, seq_.next(), 1);
    segment::put_rollback_mark(stored.back().index, {.generation = Generation(to), .commit = {}, .place = segment::LinePlace{point.epoch, point.ordinal}});
    line.back().back_to = to;
    resized_ = false;
  }
  void take_over(bool orphans) {
    const WrittenHistory before = *this;
    // What a writer stored and never committed; its batches have the numbers that those of the next one get.
    if (orphans && any(2) == 0) {
      for (std::uint64_t n = 1 + any(2); n > 0; --n) generation();
      if (any(2) == 0) {
        begin(epoch_ + 1);
        generation();
      }
      const std::uint32_t used = epoch_;
      const auto random = random_;
      auto all = std::move(stored);
      *this = before;
      random_ = random;
      stored = std::move(all);
      epoch_ = used;
      begin(used + 1, before.epoch_);
      return;
    }
    begin(epoch_ + 1 + static_cast<std::uint32_t>(any(2)));
  }

  std::vector<Stored> stored;
  std::vector<TrueGeneration> line;

 private:
  void begin(std::uint32_t epoch) { begin(epoch, epoch - 1); }
  // A writer that stored nothing may have been in between.
  void begin(std::uint32_t epoch, std::uint32_t continues) {
    continues_epoch_ = continues;
    epoch_ = epoch;
    epoch_begun_ = false;
    ordinal_ = 0;
  }
  void store(const volume::RunMap& runs, Seq first, std::uint64_t segments) {
    SegmentIndex common;
    common.epoch = epoch_;
    common.continues_epoch = epoch_begun_ ? epoch_ : continues_epoch_;
    common.continues_seq = Seq(first.value - 1);
    common.seq_first = first;
    common.seq_last = common.needs_seq = seq_;
    common.disk_bytes = blocks_ * kBlock;
    common.abandoned = abandoned_;
    std::vector<SegmentIndex> all(segments, common);
    for (const Run& run : runs.runs()) {
      SegmentIndex& index = all[any(segments)];
      if (run.hole) index.holes.push_back({run.block, run.count, seq_});
      else {
        index.extents.push_back({run.extent.number, 0, 1, {}});
        index.runs.push_back({run.block, static_cast<std::uint32_t>(run.count), run.extent.number, run.first, seq_});
      }
      for (BlockIndex at = run.block; at < run.end() && at.value < content_.size(); at = at.next())
        content_[at.value] = run.hole ? 0 : run.extent.number * 1000 + run.first + (at - run.block);
    }
    TrueGeneration generation{{}, epoch_, content_, blocks_ * kBlock, ordinal_ + 1, {}};
    for (std::size_t i = 0; i < segments; ++i) {
      std::ranges::sort(all[i].extents, {}, &segment::IndexedExtent::number);
      if (tells_ && ordinal_ == 0) segment::put_continued(all[i], line.empty() ? segment::LinePlace{} : segment::LinePlace{line.back().epoch, line.back().ordinal});
      segment::put_part(all[i], {static_cast<std::uint32_t>(i + 1), static_cast<std::uint32_t>(segments), ordinal_ + 1});
      generation.segments.push_back(stored.size());
      stored.push_back({std::move(all[i])});
    }
    line.push_back(std::move(generation));
    epoch_begun_ = true;
    ordinal_++;
  }

  std::mt19937_64 random_;
  bool tells_;
  std::uint32_t epoch_ = 1, continues_epoch_ = 0;
  bool epoch_begun_ = false;
  bool resized_ = true;  // an empty disk that becomes smaller leaves no trace, and needs none
  Seq seq_;
  std::uint64_t ordinal_ = 0;
  std::vector<segment::SeqRange> abandoned_;
  std::uint64_t blocks_ = kBlocks;
  std::uint32_t value_ = 0;
  Content content_ = Content(kBlocks);
};

std::vector<IndexedPlace> places_of(WrittenHistory& history) {
  std::vector<IndexedPlace> places;
  for (std::size_t i = 0; i < history.stored.size(); ++i)
    if (!history.stored[i].lost) places.push_back(volume::place_of(i, history.stored[i].index, kBlock));
  std::mt19937_64 random(places.size());
  std::ranges::shuffle(places, random);  // a LIST knows no order
  return places;
}

Result<> lay(const WrittenHistory& history, const volume::OrderedGeneration& generation, OrderedMap& map) {
  std::vector<OrderedMap::Segment> segments;
  for (std::size_t which : generation.segments) segments.push_back({segment::ObjectKey{0, {which + 1}}, &history.stored[which].index});
  return map.lay(segments, generation.disk_bytes, kBlock);
}

Content content_of(const OrderedMap& map) {
  Content out(map.disk_bytes() / kBlock);
  map.map().visit(BlockIndex(0), BlockIndex(out.size()), [&](const Run& run) {
    for (BlockIndex at = run.block; at < run.end(); at = at.next()) out[at.value] = run.extent.number * 1000 + run.first + (at - run.block);
  });
  return out;
}

// After so many generations it is known what the disk was: all that counts is there.
std::size_t known_ones(const WrittenHistory& history) {
  std::vector<bool> known{true};
  for (const TrueGeneration& g : history.line) {
    const bool whole = std::ranges::none_of(g.segments, [&](std::size_t which) { return history.stored[which].lost; });
    known.push_back(whole && known[g.back_to.value_or(known.size() - 1)]);
  }
  std::size_t n = history.line.size();
  while (!known[n]) --n;
  return n;
}

TEST(WriteOrderTest, PrefixIsWhatWasThereAndEverythingElseIsSaidToBeUncertain) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  std::uint64_t cut_short = 0, vouched_past_gaps = 0, dropped = 0;
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    const bool orphans = round % 2 == 0;
    WrittenHistory history(random(), round % 4 < 2);
    history.run(25, orphans);
    // What continues an epoch says where that one ended: without it, orphans cannot be told.
    std::set<std::size_t> kept;
    std::uint32_t epoch = 0;
    for (const TrueGeneration& g : history.line)
      if (std::exchange(epoch, g.epoch) != g.epoch && orphans) kept.insert(g.segments.begin(), g.segments.end());
    for (std::uint64_t n = history.any(4); n > 0; --n) {
      const std::uint64_t which = history.any(history.stored.size());
      if (!kept.contains(which)) history.stored[which].lost = true;
    }
    const auto places = places_of(history);
    const auto order = volume::order(places);
    dropped += order.dropped.size();

    const std::size_t expected = known_ones(history);
    // Generations of which nothing is left are not in the line.
    const auto is_there = [&](const TrueGeneration& g) {
      return std::ranges::any_of(g.segments, [&](std::size_t which) { return !history.stored[which].lost; });
    };
    const auto left = std::ranges::count_if(std::span(history.line).first(expected), is_there);
    ASSERT_EQ(order.prefix, static_cast<std::size_t>(left)) << (order.prefix < order.line.size() ? order.line[order.prefix].gap : "");
    cut_short += expected < history.line.size() ? 1 : 0;
    OrderedMap map;
    for (const std::size_t i : order.path(order.prefix)) ASSERT_TRUE(lay(history, order.line[i], map));
    if (expected > 0) {
      ASSERT_EQ(content_of(map), history.line[expected - 1].after);
      ASSERT_EQ(order.last.epoch, history.line[expected - 1].epoch);
    }

    // On through the gaps: whatever is vouched for is as it was in the end, as far as anything tells of that.
    const TrueGeneration* end = nullptr;
    for (const TrueGeneration& g : history.line)
      if (std::ranges::any_of(g.segments, [&](std::size_t which) { return !history.stored[which].lost; })) end = &g;
    OrderedMap all;
    for (const std::size_t i : order.path(order.line.size())) {
      const auto& generation = order.line[i];
      if (!generation.gap.empty()) all.gap();
      ASSERT_TRUE(lay(history, generation, all));
      if (!generation.whole) all.gap();
    }
    ASSERT_NE(end, nullptr);
    ASSERT_EQ(all.disk_bytes(), end->disk_bytes);
    const Content found = content_of(all);
    std::vector<bool> vouched(found.size(), true);
    all.unvouched(kBlock, [&](BlockIndex from, BlockIndex to) { std::fill(vouched.begin() + from.value, vouched.begin() + to.value, false); });
    for (std::size_t at = 0; at < found.size(); ++at) {
      if (!vouched[at]) continue;
      ASSERT_EQ(found[at], end->after[at]) << "block " << at;
      vouched_past_gaps += order.prefix < order.line.size() ? 1 : 0;
    }
  }
  EXPECT_GT(cut_short, 50u);
  EXPECT_GT(vouched_past_gaps, 100u);
  EXPECT_GT(dropped, 20u);
}

SegmentIndex index_of(std::uint64_t ordinal, std::uint64_t first, std::uint64_t last, std::uint64_t needs) {
  SegmentIndex index;
  index.epoch = 1;
  index.continues_epoch = first == 1 ? 0 : 1;
  index.continues_seq = Seq(first - 1);
  index.seq_first = Seq(first);
  index.seq_last = Seq(last);
  index.needs_seq = Seq(needs);
  index.disk_bytes = kBlocks * kBlock;
  segment::put_part(index, {1, 1, ordinal});
  return index;
}

// Something was left out of it that a later one wrote: without that one it would be a state that never was.
TEST(WriteOrderTest, PrefixEndsBeforeAGenerationThatNeedsALostOne) {
  std::vector<IndexedPlace> places = {volume::place_of(0, index_of(1, 1, 2, 2), kBlock), volume::place_of(1, index_of(2, 3, 4, 7), kBlock),
                                      volume::place_of(2, index_of(3, 5, 5, 5), kBlock), volume::place_of(3, index_of(4, 6, 7, 7), kBlock)};
  EXPECT_EQ(volume::order(places).prefix, 4u);
  places.pop_back();
  EXPECT_EQ(volume::order(places).prefix, 1u);
}

TEST(WriteOrderTest, SegmentsThatDoNotTellTheirPartsAreNotVouchedFor) {
  auto index = index_of(1, 1, 2, 2);
  index.extensions.clear();
  const std::vector<IndexedPlace> places = {volume::place_of(0, index, kBlock)};
  const auto order = volume::order(places);
  EXPECT_EQ(order.prefix, 0u);
  ASSERT_EQ(order.line.size(), 1u);
  EXPECT_NE(order.line[0].gap, "");
}

// An import names its segments before it knows how many they will be; the last one says so.
TEST(WriteOrderTest, LastPartSaysHowManyThereAre) {
  std::vector<IndexedPlace> places;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    auto index = index_of(1, 1, 1, 1);
    segment::put_part(index, {i, i == 3 ? 3u : 0u, 1});
    places.push_back(volume::place_of(i, index, kBlock));
  }
  EXPECT_EQ(volume::order(places).prefix, 1u);
  EXPECT_EQ(volume::order(std::span(places).first(2)).prefix, 0u);
  EXPECT_EQ(volume::order(std::span(places).last(2)).prefix, 0u);
}

TEST(WriteOrderTest, PartsAreReadAsTheyWereWritten) {
  SegmentIndex index;
  EXPECT_FALSE(segment::part_of(index));
  for (const segment::Part part : {segment::Part{}, {3, 7, 1ull << 60}, {2, 0, 9}}) {
    segment::put_part(index, part);
    ASSERT_EQ(index.extensions.size(), 1u);
    EXPECT_EQ(segment::part_of(index), part);
  }
  for (const Bytes& bad : {Bytes{}, Bytes{0, 0, 1}, Bytes{3, 2, 1}, Bytes{1, 1, 1, 0}, Bytes{1, 1}, Bytes{1, 1, 0}}) {
    index.extensions[0].value = bad;
    EXPECT_FALSE(segment::part_of(index));
  }
}

// Of the map below the changes, as of themselves.
TEST(WriteOrderTest, WhatADiskThatBecameSmallerLeftDoesNotComeBackFromTheMapBelow) {
  volume::RunMap below;
  below.put({.block = BlockIndex(7), .count = 1, .hole = true, .first = 0, .extent = {}});
  OrderedMap map(std::move(below), kBlocks * kBlock);
  ASSERT_OK(map.lay({}, 3 * kBlock, kBlock));
  ASSERT_OK(map.lay({}, kBlocks * kBlock, kBlock));
  std::uint64_t holes = 0;
  map.map().tile(BlockIndex(0), BlockIndex(kBlocks), [&](const volume::Run& run) { holes += run.hole && run.block >= BlockIndex(3) ? run.count : 0; },
                 [](BlockIndex, BlockIndex) {});
  EXPECT_EQ(holes, kBlocks - 3);
  EXPECT_EQ(map.disk_bytes(), kBlocks * kBlock);
}

TEST(WriteOrderTest, IndexThatNamesAnExtentItDoesNotHaveIsRefused) {
  auto index = index_of(1, 1, 1, 1);
  index.runs.push_back({BlockIndex(0), 1, 7, 0, Seq(1)});
  OrderedMap map;
  const OrderedMap::Segment segment{segment::ObjectKey{0, {1}}, &index};
  EXPECT_TRUE(is(map.lay({&segment, 1}, kBlocks * kBlock, kBlock), Code::kCorrupt));
  EXPECT_TRUE(map.map().empty());
}

}  // namespace
}  // namespace s3crate
