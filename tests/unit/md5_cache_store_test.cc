// SPDX-License-Identifier: GPL-3.0-or-later
// The MD5 cache over a store that lags behind: the contract, each kind of stale answer, what is not known and so not
// checked, when the waiting ends, and the spacing of changes.
#include <gtest/gtest.h>

#include <atomic>

#include "store/md5_cache_store.h"
#include "store/memory_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fault_store.h"
#include "tests/support/seed.h"
#include "tests/support/seeded_random.h"
#include "tests/support/stale_store.h"
#include "tests/unit/store_contract.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using store::Md5CacheStore;
using store::MemoryStore;
using store::Verb;

// ---- The contract, which a store that lags behind breaks all over -----------------------------------

struct Md5CacheUnderTest : StoreUnderTest {
  store::ObjectStore& store() override { return cache_; }
  MemoryStore memory_;
  FakeClock clock_;
  StaleStore stale_{clock_, memory_, test_seed(), 5s};
  SeededRandom random_{1};
  FakeExecutor executor_{clock_};
  Md5CacheStore cache_{Env{clock_, random_, executor_}, stale_, {.time = 10s}};
};

INSTANTIATE_TEST_SUITE_P(Md5Cache, StoreContract, ::testing::Values([] { return std::make_unique<Md5CacheUnderTest>(); }));

TEST(StaleStoreTest, LagsBehindUntilTheTimeIsOver) {
  MemoryStore memory;
  FakeClock clock;
  StaleStore stale(clock, memory, 1, 5s);
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto name = fmt::format("object{}", i);
    ASSERT_TRUE(stale.put(name, as_bytes("x")));
    seen.insert(stale.get(name, 10) ? "there" : "not yet");
    seen.insert(stale.list(name, "", 10)->objects.empty() ? "not yet listed" : "listed");
    clock.advance(5s);
    EXPECT_TRUE(stale.head(name));
    ASSERT_TRUE(stale.remove(name));
    seen.insert(stale.head(name) ? "still there" : "gone");
    clock.advance(5s);
    EXPECT_TRUE(is(stale.get(name, 10), Code::kNotFound));
    EXPECT_TRUE(stale.list("", "", 10)->objects.empty());
  }
  EXPECT_EQ(seen.size(), 6u);
  EXPECT_GT(stale.stale_answers(), 50u);
}

// ---- One answer at a time ----------------------------------------------------------------------------

class Md5CacheTest : public ::testing::Test {
 protected:
  explicit Md5CacheTest(Advance mode = Advance::by_waiting) : clock_(mode) {
    // The store shows its true state from `honest_from_` on.
    faults_.set_hook([this](Verb verb, const std::string&) -> Result<> {
      const bool reads = verb != Verb::put && verb != Verb::remove;
      if (reads) ++reads_;
      if (reads && clock_.now() >= honest_from_) faults_.restore(shown_);
      return {};
    });
  }
  // For so long the object is shown like this; nothing: not there.
  void show(const std::string& name, std::optional<std::string_view> text, Duration how_long) {
    if (text) faults_.replace(name, Bytes(text->begin(), text->end()));
    else faults_.lose(name);
    shown_ = name;
    honest_from_ = clock_.now() + how_long;
  }
  std::string get(const std::string& name, std::uint64_t max_size = 100) {
    const auto data = cache_.get(name, max_size);
    return data ? std::string(as_chars(*data)) : std::string(code_name(data.error().code()));
  }
  std::string range(const std::string& name, std::uint64_t offset, std::size_t size) {
    Bytes out(size);
    const auto done = cache_.get_range(name, offset, out);
    return done ? std::string(as_chars(out)) : std::string(code_name(done.error().code()));
  }
  std::string head(const std::string& name) {
    const auto info = cache_.head(name);
    return info ? fmt::format("{}", info->size) : std::string(code_name(info.error().code()));
  }
  void put(const std::string& name, std::string_view text) { ASSERT_TRUE(cache_.put(name, as_bytes(text))); }

  FakeClock clock_;
  MemoryStore memory_;
  FaultStore faults_{memory_};
  SeededRandom random_{1};
  FakeExecutor executor_{clock_};
  Md5CacheStore cache_{Env{clock_, random_, executor_}, faults_, {.entries_max = 4, .time = 10s}};
  std::string shown_;
  Duration honest_from_ = Duration::max();
  std::atomic<int> reads_ = 0;
};

