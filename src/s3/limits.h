// SPDX-License-Identifier: GPL-3.0-or-later
// How much at once, and how fast: places for requests by lane, as many as the store bears, and
// rates in bytes over all threads. What waits here ends at once when it is cancelled; cancelling
// touches only what waits at that moment.
//
// A lane has `limit` places. Answers are judged in windows of `limit` (at least kWindowMin)
// answers: if half of a window or more was turned away, the limit is halved; if less than a third
// was, and all places were in use meanwhile, it grows: by one, or twofold as long as nothing was ever
// turned away, and below its start. Judging shares instead of single answers keeps a store that fails at random, whatever the
// load, from being used at a crawl. A dying store is asked by `min` at once, which bounds what
// retries can do to it.
#pragma once

#include <array>

#include "base/executor.h"
#include "base/result.h"

namespace s3crate::s3 {

// Requests of one lane never wait for those of another.
enum class Lane { read, upload, meta, ahead };
inline constexpr std::size_t kLanes = 4;

struct LaneLimits {
  int min = 2;    // at least 1
  int max = 32;   // at least min; also bounds the connections of the lane
  int start = 8;  // between them
};

class LaneLimiter {
 public:
  // Answers that a window has at least: fewer say nothing.
  static constexpr int kWindowMin = 16;
  enum class Outcome {
    served,       // an answer, good or bad
    turned_away,  // an error of the server, "slow down", a timeout, no connection
    unknown,      // says nothing about the store: cancelled, no credentials
  };

  LaneLimiter(Env env, std::array<LaneLimits, kLanes> limits);

  // Waits until no pause is on and a place is free, and takes it. kCancelled.
  [[nodiscard]] Result<> enter(Lane lane);
  void leave(Lane lane, Outcome outcome);
  // Nobody enters any lane for so long: the store said Retry-After.
  void pause(Duration how_long);
  void cancel();

  [[nodiscard]] int limit(Lane lane) const;

 private:
  struct State {
    LaneLimits bounds;
    int limit = 0;
    int twofold_below = 0;
    int in_use = 0;
    int answers = 0;  // in this window
    int turned_away = 0;
    bool was_full = false;
  };
  void judge_window(State& state) REQUIRES(mu_);
  State& at(Lane lane) REQUIRES(mu_) { return lanes_[static_cast<std::size_t>(lane)]; }

  Clock& clock_;
  const std::unique_ptr<CondVar> changed_;
  mutable Mutex mu_;
  std::array<State, kLanes> lanes_ GUARDED_BY(mu_);
  MonotonicTime paused_until_ GUARDED_BY(mu_){};
  std::uint64_t cancels_ GUARDED_BY(mu_) = 0;
};

// Bytes per second over all threads, in the order they ask. Unused time is saved up for kBurst.
class RateLimiter {
 public:
  static constexpr Duration kBurst = std::chrono::milliseconds(100);

  // 0: no limit.
  RateLimiter(Env env, std::uint64_t bytes_per_second);

  [[nodiscard]] std::uint64_t rate() const { return rate_; }
  // Waits until `bytes` more may go. kCancelled.
  [[nodiscard]] Result<> take(std::size_t bytes);
  void cancel();

 private:
  Clock& clock_;
  const std::uint64_t rate_;
  const std::unique_ptr<CondVar> changed_;
  Mutex mu_;
  MonotonicTime free_from_ GUARDED_BY(mu_){};  // when all that was taken has gone
  std::uint64_t cancels_ GUARDED_BY(mu_) = 0;
};

}  // namespace s3crate::s3
