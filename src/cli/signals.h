// SPDX-License-Identifier: GPL-3.0-or-later
// Signals as calls on a thread of their own. Made before any other thread, so that all of them leave signals to it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "base/executor.h"

namespace s3crate::cli {

// On a thread that was made before a SignalWatch.
void leave_signals_to_others();

class SignalWatch {
 public:
  // SIGTERM, SIGINT and SIGUSR1 go to on_signal; on_tick comes a few times a second. SIGHUP and SIGPIPE are ignored.
  SignalWatch(Executor& executor, std::function<void(int)> on_signal, std::function<void()> on_tick);
  ~SignalWatch();

 private:
  void loop();
  const std::function<void(int)> on_signal_;
  const std::function<void()> on_tick_;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<Task> task_;
};

// For a command that works on a store: a signal is noted, and `cancel` ends what waits.
class StopSignals {
 public:
  StopSignals(Executor& executor, std::function<void()> cancel)
      : watch_(
            executor,
            [this, cancel = std::move(cancel)](int) {
              came_ = true;
              cancel();
            },
            [] {}) {}
  [[nodiscard]] bool came() const { return came_; }
  [[nodiscard]] const std::atomic<bool>* flag() const { return &came_; }

 private:
  std::atomic<bool> came_ = false;
  SignalWatch watch_;  // ends first
};

// For a command that has something to undo: while it lives, SIGINT, SIGTERM and SIGHUP are noted instead of ending the process. One within
// another notes for both. Programs that are run meanwhile know nothing of it.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  [[nodiscard]] bool came() const;
};

}  // namespace s3crate::cli
