// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_executor.h"

#include <gtest/gtest.h>

#include <numeric>

namespace s3crate::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Observed {
  std::vector<int> order;
  std::uint64_t trace_hash = 0;
};

Observed run_three_workers(std::uint64_t seed) {
  FaultCounts faults;
  SimExecutor executor(seed, faults);
  Observed run;
  executor.run([&] {
    std::vector<std::unique_ptr<Task>> tasks;
    for (int worker = 0; worker < 3; ++worker) {
      tasks.push_back(executor.spawn("worker", [&, worker] {
        for (int step = 0; step < 20; ++step) {
          run.order.push_back(worker);
          executor.trace(static_cast<std::uint64_t>(step));
          executor.yield();
          if (step % 7 == worker) executor.sleep_for(milliseconds(worker));
        }
      }));
    }
  });
  run.trace_hash = executor.trace_hash();
  return run;
}

TEST(SimExecutor, SameSeedMakesTheSameDecisions) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    Observed first = run_three_workers(seed);
    Observed second = run_three_workers(seed);
    EXPECT_EQ(first.order, second.order);
    EXPECT_EQ(first.trace_hash, second.trace_hash);
    EXPECT_EQ(first.order.size(), 60u);
  }
}

TEST(SimExecutor, OtherSeedsMakeOtherDecisions) {
  EXPECT_NE(run_three_workers(1).order, run_three_workers(2).order);
  EXPECT_NE(run_three_workers(1).trace_hash, run_three_workers(2).trace_hash);
}

TEST(SimExecutor, TimeMovesOnlyWhenNothingCanRunAndThenToTheEarliestDeadline) {
  FaultCounts faults;
  SimExecutor executor(7, faults);
  executor.run([&] {
    MonotonicTime start = executor.monotonic_now();
    std::vector<int> woken;
    auto sleeper = [&](int id, Duration length) {
      return executor.spawn("sleeper", [&, id, length] {
        executor.sleep_for(length);
        EXPECT_EQ(executor.monotonic_now(), start + length);
        woken.push_back(id);
      });
    };
    {
      auto a = sleeper(3, seconds(3600));
      auto b = sleeper(1, milliseconds(1));
      auto c = sleeper(2, seconds(2));
      for (int i = 0; i < 100; ++i) executor.yield();
      EXPECT_LT(executor.monotonic_now(), start + milliseconds(2));
    }
    EXPECT_EQ(woken, (std::vector<int>{1, 2, 3}));
  });
}

TEST(SimExecutor, CondVarWaitEndsByNotifyOrAtItsDeadline) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    SCOPED_TRACE(seed);
    FaultCounts faults;
    SimExecutor executor(seed, faults);
    executor.run([&] {
      Mutex mutex;
      auto changed = executor.cond_var();
      MonotonicTime start = executor.monotonic_now();
      {
        MutexLock lock(mutex);
        changed->wait_until(mutex, start + seconds(5));
        EXPECT_EQ(executor.monotonic_now(), start + seconds(5));
        changed->wait_until(mutex, start);  // already over
        EXPECT_EQ(executor.monotonic_now(), start + seconds(5));
      }
      bool ready = false;
      auto task = executor.spawn("notifier", [&] {
        executor.sleep_for(seconds(1));
        MutexLock lock(mutex);
        ready = true;
        changed->notify_all();
      });
      MutexLock lock(mutex);
      while (!ready) changed->wait_until(mutex, start + seconds(3600));
      EXPECT_EQ(executor.monotonic_now(), start + seconds(6));
    });
  }
}

TEST(SimExecutor, NotifyOneWakesOneWaiterAndEveryWaiterHasItsChance) {
  std::vector<int> chosen(3);
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    FaultCounts faults;
    SimExecutor executor(seed, faults);
    executor.run([&] {
      Mutex mutex;
      auto changed = executor.cond_var();
      int awake = 0;
      int first = -1;
      std::vector<std::unique_ptr<Task>> tasks;
      for (int id = 0; id < 3; ++id) {
        tasks.push_back(executor.spawn("waiter", [&, id] {
          MutexLock lock(mutex);
          changed->wait(mutex);
          ++awake;
          if (first < 0) first = id;
        }));
      }
      executor.sleep_for(seconds(1));
      changed->notify_one();
      executor.sleep_for(seconds(1));
      EXPECT_EQ(awake, 1) << "seed " << seed;
      ++chosen[static_cast<std::size_t>(first)];
      changed->notify_all();
    });
  }
  for (int times : chosen) EXPECT_GT(times, 5);
}

