// SPDX-License-Identifier: GPL-3.0-or-later
// Pacer: lets uploads fill a line without filling the queue before it, in which reads would have to
// wait behind them.
//
// A router keeps what it cannot send yet, for 50 ms or for a second, and TCP does not slow down
// before some of it is dropped. The kernel knows of each connection how long its packets take, and
// how long they took at best in the last minutes; what is between the two is the queue.
//
//   free    as fast as TCP likes, until the queue is twice the wanted one
//   paced   all uploads together send what the line is believed to bear, and a little less or more,
//           so that the queue becomes the wanted one. Once in a while they send half of it for a
//           moment: a queue that is always there would be taken for the line's own time.
//   barred  free, for kBarred: pacing did not shorten the queue within kPatience, so others fill
//           it, or the times of this line vary by themselves; then pacing would only cost
//
// Where something else holds the uploads back, the pace comes to lie above what they do.
#pragma once

#include <optional>

#include "base/clock.h"
#include "base/mutex.h"

namespace s3crate::s3 {

// What the kernel knows of a connection.
struct LineSample {
  Duration rtt{};               // smoothed, now
  Duration rtt_min{};           // of the last minutes
  std::uint64_t delivered = 0;  // bytes, ever
  std::uint64_t unsent = 0;     // bytes that wait in the kernel
};

class Pacer {
 public:
  static constexpr Duration kSampleGap = std::chrono::milliseconds(10);
  // The wanted queue is half of the best time, and at least this.
  static constexpr Duration kQueueMin = std::chrono::milliseconds(10);
  static constexpr Duration kPatience = std::chrono::seconds(10);
  static constexpr Duration kBarred = std::chrono::minutes(1);
  // Without uploads for so long, the line may have become another.
  static constexpr Duration kForget = std::chrono::minutes(1);
  // Of one upload: what is slower is not ours to slow down.
  static constexpr std::uint64_t kPaceMin = 4096;

  explicit Pacer(Clock& clock) : clock_(clock) {}

  // One body on its way. Used by one thread; the pacer must outlive it.
  class Upload {
   public:
    explicit Upload(Pacer& pacer);
    ~Upload();
    Upload(const Upload&) = delete;
    Upload& operator=(const Upload&) = delete;

    // Whether it is time for another sample.
    [[nodiscard]] bool due() const { return pacer_.clock_.monotonic_now() >= next_; }
    // What this upload may send in a second from now on, at most; 0: whatever TCP likes.
    [[nodiscard]] std::uint64_t pace(const LineSample& sample);
    // It waits for its answer now: the others may have its share. May be said again.
    void all_sent();
    [[nodiscard]] bool sending() const { return sending_; }

   private:
    Pacer& pacer_;
    MonotonicTime next_{};
    std::optional<std::uint64_t> delivered_;
    bool sending_ = true;
  };

 private:
  void begin_sample(MonotonicTime now) REQUIRES(mu_);
  void judge_window(MonotonicTime now) REQUIRES(mu_);
  void note_second(MonotonicTime now) REQUIRES(mu_);
  void set_pace(MonotonicTime now, double rate, double excess, double growth_max) REQUIRES(mu_);

  Clock& clock_;
  Mutex mu_;
  int sending_ GUARDED_BY(mu_) = 0;
  MonotonicTime last_sample_ GUARDED_BY(mu_){};

  // The shortest time that packets took, and when that was last seen.
  Duration best_rtt_ GUARDED_BY(mu_) = Duration::max();
  MonotonicTime best_rtt_seen_ GUARDED_BY(mu_){};

  // Since the last judgement.
  MonotonicTime window_begin_ GUARDED_BY(mu_){};
  Duration rtt_ GUARDED_BY(mu_) = Duration::max();
  double delivered_ GUARDED_BY(mu_) = 0;

  // What came through in this second, and in the best one of late (bytes per second).
  MonotonicTime second_begin_ GUARDED_BY(mu_){};
  double delivered_second_ GUARDED_BY(mu_) = 0;
  double best_rate_ GUARDED_BY(mu_) = 0;
  MonotonicTime best_rate_seen_ GUARDED_BY(mu_){};

  // Bytes per second of all uploads; a pace of 0: free.
  double believed_ GUARDED_BY(mu_) = 0;
  double pace_ GUARDED_BY(mu_) = 0;
  int steps_ GUARDED_BY(mu_) = 0;               // windows in a row that grew over an empty queue
  MonotonicTime last_short_ GUARDED_BY(mu_){};  // when the queue was last no longer than wanted
  MonotonicTime last_look_ GUARDED_BY(mu_){};  // when half the pace last showed the line's own time
  MonotonicTime barred_until_ GUARDED_BY(mu_){};
};

}  // namespace s3crate::s3
