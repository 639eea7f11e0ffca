// SPDX-License-Identifier: GPL-3.0-or-later
// The extent cache: its bound, one load for all who ask, errors that cost one extent and do not
// stay; and what the source asks of the store, counted.

#include "cache/extent_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>
#include <tuple>
#include <utility>

#include "store/memory_store.h"
#include "store/metered_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_store.h"
#include "tests/support/sealed_extent.h"
#include "tests/support/seed.h"
#include "tests/support/seeded_random.h"

namespace s3crate::test {
namespace {

using cache::ExtentCache;
using cache::ExtentRef;
using cache::OpenedObject;
using cache::PlainExtent;
using cache::StoreExtentSource;
using segment::ObjectId;
using segment::ObjectKey;

ExtentRef ref_of(std::uint32_t number, std::uint64_t object = 1) {
  ExtentRef ref{.object = {.origin = 0, .id = {object}},
                .number = number,
                .offset = number * 100,
                .length = 100,
                .digest = {}};
  ref.digest[0] = static_cast<std::uint8_t>(number);
  ref.digest[15] = static_cast<std::uint8_t>(object);
  return ref;
}

// Extents of 100 bytes, each full of its number.
class FakeSource final : public cache::ExtentSource {
 public:
  std::vector<Result<PlainExtent>> load(std::span<const ExtentRef> refs) override {
    ++calls;
    if (before) before();
    std::vector<Result<PlainExtent>> answers;
    for (std::size_t i = 0; i < refs.size(); ++i) {
      if (i > 0) {
        EXPECT_TRUE(std::tie(refs[i - 1].object, refs[i - 1].offset) <
                    std::tie(refs[i].object, refs[i].offset));
      }
      ++extents;
      if (refs[i].number == failing.load()) {
        answers.push_back(fail(Code::kTransient, "away"));
      } else {
        answers.push_back(
            PlainExtent(Bytes(100, static_cast<std::uint8_t>(refs[i].number))));
      }
    }
    return answers;
  }
  void was_used(const ExtentRef& ref) override { used.push_back(ref.number); }
  std::function<void()> before;
  std::vector<std::uint32_t> used;
  std::atomic<std::uint32_t> failing = ~0u;
  std::atomic<int> calls = 0, extents = 0;
};

Result<PlainExtent> fetch_one(ExtentCache& cache, std::uint32_t number,
                              cache::ExtentSource& source) {
  const ExtentRef ref = ref_of(number);
  return cache.fetch({&ref, 1}, source)[0];
}

TEST(ExtentCacheTest, AnswersInTheOrderAskedAndLoadsSortedAndOnce) {
  ExtentCache cache(thread_executor(), 10000);
  FakeSource source;
  const std::vector<ExtentRef> refs = {ref_of(7), ref_of(3), ref_of(9), ref_of(3), ref_of(1)};
  auto answers = cache.fetch(refs, source);
  ASSERT_EQ(answers.size(), refs.size());
  for (std::size_t i = 0; i < refs.size(); ++i) {
    ASSERT_TRUE(answers[i]);
    EXPECT_EQ(answers[i]->data()[0], refs[i].number);
  }
  EXPECT_EQ(source.calls, 1);
  EXPECT_EQ(source.extents, 4);
  (void)cache.fetch(refs, source);
  EXPECT_EQ(source.calls, 1);
  EXPECT_EQ(cache.stats().hits, 5u);
  EXPECT_EQ(cache.stats().misses, 4u);
}

TEST(ExtentCacheTest, SourcesAreToldOfWhatIsUsedAgainAWhileLater) {
  FakeClock clock;
  clock.advance(std::chrono::seconds(1));
  ExtentCache cache(thread_executor(), 10000, &clock);
  FakeSource source;
  // One reader, who takes it in pieces.
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(fetch_one(cache, 1, source));
  EXPECT_TRUE(source.used.empty());
  clock.advance(std::chrono::seconds(5));
  ASSERT_TRUE(fetch_one(cache, 2, source));
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(fetch_one(cache, 1, source));
  EXPECT_EQ(source.used, std::vector{1u});
  clock.advance(std::chrono::seconds(4));
  ASSERT_TRUE(fetch_one(cache, 1, source));
  EXPECT_EQ(source.used.size(), 1u);
  clock.advance(std::chrono::seconds(1));
  ASSERT_TRUE(fetch_one(cache, 1, source));
  EXPECT_EQ(source.used.size(), 2u);
}

TEST(ExtentCacheTest, KeepsWhatWasUsedLastWithinItsBytes) {
  ExtentCache cache(thread_executor(), 350);
  FakeSource source;
  for (std::uint32_t number : {1u, 2u, 3u}) ASSERT_TRUE(fetch_one(cache, number, source));
  ASSERT_TRUE(fetch_one(cache, 1, source));  // now 2 is the oldest
  EXPECT_EQ(source.calls, 3);
  ASSERT_TRUE(fetch_one(cache, 4, source));
  EXPECT_EQ(cache.stats().bytes, 300u);
  for (std::uint32_t number : {1u, 3u, 4u}) ASSERT_TRUE(fetch_one(cache, number, source));
  EXPECT_EQ(source.calls, 4);
  ASSERT_TRUE(fetch_one(cache, 2, source));
  EXPECT_EQ(source.calls, 5);
}

TEST(ExtentCacheTest, ExtentLargerThanTheCacheIsHandedOutAndNotKept) {
  ExtentCache cache(thread_executor(), 99);
  FakeSource source;
  for (int i = 0; i < 2; ++i) {
    auto answer = fetch_one(cache, 5, source);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->data()[0], 5);
  }
  EXPECT_EQ(source.calls, 2);
  EXPECT_EQ(cache.stats().bytes, 0u);
}

TEST(ExtentCacheTest, ErrorCostsOneExtentAndDoesNotStay) {
  ExtentCache cache(thread_executor(), 10000);
  FakeSource source;
  source.failing = 2;
  const std::vector<ExtentRef> refs = {ref_of(1), ref_of(2), ref_of(3)};
  auto answers = cache.fetch(refs, source);
  EXPECT_TRUE(answers[0]);
  EXPECT_TRUE(is(answers[1], Code::kTransient));
  EXPECT_TRUE(answers[2]);
  source.failing = ~0u;
  answers = cache.fetch(refs, source);
  EXPECT_TRUE(answers[1]);
  EXPECT_EQ(source.extents, 4);
}

TEST(ExtentCacheTest, OtherDigestUnderTheSameNumberIsAnotherExtent) {
  ExtentCache cache(thread_executor(), 10000);
  FakeSource source;
  ExtentRef forged = ref_of(1);
  forged.digest[7] ^= 1;
  ASSERT_TRUE(fetch_one(cache, 1, source));
  (void)cache.fetch({&forged, 1}, source);
  EXPECT_EQ(source.extents, 2);
}

// The load ends when all others are known to wait for it.
void fetch_with_waiters(ExtentCache& cache, FakeSource& source,
                        std::vector<Result<PlainExtent>>& answers) {
  const std::uint64_t others = answers.size() - 1;
  source.before = [&] {
    while (cache.stats().shared_loads < others) std::this_thread::yield();
  };
  std::vector<std::unique_ptr<Task>> tasks;
  for (auto& answer : answers) {
    tasks.push_back(
        thread_executor().spawn("fetch", [&] { answer = fetch_one(cache, 6, source); }));
  }
}

TEST(ExtentCacheTest, ManyWhoMissTheSameExtentShareOneLoad) {
  ExtentCache cache(thread_executor(), 10000);
  FakeSource source;
  std::vector<Result<PlainExtent>> answers(8);
  fetch_with_waiters(cache, source, answers);
  EXPECT_EQ(source.calls, 1);
  for (const auto& answer : answers) {
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->data(), answers[0]->data());  // the same memory
  }
}

