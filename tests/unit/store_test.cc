// SPDX-License-Identifier: GPL-3.0-or-later
// The contract for the memory store and the wrappers, the table of object names, and what each
// wrapper does.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "store/memory_store.h"
#include "store/metered_store.h"
#include "store/retry_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_store.h"
#include "tests/support/seed.h"
#include "tests/support/seeded_random.h"
#include "tests/unit/store_contract.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using store::MemoryStore;
using store::MeteredStore;
using store::RetryStore;
using store::Verb;

TEST(ObjectNameTest, GoodAndBadOnes) {
  for (const char* good : {"volume", "commits/ffffffffffffffff", "keys/c0", "a/.b", "...", ".a",
                           "a..b", "~", "_-", "A/Z/0/9", "a/b/c/d/e/f", ".tmp/x"}) {
    EXPECT_TRUE(store::is_valid_object_name(good)) << good;
  }
  for (const char* bad :
       {"",    "/",    "a/", "/a",   "a//b", ".",   "..",  "a/.",  "./a",   "a/../b", "..//",
        "a b", "a\\b", "a+", "a%20", "#",    "a@b", "a:b", "a\tb", "a\x7f", "\xff"}) {
    EXPECT_FALSE(store::is_valid_object_name(bad)) << bad;
  }
  EXPECT_FALSE(store::is_valid_object_name(std::string_view("a\0b", 3)));
  EXPECT_TRUE(store::is_valid_object_name(std::string(512, 'a')));
  EXPECT_FALSE(store::is_valid_object_name(std::string(513, 'a')));
}

// ---- The contract -------------------------------------------------------------------------------

struct MemoryUnderTest : StoreUnderTest {
  store::ObjectStore& store() override { return memory_; }
  MemoryStore memory_;
};

struct MeteredUnderTest : StoreUnderTest {
  store::ObjectStore& store() override { return metered_; }
  MemoryStore memory_;
  FakeClock clock_;
  MeteredStore metered_{clock_, memory_};
};

struct QuietFaultsUnderTest : StoreUnderTest {
  store::ObjectStore& store() override { return faults_; }
  MemoryStore memory_;
  FaultStore faults_{memory_};
};

// Faults after the effect are left out: with them kExists may mean oneself.
struct RetryUnderTest : StoreUnderTest {
  store::ObjectStore& store() override { return retry_; }
  ~RetryUnderTest() override { EXPECT_EQ(retry_.stats().retries, faults_.counts().total()); }

  MemoryStore memory_;
  FaultStore faults_{memory_, {.seed = 1, .transient_before = 300}};
  FakeClock clock_;
  SeededRandom random_{2};
  FakeExecutor executor_{clock_};
  RetryStore retry_{Env{clock_, random_, executor_}, faults_, {}};
};

template <typename Subject>
StoreFactory make() {
  return [] { return std::make_unique<Subject>(); };
}
INSTANTIATE_TEST_SUITE_P(Memory, StoreContract, ::testing::Values(make<MemoryUnderTest>()));
INSTANTIATE_TEST_SUITE_P(Metered, StoreContract, ::testing::Values(make<MeteredUnderTest>()));
INSTANTIATE_TEST_SUITE_P(Faults, StoreContract, ::testing::Values(make<QuietFaultsUnderTest>()));
INSTANTIATE_TEST_SUITE_P(RetryFaults, StoreContract, ::testing::Values(make<RetryUnderTest>()));

// ---- Retry --------------------------------------------------------------------------------------

// A store over a network: what it answers may be damaged on the way.
class RemoteStore final : public store::ObjectStore {
 public:
  explicit RemoteStore(ObjectStore& inner) : inner_(inner) {}
  Result<> put(const std::string& name, std::span<const ByteView> parts) override {
    return inner_.put(name, parts);
  }
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override {
    return inner_.get(name, max_size);
  }
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override {
    return inner_.get_range(name, offset, out);
  }
  Result<store::ObjectInfo> head(const std::string& name) override { return inner_.head(name); }
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after,
                               std::size_t max_keys) override {
    return inner_.list(prefix, start_after, max_keys);
  }
  Result<> remove(const std::string& name) override { return inner_.remove(name); }
  store::StoreCaps caps() const override { return {.local = false}; }
  std::string describe() const override { return inner_.describe(); }

 private:
  ObjectStore& inner_;
};

