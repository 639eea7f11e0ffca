// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_executor.h"

#include <execinfo.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace s3crate::sim {
namespace {

// Not zero, so that whoever takes zero for "never" is found out.
constexpr MonotonicTime kStart{std::chrono::hours(1)};
constexpr Duration kWallAtStart = std::chrono::seconds(1'700'000'000);

thread_local SimExecutor* executor_of_thread = nullptr;
// While dying: whom to switch back to after printing a backtrace. Not a member: a context that comes back from the
// pool asks for it when its first executor may be gone.
thread_local FiberContext* obituary = nullptr;

// A failed CHECK anywhere in the stack aborts: without the seed that would be worth nothing.
void print_seed_on_abort(int) {
  if (executor_of_thread != nullptr) {
    char line[96];
    int n = std::snprintf(line, sizeof line, "simulator: aborted with seed %llu, decision %llu\n",
                          static_cast<unsigned long long>(executor_of_thread->seed()),
                          static_cast<unsigned long long>(executor_of_thread->decisions()));
    [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line, static_cast<std::size_t>(n));
  }
}

void print_backtrace() {
  void* frames[48];
  int n = backtrace(frames, 48);
  std::fflush(stderr);
  backtrace_symbols_fd(frames, n, STDERR_FILENO);
}

std::string_view state_name(Fiber::State state) {
  switch (state) {
    case Fiber::State::runnable: return "can run";
    case Fiber::State::running: return "runs";
    case Fiber::State::waiting: return "waits for a condition variable";
    case Fiber::State::sleeping: return "sleeps";
    case Fiber::State::joining: return "joins a task";
    case Fiber::State::done: return "is done";
  }
  return "?";
}

}  // namespace

class SimCondVar final : public CondVar {
 public:
  explicit SimCondVar(SimExecutor& executor) : executor_(executor) {}
  ~SimCondVar() override { CHECK(waiters_.empty()); }

  // The analysis cannot see that the lock is given away and taken again.
  void wait(Mutex& mutex) override NO_THREAD_SAFETY_ANALYSIS {
    wait_until(mutex, MonotonicTime::max());
  }
  void wait_until(Mutex& mutex, MonotonicTime deadline) override NO_THREAD_SAFETY_ANALYSIS {
    mutex.unlock();
    executor_.wait_on(*this, deadline);
    mutex.lock();
  }
  void notify_all() override {
    const Watch watch(Watch::Of::harness);
    while (!waiters_.empty()) wake(waiters_.size() - 1);
  }
  void notify_one() override {
    const Watch watch(Watch::Of::harness);
    if (!waiters_.empty()) wake(executor_.dice_.below(waiters_.size()));
  }

 private:
  friend class SimExecutor;
  void wake(std::size_t i) {
    Fiber* fiber = waiters_[i];
    waiters_.erase(waiters_.begin() + static_cast<std::ptrdiff_t>(i));
    executor_.make_runnable(fiber);
  }

  SimExecutor& executor_;
  std::vector<Fiber*> waiters_;
};

class SimTask final : public Task {
 public:
  explicit SimTask(std::shared_ptr<Fiber> fiber) : fiber_(std::move(fiber)) {}
  ~SimTask() override { fiber_->executor->join(fiber_.get()); }

