// SPDX-License-Identifier: GPL-3.0-or-later
// FakeClock and FakeExecutor: real threads on a clock that only tests move.
//
// With Advance::by_waiting, whoever waits until a deadline has slept: the clock jumps there at
// once. That is for tests of one thread. With Advance::by_hand, threads wait until somebody calls
// advance() or notifies them, and wait_for_waiters() tells when they have got that far.
#pragma once

#include <condition_variable>
#include <mutex>

#include "base/executor.h"

namespace s3crate::test {

enum class Advance { by_waiting, by_hand };

class FakeClock final : public Clock {
 public:
  explicit FakeClock(Advance mode = Advance::by_waiting) : mode_(mode) {}

  MonotonicTime monotonic_now() override { return MonotonicTime(now()); }
  BootTime boottime_now() override { return BootTime(now()); }
  WallTime wall_now() override { return WallTime(kWallStart + now()); }

  // Since the clock was made.
  Duration now() {
    std::lock_guard lock(mu_);
    return now_;
  }
  void advance(Duration by) {
    std::lock_guard lock(mu_);
    now_ += by;
    changed_.notify_all();
  }
  // Returns when `count` threads wait for a deadline.
  void wait_for_waiters(int count) {
    std::unique_lock lock(mu_);
    changed_.wait(lock, [&] { return timed_waiters_ >= count; });
  }

 private:
  friend class FakeCondVar;
  static constexpr Duration kWallStart = std::chrono::hours(24 * 365 * 56);

  const Advance mode_;
  std::mutex mu_;
  std::condition_variable changed_;  // the time, the waiters, and every FakeCondVar
  Duration now_ = std::chrono::hours(1);
  int timed_waiters_ = 0;
};

// Notifying one notifies all: waits may end early.
class FakeCondVar final : public CondVar {
 public:
  explicit FakeCondVar(FakeClock& clock) : clock_(clock) {}

  void wait(Mutex& mutex) override NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(clock_.mu_);
    // Taken while the caller's mutex is held: a notification from now on is not missed.
    const std::uint64_t before = notified_;
    mutex.unlock();
    clock_.changed_.wait(lock, [&] { return notified_ != before; });
    lock.unlock();
    mutex.lock();
  }

  void wait_until(Mutex& mutex, MonotonicTime deadline) override NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(clock_.mu_);
    const std::uint64_t before = notified_;
    mutex.unlock();
    if (clock_.mode_ == Advance::by_waiting) {
      clock_.now_ = std::max(clock_.now_, deadline.time_since_epoch());
    } else {
      ++clock_.timed_waiters_;
      clock_.changed_.notify_all();
      clock_.changed_.wait(
          lock, [&] { return notified_ != before || MonotonicTime(clock_.now_) >= deadline; });
      --clock_.timed_waiters_;
    }
    lock.unlock();
    mutex.lock();
  }

  void notify_all() override {
    std::lock_guard lock(clock_.mu_);
    ++notified_;
    clock_.changed_.notify_all();
  }
  void notify_one() override { notify_all(); }

 private:
  FakeClock& clock_;
  std::uint64_t notified_ = 0;  // guarded by the clock's mutex
};

class FakeExecutor final : public Executor {
 public:
  explicit FakeExecutor(FakeClock& clock) : clock_(clock) {}
  std::unique_ptr<Task> spawn(std::string name, std::function<void()> body) override {
    return thread_executor().spawn(std::move(name), std::move(body));
  }
  std::unique_ptr<CondVar> cond_var() override { return std::make_unique<FakeCondVar>(clock_); }
  std::size_t processors() const override { return 2; }

 private:
  FakeClock& clock_;
};

}  // namespace s3crate::test