class RetryTest : public ::testing::Test {
 protected:
  explicit RetryTest(Advance mode = Advance::by_waiting) : clock_(mode) {
    EXPECT_TRUE(memory_.put("object", as_bytes("data")));
  }
  // Every call fails so until `count` of them have.
  void fail_calls(int count, Code code) {
    calls_ = 0;
    faults_.set_hook([this, count, code](Verb, const std::string&) -> Result<> {
      times_.push_back(clock_.now());
      if (calls_++ < count) return fail(code, "injected {}", calls_.load());
      return {};
    });
  }

  MemoryStore memory_;
  FaultStore faults_{memory_};
  FakeClock clock_;
  SeededRandom random_{3};
  FakeExecutor executor_{clock_};
  RetryStore retry_{Env{clock_, random_, executor_},
                    faults_,
                    {.delay_min = 50ms, .delay_max = 10s, .outage_timeout = 10min}};
  std::atomic<int> calls_ = 0;
  std::vector<Duration> times_;
};

class RetryByHandTest : public RetryTest {
 protected:
  RetryByHandTest() : RetryTest(Advance::by_hand) {}
};

TEST_F(RetryTest, EveryVerbOutlivesAShortOutage) {
  Bytes out(4);
  auto five_fail = [&] { fail_calls(5, Code::kTransient); };
  five_fail();
  EXPECT_TRUE(retry_.put("new", as_bytes("x")));
  five_fail();
  EXPECT_TRUE(retry_.get("object", 10));
  five_fail();
  EXPECT_TRUE(retry_.get_range("object", 0, out));
  EXPECT_EQ(as_chars(out), "data");
  five_fail();
  EXPECT_TRUE(retry_.head("object"));
  five_fail();
  EXPECT_EQ(retry_.list("", "", 10)->objects.size(), 2u);
  five_fail();
  EXPECT_TRUE(retry_.remove("new"));
  EXPECT_EQ(retry_.stats().retries, 30u);
  EXPECT_EQ(retry_.stats().given_up, 0u);
  EXPECT_EQ(retry_.stats().waiting, 0u);
}

TEST_F(RetryTest, DelaysGrowAndStayWithinTheirBounds) {
  fail_calls(200, Code::kTransient);
  EXPECT_TRUE(retry_.put("new", as_bytes("x")));
  ASSERT_EQ(times_.size(), 201u);
  Duration sum{}, last = 50ms;
  for (std::size_t i = 1; i < times_.size(); ++i) {
    Duration delay = times_[i] - times_[i - 1];
    EXPECT_GE(delay, 50ms);
    EXPECT_LE(delay, std::min<Duration>(last * 3, 10s));
    last = delay;
    if (i > 100) sum += delay;
  }
  EXPECT_GT(sum / 100, 1s);
}

TEST_F(RetryTest, AReadGivesUpAtTheTimeoutAndTheErrorIsNotSticky) {
  faults_.set_away(true);
  Duration start = clock_.now();
  EXPECT_TRUE(is(retry_.get("object", 10), Code::kTransient));
  EXPECT_EQ(clock_.now() - start, 10min);
  EXPECT_EQ(retry_.stats().given_up, 1u);
  EXPECT_GT(retry_.stats().retries, 60u);
  faults_.set_away(false);
  EXPECT_TRUE(retry_.get("object", 10));
}

