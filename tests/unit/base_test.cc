// SPDX-License-Identifier: GPL-3.0-or-later
// base/: bytes, wire integers, reader and writer against plain models, results, strong numbers,
// threads.
#include <gtest/gtest.h>
#include <pthread.h>

#include <memory>
#include <unordered_set>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/executor.h"
#include "base/result.h"
#include "base/strong.h"

namespace s3crate {
namespace {

using namespace std::chrono_literals;

// ---- bytes ----

TEST(Crc32cTest, KnownAnswers) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c(as_bytes("6789"), crc32c(as_bytes("12345"))), 0xE3069283u);
  EXPECT_EQ(crc32c(Bytes(32, 0x00)), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(Bytes(32, 0xFF)), 0x62A8AB43u);
}

TEST(BytesTest, HexIsLowerCaseAndComesBack) {
  const Bytes bytes = {0x00, 0x09, 0x0a, 0x7f, 0x80, 0xff};
  EXPECT_EQ(to_hex(bytes), "00090a7f80ff");
  Bytes back(6);
  EXPECT_TRUE(from_hex("00090a7f80ff", back));
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(to_hex({}), "");
  EXPECT_TRUE(from_hex("", {}));
}

TEST(BytesTest, HexThatIsNotExactIsRefused) {
  Bytes out(2);
  for (std::string_view bad : {"", "0", "000", "00000", "000000", "00g0", "00 0", "0x00", "00A0",
                               "-100", "00/0", "00:0", "00`0", "+000"}) {
    EXPECT_FALSE(from_hex(bad, out)) << bad;
  }
  EXPECT_FALSE(from_hex(std::string_view("00\0"
                                         "0",
                                         4),
                        out));
}

TEST(BytesTest, AllZeroSeesEveryByte) {
  EXPECT_TRUE(all_zero({}));
  for (std::size_t size : {1, 2, 3, 8, 31, 64, 513, 4096}) {
    Bytes bytes(size);
    EXPECT_TRUE(all_zero(bytes)) << size;
    for (std::size_t i = 0; i < size; i += 1 + size / 97) {
      bytes[i] = 0x80;
      EXPECT_FALSE(all_zero(bytes)) << i << " of " << size;
      bytes[i] = 0;
    }
    bytes[size - 1] = 1;
    EXPECT_FALSE(all_zero(bytes)) << size;
  }
}

TEST(BytesTest, EqualComparesLengthAndContent) {
  const Bytes a = {1, 2, 3};
  EXPECT_TRUE(equal(a, Bytes{1, 2, 3}));
  EXPECT_FALSE(equal(a, Bytes{1, 2, 4}));
  EXPECT_FALSE(equal(a, Bytes{1, 2}));
  EXPECT_TRUE(equal({}, ByteView(a).first(0)));
  Bytes b = {0};
  append(b, a);
  EXPECT_EQ(b, (Bytes{0, 1, 2, 3}));
  EXPECT_EQ(as_chars(as_bytes("text")), "text");
}

// ---- result ----

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Code::kBadArgument, "{} is odd", n);
  return n / 2;
}

Result<> require_quarter(int n, int& quarter) {
  quarter = TRY(half(TRY(half(n))));
  return {};
}

TEST(ResultTest, TryUnwrapsOrReturnsTheError) {
  int quarter = 0;
  EXPECT_TRUE(require_quarter(12, quarter));
  EXPECT_EQ(quarter, 3);
  const Result<> failed = require_quarter(6, quarter);
  ASSERT_FALSE(failed);
  EXPECT_TRUE(is(failed, Code::kBadArgument));
  EXPECT_FALSE(is(failed, Code::kCorrupt));
  EXPECT_EQ(failed.error().message(), "3 is odd");
  EXPECT_EQ(quarter, 3);
  EXPECT_FALSE(is(half(2), Code::kBadArgument));
}

Result<std::unique_ptr<int>> boxed(int n) { return std::make_unique<int>(TRY(half(n))); }

TEST(ResultTest, TryMovesWhatCannotBeCopied) {
  const auto unboxed = [](int n) -> Result<int> {
    const std::unique_ptr<int> box = TRY(boxed(n));
    return *box;
  };
  EXPECT_EQ(unboxed(8).value(), 4);
  EXPECT_TRUE(is(unboxed(7), Code::kBadArgument));
}

TEST(ResultTest, WithinKeepsTheCode) {
  const Error error = Error(Code::kIo, "no such device").within("journal");
  EXPECT_EQ(error.code(), Code::kIo);
  EXPECT_EQ(error.message(), "journal: no such device");
}

TEST(ResultTest, CodesHaveDistinctStableNames) {
  std::unordered_set<std::string_view> names;
  for (int c = 0; c <= static_cast<int>(Code::kIo); ++c) {
    const std::string_view name = code_name(static_cast<Code>(c));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_NE(name, "unknown");
  }
  EXPECT_EQ(code_name(Code::kNotFound), "not_found");
  EXPECT_EQ(code_name(Code::kNoSpace), "no_space");
}

TEST(CheckTest, SaysWhatAndWhereAndAborts) {
  const int two = 2;
  CHECK(two == 2);
  EXPECT_DEATH(CHECK(two == 3), "internal error: two == 3 at .*base_test.cc:[0-9]+");
}

