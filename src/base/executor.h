// SPDX-License-Identifier: GPL-3.0-or-later
// Executor: the only source of concurrency: tasks, and condition variables for them to wait on.
//
// In production a task is a thread. In the simulator a task is a fiber and one seed decides which runs next,
// so whatever the stack does between two waits or I/O steps is atomic there.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/random.h"

namespace s3crate {

// Waits may end early (spuriously): always wait in a loop on the condition itself.
class CondVar {
 public:
  virtual ~CondVar() = default;
  virtual void wait(Mutex& mutex) REQUIRES(mutex) = 0;
  virtual void wait_until(Mutex& mutex, MonotonicTime deadline) REQUIRES(mutex) = 0;
  virtual void notify_all() = 0;
  virtual void notify_one() = 0;
};

// Joins when destroyed.
class Task {
 public:
  virtual ~Task() = default;
};

class Executor {
 public:
  virtual ~Executor() = default;
  // `name` is for debuggers: at most 15 characters.
  [[nodiscard]] virtual std::unique_ptr<Task> spawn(std::string name, std::function<void()> body) = 0;
  [[nodiscard]] virtual std::unique_ptr<CondVar> cond_var() = 0;
  // How many tasks can run at a time; at least 1.
  [[nodiscard]] virtual std::size_t processors() const = 0;
};

// Threads. `clock` must be the one that deadlines come from (system_clock()).
Executor& thread_executor();

// Blocks the calling task for so long.
void nap(Clock& clock, Executor& executor, Duration how_long);

// The edges that everything above base gets handed (FileIo and ObjectStore are handed in by themselves).
struct Env {
  Clock& clock;
  Random& random;
  Executor& executor;
};

Env system_env();

}  // namespace s3crate