TEST(SimExecutor, SpuriousWakeupsHappenWhenAskedFor) {
  FaultCounts faults;
  SimExecutor executor(3, faults, {.spurious_wakeups_per_million = 500'000});
  executor.run([&] {
    Mutex mutex;
    auto changed = executor.cond_var();
    MonotonicTime end = executor.monotonic_now() + seconds(1);
    int early = 0;
    for (int i = 0; i < 100; ++i, end += seconds(1)) {
      MutexLock lock(mutex);
      changed->wait_until(mutex, end);
      early += executor.monotonic_now() < end;
    }
    EXPECT_GT(early, 20);
    EXPECT_GE(faults[Fault::kSpuriousWakeup], 20u);
  });
}

TEST(SimExecutor, TaskDestructorJoins) {
  FaultCounts faults;
  SimExecutor executor(11, faults);
  bool done = false;
  executor.run([&] {
    {
      auto task = executor.spawn("slow", [&] {
        executor.sleep_for(seconds(10));
        done = true;
      });
    }
    EXPECT_TRUE(done);
  });
  EXPECT_TRUE(done);
}

TEST(SimExecutor, SuspendMovesBootAndWallTimeOnly) {
  FaultCounts faults;
  SimExecutor executor(1, faults);
  MonotonicTime monotonic = executor.monotonic_now();
  BootTime boot = executor.boottime_now();
  WallTime wall = executor.wall_now();
  executor.suspend(seconds(100));
  executor.jump_wall(-seconds(30));
  EXPECT_EQ(executor.monotonic_now(), monotonic);
  EXPECT_EQ(executor.boottime_now(), boot + seconds(100));
  EXPECT_EQ(executor.wall_now(), wall + seconds(70));
}

TEST(SimExecutor, StacksAreUsedAgainByLaterFibers) {
  std::uint64_t sum = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    FaultCounts faults;
    SimExecutor executor(seed, faults);
    executor.run([&] {
      for (int round = 0; round < 50; ++round) {
        auto task = executor.spawn("deep", [&] {
          std::array<std::uint64_t, 4096> big;
          std::iota(big.begin(), big.end(), seed);
          executor.yield();
          sum += std::accumulate(big.begin(), big.end(), std::uint64_t{0});
        });
        executor.yield();
      }
    });
  }
  EXPECT_EQ(sum, 50 * (20 * (4096ull * 4095 / 2) + 4096ull * (19 * 20 / 2)));
}

TEST(SimExecutor, LeavesContentionAllowedForRealThreadsAfterwards) {
  FaultCounts faults;
  SimExecutor executor(1, faults);
  bool inside = false;
  executor.run([&] { inside = Mutex::contention_is_a_bug; });
  EXPECT_TRUE(inside);
  EXPECT_FALSE(Mutex::contention_is_a_bug);
}

void deadlock() {
  FaultCounts faults;
  SimExecutor executor(4711, faults);
  executor.run([&] {
    Mutex mutex;
    auto never = executor.cond_var();
    auto task = executor.spawn("stuck", [&] {
      MutexLock lock(mutex);
      never->wait(mutex);
    });
  });
}

TEST(SimExecutorDeathTest, DeadlockIsReportedWithSeedAndWaiters) {
  EXPECT_DEATH(deadlock(), "deadlock.*seed 4711(.|\n)*\"main\" joins a task .*\"stuck\"(.|\n)*"
                           "\"stuck\" waits for a condition variable(.|\n)*backtrace of fiber 1");
}

void livelock() {
  FaultCounts faults;
  SimExecutor executor(12, faults, {.max_decisions = 1000});
  executor.run([&] {
    for (;;) executor.sleep_for(milliseconds(1));
  });
}

TEST(SimExecutorDeathTest, LivelockIsReportedWithSeed) {
  EXPECT_DEATH(livelock(), "livelock.*seed 12");
}

void hold_a_lock_across_a_step() {
  FaultCounts faults;
  SimExecutor executor(99, faults);
  executor.run([&] {
    Mutex mutex;
    auto body = [&] {
      MutexLock lock(mutex);
      executor.yield();
    };
    auto a = executor.spawn("a", body);
    auto b = executor.spawn("b", body);
    auto c = executor.spawn("c", body);
  });
}

TEST(SimExecutorDeathTest, LockHeldAcrossAStepAbortsWithSeed) {
  EXPECT_DEATH(hold_a_lock_across_a_step(), "contention_is_a_bug(.|\n)*seed 99");
}

void leave_a_task() {
  FaultCounts faults;
  SimExecutor executor(5, faults);
  std::unique_ptr<Task> task;
  executor.run([&] { task = executor.spawn("left", [&] { executor.sleep_for(seconds(9)); }); });
}

TEST(SimExecutorDeathTest, MainMayNotReturnBeforeItsTasks) {
  EXPECT_DEATH(leave_a_task(), "before these tasks were joined(.|\n)*\"left\"");
}

#if defined(S3CRATE_SIM_TSAN)
// Two fibers that count, one after the other on their only thread.
void count(bool with_lock, Watch::Of whose) NO_THREAD_SAFETY_ANALYSIS {
  FaultCounts faults;
  SimExecutor executor(7, faults);
  Mutex mutex;
  std::uint64_t counted = 0;
  executor.run([&] {
    auto body = [&]() NO_THREAD_SAFETY_ANALYSIS {
      const Watch watch(whose);
      if (with_lock) mutex.lock();
      counted = counted + 1;
      if (with_lock) mutex.unlock();
      executor.yield();
    };
    auto a = executor.spawn("a", body);
    auto b = executor.spawn("b", body);
  });
  CHECK(counted == 2);
  std::exit(0);  // ThreadSanitizer makes it 66 if it has reported anything
}

TEST(SimExecutorDeathTest, RaceOfTheProductIsReportedThoughThereIsOneThread) {
  EXPECT_EXIT(count(false, Watch::Of::product), testing::ExitedWithCode(66), "data race");
  EXPECT_EXIT(count(true, Watch::Of::product), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(count(false, Watch::Of::harness), testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace s3crate::sim