TEST_F(RetryTest, WhatIsReadAheadGivesUpEarly) {
  faults_.set_away(true);
  Duration start = clock_.now();
  Bytes out(1);
  EXPECT_TRUE(is(retry_.get_range_ahead("object", 0, out), Code::kTransient));
  EXPECT_EQ(clock_.now() - start, 1s);
  EXPECT_GT(retry_.stats().retries, 3u);
  EXPECT_EQ(retry_.stats().given_up, 0u) << "somebody who waits for it has not given up";
  EXPECT_EQ(retry_.stats().given_up_ahead, 1u);
  faults_.set_away(false);
  EXPECT_TRUE(retry_.get_range_ahead("object", 0, out));
}

TEST_F(RetryTest, APutNeverGivesUp) {
  fail_calls(5000, Code::kTransient);
  Duration start = clock_.now();
  EXPECT_TRUE(retry_.put("new", as_bytes("x")));
  EXPECT_GT(clock_.now() - start, 1h);
}

TEST_F(RetryTest, OtherErrorsAreFinal) {
  for (Code code :
       {Code::kDenied, Code::kBadArgument, Code::kNotFound, Code::kCancelled, Code::kCorrupt}) {
    fail_calls(1000, code);
    EXPECT_TRUE(is(retry_.get("object", 10), code));
    EXPECT_EQ(calls_, 1) << code_name(code);
  }
  EXPECT_EQ(retry_.stats().retries, 0u);
}

TEST_F(RetryTest, ACorruptAnswerIsAskedForAgainOnlyOverANetworkAndNotForEver) {
  RemoteStore remote(faults_);
  RetryStore retry(Env{clock_, random_, executor_}, remote, {.corrupt_retries_max = 2});
  fail_calls(2, Code::kCorrupt);
  EXPECT_TRUE(retry.get("object", 10));
  EXPECT_EQ(calls_, 3);
  fail_calls(1000, Code::kCorrupt);
  EXPECT_TRUE(is(retry.get("object", 10), Code::kCorrupt));
  EXPECT_EQ(calls_, 3);
}

TEST_F(RetryTest, APutThatWasDoneInAnEarlierTryExists) {
  FaultStore lossy(memory_, {.seed = 4, .transient_after = 1000});
  RetryStore retry(Env{clock_, random_, executor_}, lossy, {});
  EXPECT_TRUE(is(retry.put("new", as_bytes("mine")), Code::kExists));
  EXPECT_EQ(as_chars(*memory_.get("new", 10)), "mine");
}

TEST_F(RetryByHandTest, CancellationWakesAtOnce) {
  faults_.set_away(true);
  Result<> put, read;
  auto writer = executor_.spawn("writer", [&] { put = retry_.put("new", as_bytes("x")); });
  auto reader = executor_.spawn("reader", [&] {
    Bytes out(1);
    read = retry_.get_range("object", 0, out);
  });
  clock_.wait_for_waiters(2);
  EXPECT_EQ(retry_.stats().waiting, 0u) << "that may be over at once";
  clock_.advance(RetryStore::kTroubleAfter);
  EXPECT_EQ(retry_.stats().waiting, 2u);
  Duration before = clock_.now();
  retry_.cancel();
  writer.reset();
  reader.reset();
  EXPECT_EQ(clock_.now(), before);
  EXPECT_TRUE(is(put, Code::kCancelled));
  EXPECT_TRUE(is(read, Code::kCancelled));
  EXPECT_EQ(retry_.stats().waiting, 0u);
  // From now on one try each.
  EXPECT_TRUE(is(retry_.put("new", as_bytes("x")), Code::kCancelled));
  faults_.set_away(false);
  EXPECT_TRUE(retry_.put("new", as_bytes("x")));
}

TEST_F(RetryByHandTest, TellsWhatIsWaitedForSinceWhenAndForHowLong) {
  EXPECT_FALSE(retry_.trouble());
  faults_.set_away(true);
  auto writer = executor_.spawn("writer", [&] { static_cast<void>(retry_.put("new", as_bytes("x"))); });
  clock_.wait_for_waiters(1);
  clock_.advance(1ms);
  auto trouble = retry_.trouble();
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->why, "injected: the store is away");
  EXPECT_EQ(trouble->lasting, 1ms);
  EXPECT_FALSE(trouble->left) << "a put is never given up";
  retry_.cancel();
  writer.reset();
  EXPECT_FALSE(retry_.trouble());
}

