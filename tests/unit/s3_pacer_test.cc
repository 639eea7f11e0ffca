// SPDX-License-Identifier: GPL-3.0-or-later
// The pacer at a line that is a model: a rate, a queue before it, and uploads that fill it as TCP
// does if they may.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <list>

#include "s3/pacer.h"
#include "tests/support/fake_clock.h"
#include "tests/support/sanitized.h"

namespace s3crate::test {
namespace {

using namespace std::chrono_literals;
using s3::LineSample;
using s3::Pacer;

class PacerTest : public ::testing::Test {
 protected:
  struct Flow {
    std::unique_ptr<Pacer::Upload> upload;
    double delivered = 0;
    std::uint64_t pace = 0;
    // What its acknowledgements will tell, and the shortest time of each second.
    std::deque<LineSample> under_way = {};
    std::deque<std::pair<MonotonicTime, Duration>> best = {};
  };

  void begin(int count) {
    for (int i = 0; i < count; ++i) {
      flows_.push_back({std::make_unique<Pacer::Upload>(pacer_)});
      flows_.back().best.emplace_back(clock_.monotonic_now(), base_ + others_);  // of the handshake
    }
  }

  // What the uploads got of the line in that time, and the queue in the middle.
  struct Got {
    double share = 0;
    Duration queue{}, longest{};
    double free = 0;  // share of the time in which nothing was paced
  };
  Got run(Duration span) {
    Got got;
    const auto steps = span / kStep;
    for (auto step = 0 * steps; step < steps; ++step) {
      const double through = advance();
      got.share += through / static_cast<double>(steps);
      got.queue += queue_time() / steps;
      got.longest = std::max(got.longest, queue_time());
      got.free += (flows_.front().pace == 0 ? 1.0 : 0.0) / static_cast<double>(steps);
    }
    return got;
  }

 private:
  static constexpr Duration kStep = 10ms;

  double wish(const Flow& flow) const {
    if (!flow.upload->sending()) return 0;
    const double most = source_ / static_cast<double>(flows_.size());
    return flow.pace == 0 ? most : std::min(most, static_cast<double>(flow.pace));
  }
  Duration queue_time() const {
    return others_ + Duration(static_cast<Duration::rep>(queue_ / rate_ * 1e9));
  }
  // The shortest of five minutes, like tcp_min_rtt_wlen.
  Duration best_time(Flow& flow, Duration rtt) {
    const MonotonicTime now = clock_.monotonic_now();
    if (flow.best.empty() || now - flow.best.back().first >= 1s) {
      flow.best.emplace_back(now, rtt);
      if (now - flow.best.front().first > 5min) flow.best.pop_front();
    }
    flow.best.back().second = std::min(flow.best.back().second, rtt);
    return std::ranges::min(flow.best, {}, &std::pair<MonotonicTime, Duration>::second).second;
  }
  // One step; answers the share of the line that was used.
  double advance() {
    const double seconds = std::chrono::duration<double>(kStep).count();
    clock_.advance(kStep);
    double wanted = 0;
    for (const Flow& flow : flows_) wanted += wish(flow) * seconds;
    const double through = std::min(rate_ * seconds, queue_ + wanted);
    queue_ = std::min(queue_ + wanted - through, rate_ * queue_max_s_);
    const Duration rtt = base_ + queue_time();
    for (Flow& flow : flows_) {
      if (wanted > 0) flow.delivered += through * share_ * wish(flow) * seconds / wanted;
      flow.under_way.push_back({rtt, {}, static_cast<std::uint64_t>(flow.delivered), 0});
      while (flow.under_way.size() > static_cast<std::size_t>(rtt / kStep) + 1)
        flow.under_way.pop_front();
      LineSample sample = flow.under_way.front();
      sample.rtt_min = best_time(flow, sample.rtt);
      if (flow.upload->sending() && flow.upload->due()) flow.pace = flow.upload->pace(sample);
    }
    return through / (rate_ * seconds);
  }