 private:
  std::shared_ptr<Fiber> fiber_;
};

SimExecutor::SimExecutor(std::uint64_t seed, FaultCounts& faults, ExecutorOptions options)
    : seed_(seed),
      options_(options),
      faults_(faults),
      dice_(seed),
      now_(kStart),
      wall_offset_(kWallAtStart) {
  static bool prepared = false;
  if (prepared) return;
  prepared = true;
  std::signal(SIGABRT, print_seed_on_abort);
  // Worlds come and go: the kernel is not to clear their memory anew for each. A seventh of all time.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
}

SimExecutor::~SimExecutor() { CHECK(live_.empty()); }

std::unique_ptr<CondVar> SimExecutor::cond_var() {
  const Watch watch(Watch::Of::harness);
  return std::make_unique<SimCondVar>(*this);
}

std::shared_ptr<Fiber> SimExecutor::make_fiber(std::string name, std::function<void()> body, bool watched) {
  auto fiber = std::make_shared<Fiber>();
  fiber->executor = this;
  fiber->id = next_fiber_id_++;
  fiber->name = std::move(name);
  fiber->body = std::move(body);
  fiber->watched = watched;
  leave(fiber.get());
  fiber->context = FiberContext::acquire(&SimExecutor::fiber_entry, fiber.get());
  live_.push_back(fiber);
  runnable_.push_back(fiber.get());
  return fiber;
}

std::unique_ptr<Task> SimExecutor::spawn(std::string name, std::function<void()> body) {
  CHECK(name.size() <= 15);
  const bool watched = Watch::is_on();
  const Watch watch(Watch::Of::harness);
  return std::make_unique<SimTask>(make_fiber(std::move(name), std::move(body), watched));
}

void SimExecutor::run(std::function<void()> main) {
  CHECK(current_ == nullptr);
  SimExecutor* outer = std::exchange(executor_of_thread, this);
  bool outer_rule = std::exchange(Mutex::contention_is_a_bug, true);
  std::shared_ptr<Fiber> fiber = make_fiber("main", std::move(main), false);
  main_ = fiber.get();
  current_ = pick();
  switch_to(thread_context_, *current_->context);
  arrive(fiber.get());
  CHECK(current_ == nullptr);
  if (!live_.empty()) die("main returned before these tasks were joined");
  Mutex::contention_is_a_bug = outer_rule;
  executor_of_thread = outer;
}

void SimExecutor::fiber_entry(void* argument) {
  auto* fiber = static_cast<Fiber*>(argument);
  fiber->started = true;
  arrive(fiber);
  {
    const Watch watch(fiber->watched);
    fiber->body();
    fiber->body = nullptr;
  }
  leave(fiber);
  fiber->executor->finish(fiber);
  // A new life may have begun, for another fiber and another executor: touch nothing.
}

void SimExecutor::finish(Fiber* fiber) {
  fiber->state = Fiber::State::done;
  if (fiber->joiner != nullptr) make_runnable(fiber->joiner);
  FiberContext& context = *fiber->context;
  FiberContext::release(std::move(fiber->context));
  FiberContext* next = &thread_context_;
  bool was_main = fiber == main_;
  std::erase_if(live_, [fiber](const auto& other) { return other.get() == fiber; });
  current_ = nullptr;
  if (!was_main) {
    current_ = pick();
    next = current_->context.get();
  }
  switch_to(context, *next);
}

void SimExecutor::make_runnable(Fiber* fiber) {
  fiber->waits_on = nullptr;
  fiber->deadline = MonotonicTime::max();
  fiber->state = Fiber::State::runnable;
  runnable_.push_back(fiber);
}

Fiber* SimExecutor::pick() {
  if (++decisions_ > options_.max_decisions) die("too many decisions: a livelock?");
  while (runnable_.empty()) advance_time();
  std::size_t i = runnable_.size() == 1 ? 0 : dice_.below(runnable_.size());
  Fiber* fiber = runnable_[i];
  runnable_[i] = runnable_.back();
  runnable_.pop_back();
  fiber->state = Fiber::State::running;
  trace(fiber->id);
  return fiber;
}

void SimExecutor::advance_time() {
  MonotonicTime next = MonotonicTime::max();
  for (const auto& fiber : live_) next = std::min(next, fiber->deadline);
  if (next == MonotonicTime::max()) die("deadlock: nothing can run and nobody waits for a time");
  now_ = std::max(now_, next);
  trace(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
  for (const auto& fiber : live_) {
    if (fiber->deadline > now_) continue;
    if (fiber->waits_on != nullptr) std::erase(fiber->waits_on->waiters_, fiber.get());
    make_runnable(fiber.get());
  }
}

void SimExecutor::reschedule() {
  Fiber* self = current_;
  current_ = pick();
  if (current_ != self) switch_to(*self->context, *current_->context);
}

void SimExecutor::switch_to(FiberContext& from, FiberContext& to) {
  running_context_ = &to;
  FiberContext::switch_to(from, to);
  while (obituary != nullptr) {
    print_backtrace();
    FiberContext::switch_to(from, *obituary);
  }
}

void SimExecutor::yield() {
  const Watch watch(Watch::Of::harness);
  if (current_ == nullptr) return;
  if (options_.stay_percent != 0 && dice_.percent(options_.stay_percent)) return;
  current_->state = Fiber::State::runnable;
  runnable_.push_back(current_);
  reschedule();
}

void SimExecutor::sleep_until(MonotonicTime deadline) {
  const Watch watch(Watch::Of::harness);
  CHECK(current_ != nullptr);
  if (deadline <= now_) return yield();
  current_->deadline = deadline;
  current_->state = Fiber::State::sleeping;
  reschedule();
}

void SimExecutor::suspend(Duration duration) {
  suspended_ += duration;
  wall_offset_ += duration;
}

void SimExecutor::wait_on(SimCondVar& cond_var, MonotonicTime deadline) {
  const Watch watch(Watch::Of::harness);
  CHECK(current_ != nullptr);
  bool spurious = dice_.per_million(options_.spurious_wakeups_per_million);
  if (spurious) faults_.add(Fault::kSpuriousWakeup);
  if (spurious || deadline <= now_) {
    make_runnable(current_);
  } else {
    cond_var.waiters_.push_back(current_);
    current_->waits_on = &cond_var;
    current_->deadline = deadline;
    current_->state = Fiber::State::waiting;
  }
  reschedule();
}

void SimExecutor::join(Fiber* fiber) {
  const Watch watch(Watch::Of::harness);
  if (fiber->state != Fiber::State::done) {
    CHECK(current_ != nullptr && current_ != fiber && fiber->joiner == nullptr);
    fiber->joiner = current_;
    current_->state = Fiber::State::joining;
    reschedule();
  }
  arrive(fiber);
}

void SimExecutor::describe(const Fiber& fiber) const {
  std::string line = fmt::format("fiber {} \"{}\" {}", fiber.id, fiber.name, state_name(fiber.state));
  if (fiber.waits_on != nullptr) {
    line += fmt::format(" {}", static_cast<const void*>(fiber.waits_on));
  }
  if (fiber.deadline != MonotonicTime::max()) {
    line += fmt::format(" until +{} ns", (fiber.deadline - now_).count());
  }
  for (const auto& other : live_) {
    if (other->joiner == &fiber) line += fmt::format(" (fiber {} \"{}\")", other->id, other->name);
  }
  std::fprintf(stderr, "%s\n", line.c_str());
}

void SimExecutor::die(const char* why) {
  std::fprintf(stderr, "simulator: %s; seed %llu, decision %llu, %.6f s after the start\n", why,
               static_cast<unsigned long long>(seed_), static_cast<unsigned long long>(decisions_),
               std::chrono::duration<double>(now_ - kStart).count());
  for (const auto& fiber : live_) describe(*fiber);
  FiberContext* self = running_context_;
  for (const auto& fiber : live_) {
    std::fprintf(stderr, "backtrace of fiber %u \"%s\":\n", fiber->id, fiber->name.c_str());
    if (fiber->context.get() == self) {
      print_backtrace();
    } else if (fiber->started) {
      obituary = self;
      FiberContext::switch_to(*self, *fiber->context);
      obituary = nullptr;
    } else {
      std::fprintf(stderr, "not started\n");
    }
  }
  std::abort();
}

}  // namespace s3crate::sim