TEST_F(Md5CacheTest, EveryReadWaitsForWhatWasPut) {
  put("a", "new bytes");
  for (const auto shown : {std::optional<std::string_view>(), std::optional<std::string_view>("short"),
                           std::optional<std::string_view>("much longer than before")}) {
    const auto stale = cache_.stats().stale_answers;
    show("a", shown, 300ms);
    EXPECT_EQ(get("a"), "new bytes");
    show("a", shown, 300ms);
    EXPECT_EQ(head("a"), "9");
    EXPECT_GE(cache_.stats().stale_answers, stale + 2);
  }
  show("a", std::nullopt, 300ms);
  EXPECT_EQ(range("a", 4, 5), "bytes");
  show("a", "short", 300ms);
  EXPECT_EQ(range("a", 4, 5), "bytes");
  show("a", std::nullopt, 300ms);
  EXPECT_EQ(cache_.list("", "", 10)->objects.size(), 1u);
  show("a", "short", 300ms);
  EXPECT_EQ(cache_.list("", "", 10)->objects.at(0).size, 9u);
  EXPECT_EQ(cache_.stats().passed_on, 0u);
}

TEST_F(Md5CacheTest, OtherBytesOfTheSameLengthAreCaughtInWholeReadsOnly) {
  put("a", "new bytes");
  show("a", "old bytes", 300ms);
  EXPECT_EQ(get("a"), "new bytes");
  show("a", "old bytes", 300ms);
  EXPECT_EQ(range("a", 0, 9), "new bytes");
  show("a", "old bytes", 300ms);
  EXPECT_EQ(range("a", 0, 3), "old") << "nothing is remembered of parts";
}

TEST_F(Md5CacheTest, EveryReadWaitsForWhatWasRemoved) {
  put("a", "bytes");
  ASSERT_TRUE(cache_.remove("a"));
  show("a", "bytes", 300ms);
  EXPECT_EQ(get("a"), "not_found");
  show("a", "bytes", 300ms);
  EXPECT_EQ(range("a", 0, 2), "not_found");
  show("a", "bytes", 300ms);
  EXPECT_EQ(range("a", 0, 99), "not_found") << "a range behind the end of what should be gone";
  show("a", "bytes", 300ms);
  EXPECT_EQ(head("a"), "not_found");
  EXPECT_GE(cache_.stats().stale_answers, 4u);
}

TEST_F(Md5CacheTest, WhatIsAskedTooMuchOfIsNotStale) {
  put("a", "bytes");
  EXPECT_EQ(get("a", 4), "corrupt");
  EXPECT_EQ(range("a", 1, 5), "corrupt");
  EXPECT_EQ(get("b"), "not_found");
  EXPECT_EQ(cache_.stats().stale_answers, 0u);
  EXPECT_EQ(reads_, 3);
}

TEST_F(Md5CacheTest, TheLastAnswerIsTheTruthWhenTheTimeIsOver) {
  put("a", "bytes");
  const Duration put_at = clock_.now();
  show("a", std::nullopt, 24h);
  EXPECT_EQ(get("a"), "not_found");
  EXPECT_EQ(clock_.now(), put_at + 10s);
  EXPECT_EQ(cache_.stats().passed_on, 1u);
  EXPECT_LT(reads_, 20) << "the store is asked at growing intervals";
  const int before = reads_;
  EXPECT_EQ(get("a"), "not_found");
  EXPECT_EQ(reads_, before + 1);
  EXPECT_EQ(clock_.now(), put_at + 10s);
  EXPECT_EQ(cache_.stats().passed_on, 1u);
}

TEST_F(Md5CacheTest, AListEndsWithTheTimeToo) {
  put("a", "bytes");
  const Duration put_at = clock_.now();
  show("a", std::nullopt, 24h);
  EXPECT_TRUE(cache_.list("", "", 10)->objects.empty());
  EXPECT_EQ(clock_.now(), put_at + 10s);
}

TEST_F(Md5CacheTest, AListIsHeldAgainstItsOwnNamesOnly) {
  for (const char* name : {"a/1", "a/2", "b/1"}) put(name, "x");
  show("b/1", std::nullopt, 24h);
  EXPECT_EQ(cache_.list("a/", "", 10)->objects.size(), 2u);
  EXPECT_EQ(cache_.list("", "b/1", 10)->objects.size(), 0u);
  const auto page = cache_.list("", "", 2);
  EXPECT_EQ(page->objects.size(), 2u);
  faults_.restore("b/1");
  show("a/1", std::nullopt, 24h);
  EXPECT_EQ(cache_.list("", "a/1", 10)->objects.size(), 2u);
  EXPECT_EQ(cache_.stats().stale_answers, 0u);
}

TEST_F(Md5CacheTest, AnErrorIsNoAnswer) {
  put("a", "bytes");
  faults_.set_away(true);
  EXPECT_EQ(get("a"), "transient");
  EXPECT_TRUE(is(cache_.list("", "", 10), Code::kTransient));
  EXPECT_EQ(cache_.stats().stale_answers, 0u);
}