 protected:
  FakeClock clock_;
  Pacer pacer_{clock_};
  std::list<Flow> flows_;
  double rate_ = 2.5e6;   // of the line
  double source_ = 10e9;  // what there is to send
  double share_ = 1;      // what others leave of what comes through
  double queue_ = 0;      // bytes
  double queue_max_s_ = 0.2;
  Duration base_ = 20ms, others_{};
};

TEST_F(PacerTest, TheLineStaysFullAndTheQueueShort) {
  for (double rate : {1e5, 2.5e6, 125e6}) {
    for (Duration base : {100us, 20'000us, 40'000us, 150'000us}) {
      rate_ = rate;
      base_ = base;
      queue_ = 0;
      flows_.clear();
      clock_.advance(2min);
      begin(4);
      run(12s);
      Got got = run(20s);
      std::string what = fmt::format("{} bytes/s, {} ms", rate, base.count() / 1e6);
      EXPECT_GT(got.share, 0.95) << what;
      EXPECT_LT(got.queue, std::max<Duration>(15ms, base * 6 / 10)) << what;
      EXPECT_LT(got.longest, std::max<Duration>(30ms, base)) << what;
      EXPECT_EQ(got.free, 0) << what;
    }
  }
}

TEST_F(PacerTest, AQueueThatIsAlwaysThereIsNotTakenForTheLinesOwnTime) {
  base_ = 40ms;
  begin(4);
  run(test::kSanitized ? 5min : 30min);
  Got got = run(1min);
  EXPECT_GT(got.share, 0.95);
  EXPECT_LT(got.queue, 22ms);
}

TEST_F(PacerTest, ALineThatBecomesSlowerIsFollowed) {
  begin(4);
  run(10s);
  rate_ /= 5;
  run(8s);
  Got got = run(10s);
  EXPECT_GT(got.share, 0.95);
  EXPECT_LT(got.queue, 15ms);
}

TEST_F(PacerTest, ALineThatBecomesFasterIsFollowed) {
  begin(4);
  run(10s);
  rate_ *= 20;
  run(5s);
  Got got = run(10s);
  EXPECT_GT(got.share, 0.95);
  EXPECT_LT(got.queue, 15ms);
}

TEST_F(PacerTest, WhatIsHeldBackElsewhereIsNotPaced) {
  source_ = 0.9 * rate_;
  begin(4);
  EXPECT_NEAR(run(60s).free, 1, 1e-6);
}

TEST_F(PacerTest, AQueueThatOthersFillIsLeftToTcp) {
  begin(4);
  run(10s);
  others_ = 100ms;
  share_ = 0.5;
  run(15s);
  EXPECT_GT(run(4min).free, 0.8);
  others_ = 0ms;
  share_ = 1;
  run(75s);
  Got got = run(20s);
  EXPECT_LT(got.queue, 15ms);
  EXPECT_EQ(got.free, 0);
}

TEST_F(PacerTest, TimesThatVaryByThemselvesCostLittle) {
  begin(4);
  run(10s);
  double share = 0;
  for (int i = 0; i < 60; ++i) {
    others_ = 60ms;
    share += run(300ms).share * 0.3 / 60;
    others_ = 0ms;
    share += run(700ms).share * 0.7 / 60;
  }
  EXPECT_GT(share, 0.8) << share;
}

TEST_F(PacerTest, WhoWaitsForItsAnswerLeavesItsShareToOthers) {
  begin(4);
  run(10s);
  const auto before = flows_.front().pace;
  flows_.back().upload->all_sent();
  flows_.back().upload->all_sent();
  run(Pacer::kSampleGap);
  EXPECT_NEAR(static_cast<double>(flows_.front().pace), static_cast<double>(before) * 4 / 3,
              static_cast<double>(before) * 0.1);
}

TEST_F(PacerTest, APaceOutlivesAPauseButNotALongOne) {
  begin(4);
  run(10s);
  flows_.clear();
  clock_.advance(30s);
  begin(1);
  run(20ms);
  EXPECT_GT(flows_.front().pace, rate_ * 0.8);
  flows_.clear();
  clock_.advance(2min);
  begin(1);
  run(20ms);
  EXPECT_EQ(flows_.front().pace, 0u);
}

TEST_F(PacerTest, TimesOfBeforeThisBodyAreNotBelieved) {
  queue_max_s_ = 0;
  begin(1);
  Pacer::Upload idle(pacer_);
  for (int i = 0; i < 1000; ++i) {
    run(10ms);
    EXPECT_EQ(idle.pace({10s, 20ms, 12345, 0}), 0u);
  }
}

}  // namespace
}  // namespace s3crate::test