TEST_F(RetryTest, ATroubleTellsTheNewestErrorOfTheCall) {
  std::vector<store::Trouble> seen;
  faults_.set_hook([&](Verb, const std::string&) -> Result<> {
    seen.push_back(*retry_.trouble());
    if (seen.size() < 3) return fail(Code::kTransient, "injected {}", seen.size());
    return {};
  });
  EXPECT_TRUE(retry_.get("object", 10));
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].why, "");
  EXPECT_EQ(*seen[0].left, 10min);
  EXPECT_EQ(seen[1].why, "injected 1");
  EXPECT_EQ(seen[1].lasting + *seen[1].left, 10min);
}

TEST_F(RetryByHandTest, WaitersGoOnWhenTheirTimeHasCome) {
  faults_.set_away(true);
  Result<> put;
  auto writer = executor_.spawn("writer", [&] { put = retry_.put("new", as_bytes("x")); });
  for (std::uint64_t i = 1; i <= 3; ++i) {
    clock_.wait_for_waiters(1);
    while (faults_.counts().away < i + 1) {
      clock_.advance(10s);
      std::this_thread::yield();
    }
  }
  clock_.wait_for_waiters(1);
  faults_.set_away(false);
  clock_.advance(10s);
  writer.reset();
  EXPECT_TRUE(put);
}

// ---- Metering -----------------------------------------------------------------------------------

TEST(MeteredStoreTest, CountsCallsBytesErrorsAndTimes) {
  MemoryStore memory;
  FaultStore faults(memory);
  FakeClock clock;
  MeteredStore metered(clock, faults);
  faults.set_hook([&](Verb verb, const std::string&) -> Result<> {
    clock.advance(verb == Verb::put ? 80ms : 1ms);
    return {};
  });
  std::vector<ByteView> parts = {as_bytes("12345"), as_bytes("678")};
  EXPECT_TRUE(metered.put("a", parts));
  EXPECT_FALSE(metered.put("a", parts));
  EXPECT_FALSE(metered.put("a+", parts));
  EXPECT_TRUE(metered.get("a", 10));
  EXPECT_FALSE(metered.get("a", 7));
  EXPECT_FALSE(metered.get("b", 7));
  EXPECT_FALSE(metered.get("c", 7));
  Bytes out(3);
  EXPECT_TRUE(metered.get_range("a", 0, out));
  EXPECT_TRUE(metered.head("a"));
  EXPECT_TRUE(metered.list("", "", 5));
  EXPECT_TRUE(metered.remove("a"));
  faults.set_away(true);
  EXPECT_FALSE(metered.list("", "", 5));

  store::StoreStats stats = metered.stats();
  EXPECT_EQ(stats.calls(), 12u);
  EXPECT_EQ(stats[Verb::put].calls, 3u);
  EXPECT_EQ(stats[Verb::put].bytes, 8u);
  EXPECT_EQ(stats[Verb::put].errors_of(Code::kExists), 1u);
  EXPECT_EQ(stats[Verb::put].errors_of(Code::kBadArgument), 1u);
  EXPECT_EQ(stats[Verb::get].calls, 4u);
  EXPECT_EQ(stats[Verb::get].bytes, 8u);
  EXPECT_EQ(stats[Verb::get].errors_of(Code::kNotFound), 2u);
  EXPECT_EQ(stats[Verb::get].errors_of(Code::kCorrupt), 1u);
  EXPECT_EQ(stats[Verb::get_range].bytes, 3u);
  EXPECT_EQ(stats[Verb::head].calls, 1u);
  EXPECT_EQ(stats[Verb::list].calls, 2u);
  EXPECT_EQ(stats[Verb::list].errors_of(Code::kTransient), 1u);
  EXPECT_EQ(stats[Verb::remove].calls, 1u);
  EXPECT_GE(stats[Verb::put].p50, 80ms);
  EXPECT_LE(stats[Verb::put].p99, 100ms);
  EXPECT_GE(stats[Verb::get].p50, 1ms);
  EXPECT_LE(stats[Verb::get].p99, 1250us);
}

