// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/pacer.h"

#include <algorithm>

namespace s3crate::s3 {
namespace {

// The queue is judged so often, or once in two round trips: what was changed has an effect then.
constexpr Duration kWindowMin = std::chrono::milliseconds(100);
constexpr Duration kSecond = std::chrono::seconds(1);
// A pause after which what was counted before says nothing.
constexpr Duration kPause = std::chrono::seconds(1);
// How long a shortest time is believed; the kernel's own memory of it, five minutes, comes on top.
constexpr Duration kBestRttAge = std::chrono::minutes(1);
constexpr Duration kLookEvery = std::chrono::minutes(1);
// For a queue that is longer than wanted by once the wanted one: the share by which the pace is
// lower as long as it is there, and the share that a window takes from what is believed. The first
// is what keeps the second from swinging.
constexpr double kDamping = 0.08;
constexpr double kStep = 0.02;
constexpr double kExcessMax = 3;
// While the queue is as good as empty, each window adds a step more than the one before it, though
// no more than would make the wanted queue in a window.
constexpr double kEmpty = -0.8;
// Below this share of the pace, something else holds the uploads back.
constexpr double kPaceUsed = 0.8;
// What is believed is no less than this share of the best second of late. With kDamping it empties
// any queue, and bounds what it costs when times vary for other reasons.
constexpr double kBelievedMin = 0.8;
constexpr Duration kBestRateAge = std::chrono::seconds(5);

double in_seconds(Duration span) { return std::chrono::duration<double>(span).count(); }

}  // namespace

Pacer::Upload::Upload(Pacer& pacer) : pacer_(pacer) {
  MutexLock lock(pacer_.mu_);
  ++pacer_.sending_;
}

Pacer::Upload::~Upload() { all_sent(); }

void Pacer::Upload::all_sent() {
  if (!sending_) return;
  sending_ = false;
  MutexLock lock(pacer_.mu_);
  --pacer_.sending_;
}

std::uint64_t Pacer::Upload::pace(const LineSample& sample) {
  Pacer& p = pacer_;
  MutexLock lock(p.mu_);
  const MonotonicTime now = p.clock_.monotonic_now();
  next_ = now + kSampleGap;
  p.begin_sample(now);
  if (sample.rtt_min <= p.best_rtt_ || now - p.best_rtt_seen_ > kBestRttAge) {
    p.best_rtt_ = sample.rtt_min;
    p.best_rtt_seen_ = now;
  }
  // A connection that waits for its first acknowledgement tells of times that are gone.
  const std::uint64_t before = delivered_.value_or(sample.delivered);
  delivered_ = sample.delivered;
  if (sample.delivered > before) {
    p.delivered_ += static_cast<double>(sample.delivered - before);
    p.rtt_ = std::min(p.rtt_, sample.rtt);
    if (now - p.window_begin_ >= std::max(kWindowMin, 2 * p.rtt_)) p.judge_window(now);
  }
  if (p.pace_ == 0) return 0;
  const auto sharers = static_cast<std::uint64_t>(std::max(p.sending_, 1));
  return std::max(kPaceMin, static_cast<std::uint64_t>(p.pace_) / sharers);
}

void Pacer::begin_sample(MonotonicTime now) {
  const Duration pause = now - last_sample_;
  last_sample_ = now;
  if (pause > kForget) {
    best_rtt_ = Duration::max();
    best_rate_ = pace_ = 0;
  }
  if (pause > kPause) {
    window_begin_ = second_begin_ = last_short_ = now;
    rtt_ = Duration::max();
    delivered_ = delivered_second_ = 0;
  }
}

void Pacer::judge_window(MonotonicTime now) {
  const Duration window = now - window_begin_;
  const double rate = delivered_ / in_seconds(window);
  const Duration wanted = std::max(kQueueMin, best_rtt_ / 2);
  const Duration queue = rtt_ - std::min(best_rtt_, rtt_);
  const double excess = in_seconds(queue - wanted) / in_seconds(wanted);
  note_second(now);
  window_begin_ = now;
  rtt_ = Duration::max();
  delivered_ = 0;
  set_pace(now, rate, std::min(excess, kExcessMax), in_seconds(wanted) / in_seconds(window));
}

void Pacer::note_second(MonotonicTime now) {
  delivered_second_ += delivered_;
  if (now - second_begin_ < kSecond) return;
  const double rate = delivered_second_ / in_seconds(now - second_begin_);
  if (rate >= best_rate_ || now - best_rate_seen_ > kBestRateAge) {
    best_rate_ = rate;
    best_rate_seen_ = now;
  }
  second_begin_ = now;
  delivered_second_ = 0;
}

// `excess`: how far the queue is above the wanted one, in units of that.
void Pacer::set_pace(MonotonicTime now, double rate, double excess, double growth_max) {
  if (excess <= 0) last_short_ = now;
  if (pace_ == 0) {
    if (excess <= 1 || now < barred_until_) return;
    believed_ = rate;
    last_short_ = last_look_ = now;
  } else if (now - last_short_ > kPatience) {
    pace_ = 0;
    barred_until_ = now + kBarred;
    return;
  } else if (now - last_look_ > kLookEvery) {
    last_look_ = now;
    pace_ /= 2;  // until the end of the next window
    return;
  } else if (excess > 0) {
    believed_ *= 1 - kStep * excess;
  } else if (rate >= kPaceUsed * pace_) {
    steps_ = excess < kEmpty ? steps_ + 1 : 1;
    believed_ *= 1 + std::min(kStep * steps_, growth_max) * -excess;
  }
  if (excess > kEmpty) steps_ = 0;
  if (excess > 1 && best_rate_ > 0) believed_ = std::min(believed_, best_rate_);
  believed_ = std::max(believed_, best_rate_ * kBelievedMin);
  pace_ = believed_ * (1 - kDamping * excess);
}

}  // namespace s3crate::s3