TEST(ExtentCacheTest, ManyWhoShareALoadShareItsError) {
  ExtentCache cache(thread_executor(), 10000);
  FakeSource source;
  source.failing = 6;
  std::vector<Result<PlainExtent>> answers(8);
  fetch_with_waiters(cache, source, answers);
  EXPECT_EQ(source.calls, 1);
  for (const auto& answer : answers) EXPECT_TRUE(is(answer, Code::kTransient));
}

TEST(ExtentCacheTest, LoadThatThrowsLeavesNobodyWaiting) {
  ExtentCache cache(thread_executor(), 10000);
  FakeSource source;
  std::vector<Result<PlainExtent>> waiter(1);
  std::unique_ptr<Task> task;
  bool first = true;
  source.before = [&] {
    if (!std::exchange(first, false)) return;
    task = thread_executor().spawn("fetch", [&] { waiter[0] = fetch_one(cache, 1, source); });
    while (cache.stats().shared_loads == 0) std::this_thread::yield();
    throw std::bad_alloc();
  };
  EXPECT_THROW((void)fetch_one(cache, 1, source), std::bad_alloc);
  task.reset();
  EXPECT_TRUE(is(waiter[0], Code::kTransient));
  EXPECT_TRUE(fetch_one(cache, 1, source));
}