TEST(HistogramTest, PercentilesAreAtMostAQuarterTooHigh) {
  SEEDED_TEST(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    Histogram histogram;
    std::vector<std::int64_t> all;
    for (std::size_t n = 1 + random() % 300; all.size() < n;) {
      all.push_back(static_cast<std::int64_t>(random() >> (1 + random() % 62)));
      histogram.add(Duration(all.back()));
    }
    std::ranges::sort(all);
    EXPECT_EQ(histogram.count(), all.size());
    for (double fraction : {0.01, 0.5, 0.9, 0.99, 1.0}) {
      auto rank = static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(all.size())));
      std::int64_t exact = all.at(rank - 1);
      std::int64_t given = histogram.percentile(fraction).count();
      ASSERT_GE(given, exact);
      ASSERT_LE(given - exact, exact / 4) << exact;
    }
  }
  EXPECT_EQ(Histogram().percentile(0.99), Duration::zero());
}

// ---- The fault store itself: faults that never fire prove nothing
// --------------------------------

TEST(FaultStoreTest, EveryFaultFiresAtItsRate) {
  MemoryStore memory;
  Bytes data(100, 0);
  FaultStore faults(memory, {.seed = 5,
                             .transient_before = 100,
                             .transient_after = 100,
                             .late = 100,
                             .corrupt = 100,
                             .flip = 100});
  std::uint64_t flipped = 0, corrupt = 0, transient = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string name = fmt::format("object{}", i);
    transient += is(faults.put(name, data), Code::kTransient);
    auto got = faults.get(name, 100);
    transient += is(got, Code::kTransient);
    corrupt += is(got, Code::kCorrupt);
    flipped += got && *got != data;
  }
  FaultCounts counts = faults.counts();
  EXPECT_EQ(counts.flips, flipped);
  EXPECT_EQ(counts.corrupt, corrupt);
  EXPECT_EQ(counts.transient_before + counts.transient_after + counts.late, transient);
  for (std::uint64_t count : {counts.transient_before, counts.transient_after, counts.late,
                              counts.corrupt, counts.flips}) {
    EXPECT_GT(count, 100u);
    EXPECT_LT(count, 500u);
  }
  // Late puts were done after all, but for the few still pending.
  std::uint64_t there = 0;
  for (int i = 0; i < 2000; ++i) there += memory.head(fmt::format("object{}", i)).has_value();
  EXPECT_LT(there, 2000u);
  EXPECT_GT(there, 2000u - counts.transient_before);
}

TEST(FaultStoreTest, LosesReplacesAndRestores) {
  MemoryStore memory;
  FaultStore faults(memory);
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(faults.put(name, as_bytes(name)));
  faults.lose("a");
  faults.replace("b", {'n', 'e', 'w'});
  EXPECT_TRUE(is(faults.get("a", 10), Code::kNotFound));
  EXPECT_TRUE(is(faults.head("a"), Code::kNotFound));
  EXPECT_EQ(as_chars(*faults.get("b", 10)), "new");
  EXPECT_TRUE(is(faults.get("b", 2), Code::kCorrupt));
  Bytes out(2);
  EXPECT_TRUE(faults.get_range("b", 1, out));
  EXPECT_EQ(as_chars(out), "ew");
  EXPECT_TRUE(is(faults.get_range("b", 2, out), Code::kCorrupt));
  auto page = faults.list("", "", 1);
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].name, "b");
  EXPECT_EQ(page->objects[0].size, 3u);
  EXPECT_TRUE(page->more);
  faults.restore("a");
  faults.restore("b");
  EXPECT_EQ(as_chars(*faults.get("a", 10)), "a");
  EXPECT_EQ(as_chars(*faults.get("b", 10)), "b");
}

}  // namespace
}  // namespace s3crate::test
