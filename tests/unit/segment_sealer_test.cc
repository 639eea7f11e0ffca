// SPDX-License-Identifier: GPL-3.0-or-later
// Extents that are sealed together, by several tasks, are what they would be one by one.
#include <gtest/gtest.h>

#include <random>
#include <system_error>
#include <thread>

#include "base/crc32c.h"
#include "base/parallel.h"
#include "device/encoder.h"
#include "tests/support/assert_ok.h"
#include "tests/support/disk_world.h"
#include "tests/support/open_chain.h"
#include "tests/support/seed.h"

namespace s3crate::device {
namespace {

constexpr std::uint32_t kBlock = test::DiskWorld::kBlock;

class SegmentSealerTest : public testing::Test {
 protected:
  SegmentSealerTest() {
    volume_ = std::move(*volume::Volume::open(system_env(), world_.memory(), world_.keys(), {}));
    const volume::Commit head = *volume_->load_head();
    chain_ = std::move(*test::open_chain(system_env(), *volume_, head));
  }

  // Of which some shrink to next to nothing, and some do not.
  static std::vector<Bytes> make(std::mt19937_64& random, std::size_t count) {
    std::vector<Bytes> raws(count);
    for (Bytes& raw : raws) {
      raw.resize(kBlock * (1 + random() % 16), 'x');
      if (random() % 3 > 0) std::ranges::generate(raw, [&] { return static_cast<std::uint8_t>(random()); });
    }
    return raws;
  }

  test::DiskWorld world_;
  std::unique_ptr<volume::Volume> volume_;
  std::unique_ptr<volume::Chain> chain_;
  const EncoderOptions options_{kBlock, 64 << 10, 256 << 10, 1, std::chrono::seconds(1)};
  EncoderCounters counters_, counters_alone_;
};

TEST_F(SegmentSealerTest, TogetherIsAsOneByOne) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  Crew crew(thread_executor(), "crew", 3);
  SegmentSealer together(system_env(), *volume_->keys(), *chain_, options_, counters_, &crew);
  SegmentSealer alone(system_env(), *volume_->keys(), *chain_, options_, counters_alone_);
  std::map<segment::ObjectId, segment::ObjectId> same;  // segments
  for (int round = 0; round < 30; ++round) {
    const std::vector<Bytes> raws = make(random, random() % 60);
    const Bytes before(random() % 100);
    Bytes out = before, out_alone = before;
    const auto sealed = together.seal(std::vector<ByteView>(raws.begin(), raws.end()), out);
    ASSERT_OK(sealed);
    ASSERT_EQ(sealed->size(), raws.size());
    std::size_t end = before.size();
    for (std::size_t i = 0; i < raws.size(); ++i) {
      const auto one = alone.seal(raws[i], out_alone);
      ASSERT_OK(one);
      const auto& [segment, extent, ordinal] = (*sealed)[i];
      EXPECT_EQ(same.try_emplace(segment->id, one->segment->id).first->second, one->segment->id);
      EXPECT_EQ(ordinal, one->ordinal);
      EXPECT_EQ(extent.number, one->extent.number);
      EXPECT_EQ(extent.blocks, raws[i].size() / kBlock);
      EXPECT_EQ(extent.offset, end);
      EXPECT_EQ(extent.length, one->extent.length);
      end += extent.length;
      const ByteView stored = ByteView(out).subspan(extent.offset, extent.length);
      EXPECT_EQ(extent.crc, crc32c(stored));
      const auto opened = segment::open_extent(*segment->key, extent.number, extent.digest, stored, kBlock);
      ASSERT_OK(opened);
      EXPECT_TRUE(equal(*opened, raws[i]));
    }
    EXPECT_EQ(out.size(), end);
  }
  EXPECT_GT(same.size(), 5u);
  EXPECT_EQ(counters_.extents, counters_alone_.extents);
  EXPECT_EQ(counters_.bytes_before, counters_alone_.bytes_before);
  EXPECT_EQ(counters_.bytes_after, counters_alone_.bytes_after);
}

TEST(Crew, DoesEachOnceHoweverManyHelp) {
  for (std::size_t helpers : {0, 1, 3}) {
    Crew crew(thread_executor(), "crew", helpers);
    for (std::size_t count = 0; count < 200; count += 1 + count / 3) {
      std::vector<int> done(count);
      crew.run(count, [&](std::size_t i) { ++done[i]; });
      EXPECT_EQ(done, std::vector<int>(count, 1));
    }
  }
}

TEST(Crew, HelpersTakeTheirShare) {
  Crew crew(thread_executor(), "crew", 1);
  std::atomic<int> begun{0}, met{0};
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  // Neither ends before the other has begun.
  crew.run(2, [&](std::size_t) {
    ++begun;
    while (begun < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    met += begun == 2;
  });
  EXPECT_EQ(met, 2);
}

// As on a machine that has no room for more of them.
class FewTasks final : public Executor {
 public:
  explicit FewTasks(int left) : left_(left) {}
  std::unique_ptr<Task> spawn(std::string name, std::function<void()> body) override {
    if (left_-- <= 0) throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    return thread_executor().spawn(std::move(name), std::move(body));
  }
  std::unique_ptr<CondVar> cond_var() override { return thread_executor().cond_var(); }
  std::size_t processors() const override { return 4; }

 private:
  int left_;
};

TEST(Crew, DoesWithFewerWhereNoTasksCanBeMade) {
  for (int left : {0, 1, 2}) {
    FewTasks executor(left);
    Crew crew(executor, "crew", 3);
    std::vector<int> done(50);
    crew.run(done.size(), [&](std::size_t i) { ++done[i]; });
    EXPECT_EQ(done, std::vector<int>(50, 1));
    FewTasks again(left);
    parallel(again, done.size(), 16, [&](std::size_t i) { ++done[i]; });
    EXPECT_EQ(done, std::vector<int>(50, 2));
  }
}

TEST(Crew, ExceptionsComeToTheCaller) {
  const auto throws = [](std::size_t i) {
    if (i == 7) throw std::bad_alloc();
  };
  Crew crew(thread_executor(), "crew", 2);
  for (int round = 0; round < 100; ++round) {
    EXPECT_THROW(crew.run(20, throws), std::bad_alloc);
    EXPECT_THROW(parallel(thread_executor(), 20, 3, throws), std::bad_alloc);
    std::atomic<int> done{0};
    crew.run(20, [&](std::size_t) { ++done; });
    EXPECT_EQ(done, 20);
  }
}

// What is kept must not hold the room that it could have needed.
TEST_F(SegmentSealerTest, OneThatShrinksTakesNoMoreRoomThanItNeeds) {
  SegmentSealer sealer(system_env(), *volume_->keys(), *chain_, options_, counters_);
  Bytes out;
  ASSERT_OK(sealer.seal(Bytes(64 << 10, 'x'), out));
  EXPECT_LE(out.capacity(), 1024u);
}

}  // namespace
}  // namespace s3crate::device
