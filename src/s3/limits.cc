// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/limits.h"

#include <algorithm>

namespace s3crate::s3 {

LaneLimiter::LaneLimiter(Env env, std::array<LaneLimits, kLanes> limits)
    : clock_(env.clock), changed_(env.executor.cond_var()) {
  MutexLock lock(mu_);
  for (std::size_t i = 0; i < kLanes; ++i) {
    const LaneLimits& bounds = limits[i];
    CHECK(bounds.min >= 1 && bounds.min <= bounds.start && bounds.start <= bounds.max);
    lanes_[i].bounds = bounds;
    lanes_[i].limit = bounds.start;
    lanes_[i].twofold_below = bounds.max;
  }
}

Result<> LaneLimiter::enter(Lane lane) {
  MutexLock lock(mu_);
  State& state = at(lane);
  const std::uint64_t cancels = cancels_;
  for (;;) {
    if (cancels_ != cancels) return fail(Code::kCancelled, "stopped before a request was sent");
    if (clock_.monotonic_now() < paused_until_) {
      changed_->wait_until(mu_, paused_until_);
    } else if (state.in_use >= state.limit) {
      changed_->wait(mu_);
    } else {
      break;
    }
  }
  ++state.in_use;
  state.was_full |= state.in_use == state.limit;
  return {};
}

void LaneLimiter::leave(Lane lane, Outcome outcome) {
  MutexLock lock(mu_);
  State& state = at(lane);
  CHECK(state.in_use > 0);
  --state.in_use;
  if (outcome != Outcome::unknown) {
    ++state.answers;
    state.turned_away += outcome == Outcome::turned_away;
    if (state.answers >= std::max(state.limit, kWindowMin)) judge_window(state);
  }
  changed_->notify_all();
}

void LaneLimiter::judge_window(State& state) {
  const LaneLimits& bounds = state.bounds;
  if (state.turned_away > 0) state.twofold_below = bounds.start;
  if (state.turned_away * 2 >= state.answers) {
    state.limit = std::max(state.limit / 2, bounds.min);
  } else if (state.turned_away * 3 < state.answers && state.was_full) {
    state.limit = state.limit < state.twofold_below ? std::min(state.limit * 2, state.twofold_below)
                                                    : std::min(state.limit + 1, bounds.max);
  }
  state.answers = 0;
  state.turned_away = 0;
  state.was_full = state.in_use >= state.limit;
}

void LaneLimiter::pause(Duration how_long) {
  MutexLock lock(mu_);
  paused_until_ = std::max(paused_until_, clock_.monotonic_now() + how_long);
}

void LaneLimiter::cancel() {
  MutexLock lock(mu_);
  ++cancels_;
  changed_->notify_all();
}

int LaneLimiter::limit(Lane lane) const {
  MutexLock lock(mu_);
  return lanes_[static_cast<std::size_t>(lane)].limit;
}

RateLimiter::RateLimiter(Env env, std::uint64_t bytes_per_second)
    : clock_(env.clock), rate_(bytes_per_second), changed_(env.executor.cond_var()) {}

Result<> RateLimiter::take(std::size_t bytes) {
  if (rate_ == 0) return {};
  MutexLock lock(mu_);
  const std::uint64_t cancels = cancels_;
  MonotonicTime start = std::max(free_from_, clock_.monotonic_now() - kBurst);
  free_from_ = start + Duration(static_cast<Duration::rep>(static_cast<double>(bytes) * 1e9 /
                                                           static_cast<double>(rate_)));
  // Pays for itself first, so that the rate holds however large a single piece is.
  const MonotonicTime until = free_from_;
  while (clock_.monotonic_now() < until) {
    if (cancels_ != cancels)
      return fail(Code::kCancelled, "stopped while a rate limit held it back");
    changed_->wait_until(mu_, until);
  }
  return {};
}

void RateLimiter::cancel() {
  MutexLock lock(mu_);
  ++cancels_;
  free_from_ = {};  // what was waiting is not sent
  changed_->notify_all();
}

}  // namespace s3crate::s3