TEST_F(Md5CacheTest, ChangesWithoutAnAnswerAreNotKnown) {
  put("a", "bytes");
  FaultStore lossy(faults_, {.seed = 1, .transient_after = 1000});
  Md5CacheStore cache(Env{clock_, random_, executor_}, lossy, {.time = 10s});
  EXPECT_TRUE(is(cache.put("b", as_bytes("bytes")), Code::kTransient));
  EXPECT_TRUE(is(cache.remove("a"), Code::kTransient));
  show("b", std::nullopt, 24h);
  EXPECT_TRUE(is(cache.get("b", 100), Code::kNotFound));
  EXPECT_TRUE(is(cache.get("a", 100), Code::kNotFound));
  EXPECT_EQ(cache.stats().stale_answers, 0u);
}

TEST_F(Md5CacheTest, APutThatFailsLeavesWhatIsKnownOfAWriteOnceName) {
  put("a", "bytes");
  EXPECT_TRUE(is(cache_.put("a", as_bytes("other")), Code::kExists));
  faults_.set_away(true);
  EXPECT_TRUE(is(cache_.put("a", as_bytes("other")), Code::kTransient));
  faults_.set_away(false);
  show("a", "other", 300ms);
  EXPECT_EQ(get("a"), "bytes");
}

TEST_F(Md5CacheTest, ATakenNameIsThereWithAnyContent) {
  ASSERT_TRUE(memory_.put("a", as_bytes("somebody's")));
  EXPECT_TRUE(is(cache_.put("a", as_bytes("mine")), Code::kExists));
  show("a", std::nullopt, 300ms);
  EXPECT_EQ(get("a"), "somebody's");
  EXPECT_EQ(get("a", 4), "corrupt");
  EXPECT_EQ(range("a", 5, 50), "corrupt");
  EXPECT_GE(cache_.stats().stale_answers, 1u);
}

TEST_F(Md5CacheTest, OfLargeObjectsOnlyTheLengthIsRemembered) {
  const std::string large(Md5CacheStore::kHashedMax + 1, 'n'), older(Md5CacheStore::kHashedMax + 1, 'o');
  put("a", large);
  show("a", older, 300ms);
  EXPECT_EQ(get("a", 1 << 21), older);
  show("a", "short", 300ms);
  EXPECT_EQ(get("a", 1 << 21), large);
}

TEST_F(Md5CacheTest, TheOldestAreForgottenFirstAndAllInTime) {
  for (const char* name : {"a", "b", "c", "d"}) put(name, "x");
  EXPECT_TRUE(is(cache_.put("a", as_bytes("x")), Code::kExists)) << "now b is the oldest";
  put("e", "x");
  EXPECT_EQ(cache_.stats().entries, 4u);
  show("b", std::nullopt, 24h);
  EXPECT_EQ(get("b"), "not_found");
  EXPECT_EQ(cache_.stats().stale_answers, 0u);
  show("a", std::nullopt, 300ms);
  EXPECT_EQ(get("a"), "x");
  clock_.advance(10s);
  put("f", "x");
  EXPECT_EQ(cache_.stats().entries, 1u);
}

// Another writer's, that the newest commit names already.
TEST_F(Md5CacheTest, PartsOfWhatOthersPutAreWaitedFor) {
  ASSERT_TRUE(memory_.put("theirs", as_bytes("bytes")));
  show("theirs", std::nullopt, 3s);
  EXPECT_EQ(get("theirs"), "not_found") << "whether a whole object is there may be a question";
  const Duration before = clock_.now();
  EXPECT_EQ(range("theirs", 0, 5), "bytes");
  EXPECT_GE(clock_.now() - before, 3s);
  EXPECT_LE(clock_.now() - before, 5s);
}

TEST_F(Md5CacheTest, ALostObjectIsWaitedForOnceAndManyNotAtAll) {
  const auto waits = [&](const std::string& name) {
    const Duration before = clock_.now();
    EXPECT_EQ(range(name, 0, 5), "not_found");
    return clock_.now() - before;
  };
  EXPECT_EQ(waits("lost"), 10s);
  EXPECT_EQ(waits("lost"), 0s);
  for (int i = 1; i < Md5CacheStore::kLostInARowMax; ++i) EXPECT_EQ(waits(fmt::format("lost{}", i)), 10s) << i;
  EXPECT_EQ(waits("another"), 0s);
  ASSERT_TRUE(memory_.put("lost", as_bytes("bytes")));
  EXPECT_EQ(range("lost", 0, 5), "bytes") << "what came back is read";
  EXPECT_EQ(waits("another"), 10s) << "and the others may come back too";
}

TEST_F(Md5CacheTest, BadNamesAreNotRemembered) {
  EXPECT_TRUE(is(cache_.put("a b", as_bytes("x")), Code::kBadArgument));
  EXPECT_TRUE(is(cache_.remove(std::string(1000, 'a')), Code::kBadArgument));
  EXPECT_EQ(cache_.stats().entries, 0u);
}