// ---- strong numbers ----

TEST(StrongTest, OrdersCountsAndFormatsLikeANumber) {
  const Generation one(1);
  EXPECT_EQ(one.next(), Generation(2));
  EXPECT_EQ(one + 41, Generation(42));
  EXPECT_EQ(Generation(42) - one, 41u);
  EXPECT_LT(one, Generation(2));
  EXPECT_EQ(Generation(), Generation(0));
  EXPECT_EQ(fmt::format("{} {:04x}", BlockIndex(17), Seq(255)), "17 00ff");
}

template <typename A, typename B>
concept Mixable = requires(A a, B b) {
  a == b;
}
|| requires(A a, B b) { a - b; }
|| std::is_convertible_v<A, B> || std::is_constructible_v<A, B>;
static_assert(!Mixable<Generation, Seq> && !Mixable<BlockIndex, Generation>);
static_assert(!std::is_convertible_v<std::uint64_t, Generation>);

// ---- clock, randomness, threads ----

TEST(ClockTest, MonotonicClocksNeverGoBack) {
  Clock& clock = system_clock();
  MonotonicTime monotonic = clock.monotonic_now();
  BootTime boot = clock.boottime_now();
  for (int i = 0; i < 1000; ++i) {
    const MonotonicTime m = clock.monotonic_now();
    const BootTime b = clock.boottime_now();
    ASSERT_GE(m, monotonic);
    ASSERT_GE(b, boot);
    monotonic = m;
    boot = b;
  }
}

TEST(SystemRandomTest, FillsAllOfIt) {
  // Bytes that stay zero through 16 fills: one in 2^128.
  Bytes seen(1000);
  for (int i = 0; i < 16; ++i) {
    Bytes out(seen.size());
    system_random().fill(out);
    for (std::size_t k = 0; k < out.size(); ++k) seen[k] |= out[k];
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 0), 0);
  EXPECT_NE(system_random().u64(), system_random().u64());
  system_random().fill({});
}

TEST(ThreadExecutorTest, TaskIsJoinedWhenItGoes) {
  for (int i = 0; i < 50; ++i) {
    int done = 0;  // no atomic: the join orders it
    {
      const auto task = thread_executor().spawn("joined", [&done] { done = 1; });
    }
    ASSERT_EQ(done, 1);
  }
}

TEST(ThreadExecutorTest, LongNamesAreCut) {
  Mutex mutex;
  const auto cond = thread_executor().cond_var();
  bool named = false;
  std::string name;
  auto task = thread_executor().spawn("a name of more than fifteen", [&] {
    MutexLock lock(mutex);
    while (!named) cond->wait(mutex);
    char buffer[32] = {};
    pthread_getname_np(pthread_self(), buffer, sizeof buffer);
    name = buffer;
  });
  {
    MutexLock lock(mutex);
    named = true;  // spawn() has returned, so the name is set
    cond->notify_all();
  }
  task.reset();
  EXPECT_EQ(name, "a name of more ");
}

class Turns {
 public:
  // Waits until it is `turn`, then passes on the next one.
  void take(int turn) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (turn_ != turn) cond_->wait(mutex_);
    order_.push_back(turn);
    ++turn_;
    cond_->notify_all();
  }
  std::vector<int> order() EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return order_;
  }

 private:
  Mutex mutex_;
  const std::unique_ptr<CondVar> cond_ = thread_executor().cond_var();
  int turn_ GUARDED_BY(mutex_) = 0;
  std::vector<int> order_ GUARDED_BY(mutex_);
};

TEST(ThreadExecutorTest, WaitersSeeWhatWasDoneBeforeTheNotification) {
  Turns turns;
  std::vector<std::unique_ptr<Task>> tasks;
  for (int t = 3; t >= 0; --t) {
    tasks.push_back(thread_executor().spawn("turns", [t, &turns] {
      for (int turn = t; turn < 400; turn += 4) turns.take(turn);
    }));
  }
  tasks.clear();
  std::vector<int> expected(400);
  for (int i = 0; i < 400; ++i) expected[static_cast<std::size_t>(i)] = i;
  EXPECT_EQ(turns.order(), expected);
}

TEST(ThreadExecutorTest, WaitEndsAtItsDeadline) {
  Mutex mutex;
  const auto cond = thread_executor().cond_var();
  MutexLock lock(mutex);
  const MonotonicTime past = system_clock().monotonic_now() - 1h;
  cond->wait_until(mutex, past);
  const MonotonicTime soon = system_clock().monotonic_now() + 2ms;
  while (system_clock().monotonic_now() < soon) cond->wait_until(mutex, soon);
  EXPECT_GE(system_clock().monotonic_now(), soon);
}

TEST(MutexTest, ContentionAbortsWhereItIsABug) {
  // In a child, because the fiber rule is a property of the thread.
  const auto contend = []() NO_THREAD_SAFETY_ANALYSIS {
    Mutex mutex;
    mutex.lock();
    Mutex::contention_is_a_bug = true;
    mutex.lock();
  };
  EXPECT_DEATH(contend(), "internal error");
}

}  // namespace
}  // namespace s3crate