TEST(ExtentCacheTest, FetchersOfOverlappingSetsAllGetTheirOwn) {
  SEEDED_TEST(seed);
  ExtentCache cache(thread_executor(), 1000);  // of 30 extents, 10 fit
  FakeSource source;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::unique_ptr<Task>> tasks;
    for (std::uint64_t t = 0; t < 4; ++t) {
      tasks.push_back(thread_executor().spawn("fetch", [&, t] {
        std::mt19937_64 random(seed + t);
        for (int i = 0; i < 500; ++i) {
          std::vector<ExtentRef> refs(1 + random() % 6);
          for (auto& ref : refs) ref = ref_of(static_cast<std::uint32_t>(random() % 30));
          auto answers = cache.fetch(refs, source);
          for (std::size_t k = 0; k < refs.size(); ++k) {
            if (!answers[k] ||
                !equal(*answers[k], Bytes(100, static_cast<std::uint8_t>(refs[k].number))))
              ++wrong;
          }
        }
      }));
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_LE(cache.stats().bytes, 1000u);
  EXPECT_EQ(cache.stats().misses, static_cast<std::uint64_t>(source.extents));
}

// ---- The source ---------------------------------------------------------------------------------

constexpr std::uint32_t kBlock = 4096;

// Objects of sealed extents in a store that counts and can fail.
class StoreSourceTest : public testing::Test, public cache::ObjectResolver {
 protected:
  static constexpr std::uint64_t kBase = 32;  // where in an object its extents begin

  // `extents` of `blocks` each, with `gap` bytes between them.
  std::vector<ExtentRef> make_object(std::uint64_t id, std::size_t extents, std::size_t blocks,
                                     std::size_t gap = 0) {
    Bytes object(kBase);
    std::vector<ExtentRef> refs;
    for (std::size_t i = 0; i < extents; ++i) {
      const auto number = static_cast<std::uint32_t>(refs.size());
      Bytes plain(blocks * kBlock);
      random_.fill(plain);  // so that it does not shrink
      const Bytes stored = test::sealed_extent(segment::extent_sealing_key(secret_, vid_), random_, number, plain, kBlock);
      refs.push_back({.object = {.origin = 0, .id = {id}},
                      .number = number,
                      .offset = static_cast<std::uint32_t>(object.size() - kBase),
                      .length = static_cast<std::uint32_t>(stored.size()),
                      .digest = crypto::digest(stored)});
      plain_[{id, number}] = plain;
      append(object, stored);
      object.resize(object.size() + gap);
    }
    EXPECT_TRUE(memory_.put(name_of(id), object));
    return refs;
  }

  static std::string name_of(std::uint64_t id) { return fmt::format("segments/{}", id); }

  Result<std::shared_ptr<const OpenedObject>> resolve(const ObjectKey& key) override {
    ++resolved_;
    if (key.id.value >= 90) return fail(Code::kCorrupt, "not in the chain");
    return std::make_shared<const OpenedObject>(
        OpenedObject{name_of(key.id.value), kBase, segment::extent_opening_key(secret_, vid_)});
  }

  void expect_plain(const ExtentRef& ref, const Result<PlainExtent>& answer) {
    ASSERT_TRUE(answer) << answer.error().message();
    EXPECT_TRUE(equal(*answer, plain_[{ref.object.id.value, ref.number}]));
  }
  std::uint64_t gets() const { return metered_.stats()[store::Verb::get_range].calls; }

  const bool crypto_ready_ = crypto::initialise().has_value();  // before the first secret
  SeededRandom random_{1};
  const segment::Vid vid_ = random_.array<32>();
  const crypto::Secret secret_{random_};
  FakeClock clock_;
  store::MemoryStore memory_;
  FaultStore faults_{memory_};
  store::MeteredStore metered_{clock_, faults_};
  StoreExtentSource source_{metered_, *this, kBlock};
  std::map<std::pair<std::uint64_t, std::uint32_t>, Bytes> plain_;
  std::atomic<int> resolved_{0};
};

TEST_F(StoreSourceTest, NeighboursOfAMebibyteComeWithOneGet) {
  const auto refs = make_object(1, 16, 16);
  const auto answers = source_.load(refs);
  for (std::size_t i = 0; i < refs.size(); ++i) expect_plain(refs[i], answers[i]);
  EXPECT_EQ(gets(), 1u);
  EXPECT_EQ(resolved_, 1);
}

TEST_F(StoreSourceTest, SmallGapsAreReadAcrossAndLargeOnesAreNot) {
  const auto near = make_object(1, 3, 1, StoreExtentSource::kGapMax);
  const auto far = make_object(2, 3, 1, StoreExtentSource::kGapMax + 1);
  ASSERT_TRUE(source_.load(near)[2]);
  EXPECT_EQ(gets(), 1u);
  ASSERT_TRUE(source_.load(far)[2]);
  EXPECT_EQ(gets(), 4u);
}

TEST_F(StoreSourceTest, OneGetIsAtMostItsBound) {
  const auto refs = make_object(1, 130, 16);  // a little more than 8 MiB
  const auto answers = source_.load(refs);
  for (std::size_t i = 0; i < refs.size(); ++i) expect_plain(refs[i], answers[i]);
  EXPECT_EQ(gets(), 2u);
  EXPECT_LE(metered_.stats()[store::Verb::get_range].bytes, 130u * refs[0].length);
}

TEST_F(StoreSourceTest, ExtentsOfTwoObjectsCostAGetEach) {
  auto refs = make_object(1, 2, 1);
  for (const ExtentRef& ref : make_object(2, 2, 1)) refs.push_back(ref);
  const auto answers = source_.load(refs);
  for (std::size_t i = 0; i < refs.size(); ++i) expect_plain(refs[i], answers[i]);
  EXPECT_EQ(gets(), 2u);
}

TEST_F(StoreSourceTest, DamageCostsTheExtentItIsIn) {
  const auto refs = make_object(1, 5, 1);
  Bytes object = *memory_.get(name_of(1), 1 << 20);
  object[kBase + refs[2].offset + 77] ^= 1;
  faults_.replace(name_of(1), object);
  const auto answers = source_.load(refs);
  for (std::size_t i : {0, 1, 3, 4}) expect_plain(refs[i], answers[i]);
  EXPECT_TRUE(is(answers[2], Code::kCorrupt));
  EXPECT_EQ(gets(), 1u);
}

TEST_F(StoreSourceTest, ABitFlippedOnTheWayCostsNothing) {
  const auto refs = make_object(1, 5, 1);
  FaultStore flipping{memory_, {.seed = 7, .flip = 50}};
  StoreExtentSource source{flipping, *this, kBlock};
  for (int i = 0; i < 400; ++i) {
    const auto answers = source.load(refs);
    for (std::size_t k = 0; k < refs.size(); ++k) expect_plain(refs[k], answers[k]);
  }
  EXPECT_GT(flipping.counts().flips, 10u);
}

TEST_F(StoreSourceTest, TruncatedObjectCostsTheExtentsBeyondItsEnd) {
  const auto refs = make_object(1, 4, 1);
  Bytes object = *memory_.get(name_of(1), 1 << 20);
  object.resize(kBase + refs[2].offset + 10);
  faults_.replace(name_of(1), object);
  const auto answers = source_.load(refs);
  for (std::size_t i : {0, 1}) expect_plain(refs[i], answers[i]);
  for (std::size_t i : {2, 3}) EXPECT_TRUE(is(answers[i], Code::kCorrupt));
  EXPECT_EQ(gets(), 5u);  // all of them, then one by one
}

TEST_F(StoreSourceTest, OutageIsTheErrorOfTheWholeRangeWithoutFurtherTries) {
  const auto refs = make_object(1, 4, 1);
  faults_.set_away(true);
  for (const auto& answer : source_.load(refs)) EXPECT_TRUE(is(answer, Code::kTransient));
  EXPECT_EQ(gets(), 1u);
  faults_.set_away(false);
  EXPECT_TRUE(source_.load(refs)[3]);
}

TEST_F(StoreSourceTest, MissingObjectCostsNoOther) {
  auto refs = make_object(1, 2, 1);
  for (const ExtentRef& ref : make_object(2, 2, 1)) refs.push_back(ref);
  faults_.lose(name_of(1));
  const auto answers = source_.load(refs);
  for (std::size_t i : {0, 1}) EXPECT_TRUE(is(answers[i], Code::kNotFound));
  for (std::size_t i : {2, 3}) expect_plain(refs[i], answers[i]);
}

TEST_F(StoreSourceTest, ObjectThatTheChainDoesNotNameCostsNoOther) {
  auto refs = make_object(1, 2, 1);
  for (const ExtentRef& ref : make_object(99, 2, 1)) refs.push_back(ref);
  const auto answers = source_.load(refs);
  for (std::size_t i : {0, 1}) expect_plain(refs[i], answers[i]);
  for (std::size_t i : {2, 3}) EXPECT_TRUE(is(answers[i], Code::kCorrupt));
  EXPECT_EQ(gets(), 1u);
}

TEST_F(StoreSourceTest, ImpossibleLengthIsRefusedBeforeItIsRead) {
  auto refs = make_object(1, 3, 1);
  refs[1].length = segment::kSealedExtentMax + 1;
  const auto answers = source_.load(refs);
  expect_plain(refs[0], answers[0]);
  EXPECT_TRUE(is(answers[1], Code::kCorrupt));
  expect_plain(refs[2], answers[2]);
}

TEST_F(StoreSourceTest, ColdReadThroughTheCacheIsOneGetAndAWarmOneNone) {
  ExtentCache cache(thread_executor(), 4 << 20);
  const auto refs = make_object(1, 16, 16);
  for (int round = 0; round < 2; ++round) {
    const auto answers = cache.fetch(refs, source_);
    for (std::size_t i = 0; i < refs.size(); ++i) expect_plain(refs[i], answers[i]);
  }
  EXPECT_EQ(gets(), 1u);
}

// As on a machine with one processor.
class OneProcessor final : public Executor {
 public:
  std::unique_ptr<Task> spawn(std::string name, std::function<void()> body) override { return thread_executor().spawn(std::move(name), std::move(body)); }
  std::unique_ptr<CondVar> cond_var() override { return thread_executor().cond_var(); }
  std::size_t processors() const override { return 1; }
};

// Notes in which order extents were opened, and takes its time, so that whoever may come between does.
class SlowShelf final : public cache::SealedCache {
 public:
  std::vector<Bytes> find(std::span<const Wanted> wanted) override { return std::vector<Bytes>(wanted.size()); }
  void was_wrong(const Wanted&) override {}
  void was_used(const Wanted&) override {}
  void offer(const crypto::Digest& digest, ByteView) override {
    {
      MutexLock lock(mu_);
      offered_.push_back(digest);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::vector<crypto::Digest> offered() {
    MutexLock lock(mu_);
    return offered_;
  }

 private:
  Mutex mu_;
  std::vector<crypto::Digest> offered_ GUARDED_BY(mu_);
};

TEST_F(StoreSourceTest, WhatIsReadAheadIsOpenedOneGetAfterTheOther) {
  OneProcessor executor;
  SlowShelf shelf;
  StoreExtentSource source{memory_, *this, kBlock, &shelf};
  Turns turns(Env{clock_, random_, executor});
  const auto load_ahead = [&](std::span<const ExtentRef> refs) {
    Turns::Place place(turns);
    return source.load_ahead(refs, place);
  };
  const auto one = make_object(1, StoreExtentSource::kTurnMin, 1), other = make_object(2, StoreExtentSource::kTurnMin, 1);
  {
    const auto task = thread_executor().spawn("ahead", [&] {
      const auto answers = load_ahead(one);
      for (std::size_t i = 0; i < one.size(); ++i) expect_plain(one[i], answers[i]);
    });
    const auto answers = load_ahead(other);
    for (std::size_t i = 0; i < other.size(); ++i) expect_plain(other[i], answers[i]);
  }
  const auto digests = [](std::span<const ExtentRef> first, std::span<const ExtentRef> second) {
    std::vector<crypto::Digest> all;
    for (const auto& refs : {first, second})
      for (const ExtentRef& ref : refs) all.push_back(ref.digest);
    return all;
  };
  const auto offered = shelf.offered();
  EXPECT_TRUE(offered == digests(one, other) || offered == digests(other, one));
}

}  // namespace
}  // namespace s3crate::test
