// SPDX-License-Identifier: GPL-3.0-or-later
#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <thread>

#include "base/executor.h"
#include "base/random.h"

namespace s3crate {
namespace {

class ThreadCondVar final : public CondVar {
 public:
  // The analysis cannot see that the condition variable unlocks and locks again.
  void wait(Mutex& mutex) override NO_THREAD_SAFETY_ANALYSIS { condition_.wait(mutex); }
  void wait_until(Mutex& mutex, MonotonicTime deadline) override NO_THREAD_SAFETY_ANALYSIS {
    // MonotonicTime counts as steady_clock does: see system_clock.cc.
    condition_.wait_until(
        mutex, std::chrono::steady_clock::time_point(
                   std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                       deadline.time_since_epoch())));
  }
  void notify_all() override { condition_.notify_all(); }
  void notify_one() override { condition_.notify_one(); }

 private:
  std::condition_variable_any condition_;
};

class ThreadTask final : public Task {
 public:
  ThreadTask(std::string name, std::function<void()> body) : thread_(std::move(body)) {
    pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
  }
  ~ThreadTask() override { thread_.join(); }

 private:
  std::thread thread_;
};

class ThreadExecutor final : public Executor {
 public:
  std::unique_ptr<Task> spawn(std::string name, std::function<void()> body) override {
    return std::make_unique<ThreadTask>(std::move(name), std::move(body));
  }
  std::unique_ptr<CondVar> cond_var() override { return std::make_unique<ThreadCondVar>(); }
  std::size_t processors() const override { return std::max(std::thread::hardware_concurrency(), 1u); }
};

}  // namespace

Executor& thread_executor() {
  static ThreadExecutor executor;
  return executor;
}

void nap(Clock& clock, Executor& executor, Duration how_long) {
  Mutex mutex;
  const auto never = executor.cond_var();
  const MonotonicTime until = clock.monotonic_now() + how_long;
  MutexLock lock(mutex);
  while (clock.monotonic_now() < until) never->wait_until(mutex, until);
}

Env system_env() { return {system_clock(), system_random(), thread_executor()}; }

}  // namespace s3crate
