// SPDX-License-Identifier: GPL-3.0-or-later
// Incarnation: one life of a simulated process. Steps: the count of all I/O steps of a world, on which crashes
// are timed.
//
// Every I/O call of an edge consists of steps; between two of them other fibers run and a crash may come. From the
// crash on the incarnation is inert: each step answers kCancelled, so no call has an effect any more, while waits
// and joins go on working, so that the stack's destructors run to their end.
#pragma once

#include <algorithm>
#include <functional>
#include <map>

#include "base/result.h"
#include "tests/sim/sim_executor.h"

namespace s3crate::sim {

class Steps {
 public:
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // Calls `crash` instead of step number `step` (or the next one, if that is past).
  void at(std::uint64_t step, std::function<void()> crash) { armed_.emplace(step, std::move(crash)); }
  void disarm() { armed_.clear(); }
  Failpoints failpoints;
  // Called before every step, while it is set.
  std::function<void()> observer;

  void tick() {
    ++count_;
    if (observer) observer();
    while (!armed_.empty() && armed_.begin()->first <= count_) {
      std::function<void()> crash = std::move(armed_.begin()->second);
      armed_.erase(armed_.begin());
      crash();
    }
  }

 private:
  std::uint64_t count_ = 0;
  std::multimap<std::uint64_t, std::function<void()>> armed_;
};

class Incarnation {
 public:
  Incarnation(SimExecutor& executor, Steps& steps) : executor_(executor), steps_(steps) {}
  Incarnation(const Incarnation&) = delete;
  Incarnation& operator=(const Incarnation&) = delete;

  [[nodiscard]] SimExecutor& executor() const { return executor_; }
  [[nodiscard]] bool alive() const { return alive_; }
  void end() { alive_ = false; }
  // Its I/O stands still until then, as if the process had been stopped.
  void pause_until(MonotonicTime until) { paused_until_ = until; }

  // The boundary between two steps. `what` tells them apart in the trace; its kind and the target are those of the failpoint.
  [[nodiscard]] Result<> step(std::uint64_t what, std::string_view target) {
    executor_.yield();
    while (alive_ && executor_.monotonic_now() < paused_until_) executor_.sleep_until(paused_until_);
    if (alive_) {
      executor_.trace(what);
      steps_.failpoints.reached(static_cast<char>(what), target);
      steps_.tick();
      if (!alive_) failed(static_cast<char>(what), target);
    }
    if (!alive_) return fail(Code::kCancelled, "the simulated process is dead");
    return {};
  }
  // The step fails, or ends in a crash.
  void failed(char kind, std::string_view target) { steps_.failpoints.hit(kind, target); }

 private:
  SimExecutor& executor_;
  Steps& steps_;
  bool alive_ = true;
  MonotonicTime paused_until_{};
};

// Tells kinds of steps apart, and steps of one kind by a number.
[[nodiscard]] constexpr std::uint64_t step_id(char kind, std::uint64_t number) {
  return number << 8 | static_cast<unsigned char>(kind);
}

// FNV-1a. Of what is written, its end is enough for the trace: sealed data ends in its tag.
[[nodiscard]] inline std::uint64_t hash_of(ByteView bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
  return hash;
}
[[nodiscard]] inline std::uint64_t hash_of_end(ByteView data) {
  return hash_of(data.last(std::min<std::size_t>(data.size(), 16))) ^ data.size();
}

}  // namespace s3crate::sim