TEST_F(Md5CacheTest, ChangesOfOneNameAreSpaced) {
  Md5CacheStore spaced(Env{clock_, random_, executor_}, memory_, {.time = 1s, .min_write_delay = 5s});
  const Duration start = clock_.now();
  ASSERT_TRUE(spaced.put("a", as_bytes("x")));
  ASSERT_TRUE(spaced.put("b", as_bytes("x")));
  EXPECT_EQ(clock_.now(), start);
  EXPECT_TRUE(is(spaced.put("a", as_bytes("x")), Code::kExists));
  EXPECT_EQ(clock_.now(), start + 5s);
  ASSERT_TRUE(spaced.remove("a"));
  EXPECT_EQ(clock_.now(), start + 10s);
  clock_.advance(5s);
  ASSERT_TRUE(spaced.put("a", as_bytes("x")));
  EXPECT_EQ(clock_.now(), start + 15s);
  EXPECT_EQ(spaced.stats().delayed_writes, 2u);
}

class Md5CacheByHandTest : public Md5CacheTest {
 protected:
  Md5CacheByHandTest() : Md5CacheTest(Advance::by_hand) {}
};

TEST_F(Md5CacheByHandTest, CancellationWakesReadersAndWriters) {
  Md5CacheStore cache(Env{clock_, random_, executor_}, faults_, {.time = 10s, .min_write_delay = 10s});
  ASSERT_TRUE(cache.put("a", as_bytes("x")));
  show("a", std::nullopt, 24h);
  Result<Bytes> read;
  Result<store::ListPage> listed;
  Result<> written;
  auto reader = executor_.spawn("reader", [&] { read = cache.get("a", 10); });
  auto lister = executor_.spawn("lister", [&] { listed = cache.list("", "", 10); });
  auto writer = executor_.spawn("writer", [&] { written = cache.remove("a"); });
  clock_.wait_for_waiters(3);
  EXPECT_EQ(cache.stats().waiting, 3u);
  cache.cancel();
  reader.reset();
  lister.reset();
  writer.reset();
  EXPECT_TRUE(is(read, Code::kCancelled));
  EXPECT_TRUE(is(listed, Code::kCancelled));
  EXPECT_TRUE(is(written, Code::kCancelled));
  EXPECT_EQ(cache.stats().waiting, 0u);
  EXPECT_TRUE(memory_.head("a"));
  // From now on one try each.
  EXPECT_TRUE(is(cache.get("a", 10), Code::kCancelled));
  faults_.restore("a");
  EXPECT_TRUE(cache.get("a", 10));
  EXPECT_TRUE(cache.put("b", as_bytes("x")));
}

TEST_F(Md5CacheByHandTest, AChangeUnderARead) {
  put("a", "x");
  show("a", std::nullopt, 24h);
  Result<Bytes> read = fail(Code::kIo, "");
  auto reader = executor_.spawn("reader", [&] { read = cache_.get("a", 10); });
  clock_.wait_for_waiters(1);
  ASSERT_TRUE(cache_.remove("a"));
  clock_.advance(1s);
  reader.reset();
  EXPECT_TRUE(is(read, Code::kNotFound)) << "what was stale is the truth now";
  EXPECT_EQ(cache_.stats().stale_answers, 1u);
}

TEST_F(Md5CacheByHandTest, OverlappingChangesAreKnownOnlyIfOneMustWin) {
  // The second change begins and ends while the first is on its way.
  std::function<void()> meanwhile;
  FaultStore inner(memory_);
  Md5CacheStore cache(Env{clock_, random_, executor_}, inner, {.time = 10s});
  inner.set_hook([&](Verb verb, const std::string&) -> Result<> {
    if (verb == Verb::put && meanwhile) std::exchange(meanwhile, nullptr)();
    return {};
  });
  meanwhile = [&] { EXPECT_TRUE(cache.put("a", as_bytes("winner"))); };
  EXPECT_TRUE(is(cache.put("a", as_bytes("loser")), Code::kExists));
  meanwhile = [&] { EXPECT_TRUE(cache.remove("b")); };
  EXPECT_TRUE(cache.put("b", as_bytes("x")));
  inner.lose("b");
  EXPECT_TRUE(is(cache.get("b", 10), Code::kNotFound)) << "not known, so not doubted";
  EXPECT_EQ(cache.stats().stale_answers, 0u);
  inner.lose("a");
  auto reader = executor_.spawn("reader", [&] { EXPECT_EQ(as_chars(cache.get("a", 10).value()), "winner"); });
  clock_.wait_for_waiters(1);
  inner.restore("a");
  clock_.advance(1s);
  reader.reset();
  EXPECT_EQ(cache.stats().stale_answers, 1u);
}

}  // namespace
}  // namespace s3crate::test
