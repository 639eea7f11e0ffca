// SPDX-License-Identifier: GPL-3.0-or-later
// SimExecutor: the Executor and Clock edges on fibers of one thread, in virtual time, by one seed.
//
// - Fibers switch only in waits, joins, sleeps and yield(), which every simulated I/O step calls. Which runs next
//   is thrown among all that can run.
// - Time stands still while any fiber can run; then it jumps to the earliest deadline.
// - Same seed, same program: same decisions, same trace_hash(). Every decision and every I/O step is mixed into it.
// - If nothing can run and nobody waits for a time, that is a deadlock; past max_decisions it is a livelock. Both
//   print the seed and what every fiber does, with its backtrace, and abort.
//
// Belongs to one thread.
#pragma once

#include <bit>
#include <vector>

#include "base/executor.h"
#include "tests/sim/sim_faults.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_random.h"

namespace s3crate::sim {

class SimCondVar;
class SimExecutor;

struct Fiber {
  enum class State { runnable, running, waiting, sleeping, joining, done };

  SimExecutor* executor = nullptr;
  std::uint32_t id = 0;
  std::string name;
  std::function<void()> body;
  std::unique_ptr<FiberContext> context;
  State state = State::runnable;
  bool started = false;
  bool watched = false;  // by ThreadSanitizer, as the spawner was
  SimCondVar* waits_on = nullptr;
  MonotonicTime deadline = MonotonicTime::max();
  Fiber* joiner = nullptr;
};

struct ExecutorOptions {
  std::uint64_t max_decisions = 100'000'000;
  std::uint32_t stay_percent = 0;                // how often yield() does not even throw
  std::uint32_t spurious_wakeups_per_million = 0;  // per wait
};

class SimExecutor final : public Executor, public Clock {
 public:
  SimExecutor(std::uint64_t seed, FaultCounts& faults, ExecutorOptions options = {});
  ~SimExecutor() override;
  SimExecutor(const SimExecutor&) = delete;
  SimExecutor& operator=(const SimExecutor&) = delete;

  [[nodiscard]] std::unique_ptr<Task> spawn(std::string name, std::function<void()> body) override;
  [[nodiscard]] std::unique_ptr<CondVar> cond_var() override;
  [[nodiscard]] std::size_t processors() const override { return 2; }

  MonotonicTime monotonic_now() override { return unwatched(now_); }
  BootTime boottime_now() override { return BootTime(unwatched(now_).time_since_epoch() + unwatched(suspended_)); }
  WallTime wall_now() override { return WallTime(unwatched(now_).time_since_epoch() + unwatched(wall_offset_)); }

  // Runs `main` as a fiber until it returns; by then every task must have been joined. May be called again.
  void run(std::function<void()> main);

  // A point where another fiber may run. Does nothing outside run().
  void yield();
  void sleep_until(MonotonicTime deadline);
  void sleep_for(Duration duration) { sleep_until(now_ + duration); }

  // The machine sleeps: boot and wall time go on, monotonic time does not.
  void suspend(Duration duration);
  void jump_wall(Duration by) { wall_offset_ += by; }

  void trace(std::uint64_t what) {
    trace_hash_ = (std::rotl(trace_hash_, 5) ^ what) * 0x9e3779b97f4a7c15;
  }
  [[nodiscard]] std::uint64_t trace_hash() const { return trace_hash_; }
  [[nodiscard]] std::uint64_t decisions() const { return decisions_; }
  [[nodiscard]] std::uint64_t seed() const { return seed_; }
  [[nodiscard]] const ExecutorOptions& options() const { return options_; }

  // Prints why, the seed and what every fiber does; aborts.
  [[noreturn]] void die(const char* why);

 private:
  friend class SimCondVar;
  friend class SimTask;

  template <typename T>
  static T unwatched(const T& value) {
    const Watch watch(Watch::Of::harness);
    return value;
  }

  std::shared_ptr<Fiber> make_fiber(std::string name, std::function<void()> body, bool watched);
  static void fiber_entry(void* fiber);
  void finish(Fiber* fiber);
  void make_runnable(Fiber* fiber);
  Fiber* pick();
  void advance_time();
  void reschedule();
  void wait_on(SimCondVar& cond_var, MonotonicTime deadline);
  void join(Fiber* fiber);
  void switch_to(FiberContext& from, FiberContext& to);
  void describe(const Fiber& fiber) const;

  const std::uint64_t seed_;
  const ExecutorOptions options_;
  FaultCounts& faults_;
  Dice dice_;
  MonotonicTime now_;
  Duration suspended_{};
  Duration wall_offset_;
  std::uint64_t trace_hash_ = 0;
  std::uint64_t decisions_ = 0;

  FiberContext thread_context_;
  FiberContext* running_context_ = &thread_context_;
  Fiber* current_ = nullptr;
  Fiber* main_ = nullptr;
  std::uint32_t next_fiber_id_ = 0;
  std::vector<std::shared_ptr<Fiber>> live_;  // in order of their ids
  std::vector<Fiber*> runnable_;
};

}  // namespace s3crate::sim
