// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/store_watch.h"

#include <cstdio>

#include "base/time_text.h"
#include "cli/signals.h"

namespace s3crate::cli {
namespace {

constexpr auto kTick = std::chrono::milliseconds(250);
// Until a failure is spoken of, and until a silence is: many bytes on a slow line look the same at first.
constexpr auto kFailing = std::chrono::seconds(3), kSilent = std::chrono::seconds(6);
constexpr Duration kPauseMax = std::chrono::minutes(10);

std::string rounded_up(Duration left) {
  if (left > std::chrono::minutes(2)) return format_duration(std::chrono::ceil<std::chrono::minutes>(left));
  return format_duration(std::chrono::ceil<std::chrono::seconds>(left));
}

}  // namespace

std::optional<std::string> WaitingNotices::due(MonotonicTime now, const store::Trouble& trouble) {
  if (now < next_ || trouble.lasting < (trouble.why.empty() ? kSilent : kFailing)) return std::nullopt;
  next_ = now + pause_;
  pause_ = std::min(pause_ * 2, kPauseMax);
  std::optional<Duration> left = trouble.left;
  if (!left && limit_) left = std::max<Duration>(*limit_ - trouble.failing, Duration::zero());
  // Of what may yet be under way, nobody knows how long it takes.
  const std::string end = left && !trouble.why.empty() ? fmt::format("giving up in {}; ", rounded_up(*left)) : "";
  return fmt::format("waiting for {}: {}; {}Ctrl-C ends", place_, trouble.why.empty() ? "no answer yet" : trouble.why, end);
}

StoreWatch::StoreWatch(Env env, std::string place, Duration limit, Look look, std::function<void()> give_up)
    : env_(env),
      place_(std::move(place)),
      limit_(limit),
      look_(std::move(look)),
      give_up_(std::move(give_up)),
      changed_(env.executor.cond_var()),
      task_(env.executor.spawn("store watch", [this] { loop(); })) {}

StoreWatch::~StoreWatch() {
  {
    MutexLock lock(mu_);
    stopping_ = true;
    changed_->notify_all();
  }
  task_.reset();
}

std::optional<Error> StoreWatch::given_up() const {
  MutexLock lock(mu_);
  return given_up_;
}

void StoreWatch::loop() {
  leave_signals_to_others();
  WaitingNotices notices(place_, limit_);
  for (;;) {
    {
      MutexLock lock(mu_);
      const MonotonicTime next = env_.clock.monotonic_now() + kTick;
      while (!stopping_ && env_.clock.monotonic_now() < next) changed_->wait_until(mu_, next);
      if (stopping_) return;
    }
    const auto trouble = look_();
    if (!trouble) continue;
    if (const auto notice = notices.due(env_.clock.monotonic_now(), *trouble)) {
      std::fprintf(stderr, "s3crate-blk: %s\n", notice->c_str());
    }
    if (trouble->left || trouble->why.empty() || trouble->failing < limit_) continue;
    {
      MutexLock lock(mu_);
      given_up_ = Error(Code::kTransient, trouble->why);
    }
    give_up_();
    return;
  }
}

}  // namespace s3crate::cli
