// SPDX-License-Identifier: GPL-3.0-or-later
// ReadAhead: brings what readers will ask for next into the extent cache, so that they wait for the
// line's bandwidth and not for its latency. Which readers, and how far: device/read_streams.h.
//
// A read that is about to begin may give a stream its next piece. A worker looks up which extents
// of the store hold the piece and the cache lacks, cuts them into GETs (at most kGetMax long; a
// piece ends at the end of a segment where that is near), and workers load those, one each at a
// time, as calls that give way to what somebody waits for. A reader who needs an extent that is on
// its way joins that load; if it fails, he loads himself, and nobody hears of the failure.
//
// A piece is as long as one GET, so that the line never waits for the next one. But where a disk was written to at random, what one
// batch of writes left in a piece lies together in its segment: the longer the piece, the fewer GETs a byte costs.
//
// - GETs are made smaller when they take longer than kGetTime on top of the latency, so that on a
//   slow line nobody waits long for an extent because it came with others. How long what came waits
//   for its turn to be opened does not count.
// - Waste is bounded: a byte loaded ahead costs a byte of credit, one of those that is used gives
//   two back, each byte of reads that had to load by themselves gives a 64th. So what is wasted is
//   at most what is used, a 64th of what was read otherwise, and what was saved up: kCreditMin in
//   the beginning, and kCreditWindows windows at most.
// - All that is under way or unused takes at most half of the cache, which the windows of a disk share.
//
// It is done for the live disk and for the pasts that are open, as Targets: each has readers of its own, all share workers, credit and
// cache. A past may be closed while something is loaded for it: whoever works on it keeps it until then, and nobody waits.
//
// Threading: all calls are thread-safe; none blocks on the store, but join() for loads under way.
#pragma once

#include <deque>
#include <list>
#include <memory>

#include "cache/extent_cache.h"
#include "device/head.h"
#include "device/read_streams.h"

namespace s3crate::device {

struct ReadAheadOptions {
  std::uint64_t window_bytes = 64 << 20;  // the largest window
  std::uint64_t trigger = 2;
  std::uint32_t threads = 32;
};

struct ReadAheadStats {
  LoadedAhead bytes;
  std::uint64_t streams = 0;  // read lately, and ahead
};

class ReadAhead {
 public:
  static constexpr std::uint64_t kGetMax = 8 << 20;
  static constexpr std::uint64_t kGetMin = 256 << 10;
  static constexpr Duration kGetTime = std::chrono::milliseconds(250);
  static constexpr std::uint64_t kWindowMin = 64 << 10;
  static constexpr std::uint64_t kCreditMin = 2 << 20;
  static constexpr std::uint64_t kCreditWindows = 2;
  // Bytes of loads that run at a time: their bodies are in memory beside the cache.
  static constexpr std::uint64_t kRunningMax = 64 << 20;
  // How many GETs a piece may take, from how many on its part of the disk counts as scattered, and as many GETs of the largest
  // size it may be as long then.
  static constexpr std::size_t kGetsOfPiece = 1024;
  static constexpr std::size_t kGetsScattered = 9;
  static constexpr std::uint64_t kScatteredLength = 4;

  struct Parts {
    volume::PageLoader& pages;
    cache::ExtentCache& cache;
    std::uint64_t block_size;
  };
  ReadAhead(Env env, Parts parts, const ReadAheadOptions& options);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // What is read ahead of.
  struct Target;
  using TargetPtr = std::shared_ptr<Target>;
  // A disk that outlives this.
  [[nodiscard]] TargetPtr add(Head& head, cache::ExtentSource& source);
  // One that `owner` owns, with its source; what is still to be done when it is gone is left out.
  [[nodiscard]] TargetPtr add(Head& head, cache::ExtentSource& source, std::weak_ptr<const void> owner);

  // Around each read of [from, to). ended() gets what begins() answered, and what the read met.
  struct Reader {
    ReadStreams::Id stream = 0;
    bool was_ahead = false;  // what it reads had been read ahead, or was planned, when it began
  };
  [[nodiscard]] Reader begins(const TargetPtr& target, BlockIndex from, BlockIndex to);
  void ended(const TargetPtr& target, Reader reader, BlockIndex from, BlockIndex to, const FetchCounts& met);

  // Nothing begins any more.
  void stop();
  // Whether something is under way that may wait for the store.
  [[nodiscard]] bool busy() const;
  // After stop().
  void join();
  [[nodiscard]] ReadAheadStats stats() const;

 private:
  struct Wanted {
    TargetPtr target;
    ReadStreams::Piece piece;
  };
  // One GET.
  struct Load {
    Wanted of;         // the piece that it is a part of
    BlockIndex first;  // the first of its blocks
    std::vector<cache::AheadExtent> extents;
    std::uint64_t bytes = 0;   // of its blocks
    std::uint64_t memory = 0;  // the body of the GET, which may have more in it; at least `bytes`
  };
  [[nodiscard]] ReadStreams streams_of(const Head& head) const;
  void work();
  void look_up(Wanted wanted, std::uint64_t get_bytes);
  [[nodiscard]] std::list<Load> find_loads(Wanted& wanted, std::uint64_t bytes_max, std::uint64_t get_bytes);
  [[nodiscard]] std::vector<volume::Run> absent_runs(const Target& target, BlockIndex from, BlockIndex to);
  [[nodiscard]] std::uint64_t bytes_of(const volume::Run& run) const;
  [[nodiscard]] static std::size_t gets_of(std::vector<volume::Run> runs);
  [[nodiscard]] BlockIndex trim(std::vector<volume::Run>& runs, std::uint64_t bytes_max,
                                BlockIndex end) const;
  [[nodiscard]] std::list<Load> cut(const Wanted& wanted, std::vector<volume::Run> runs, std::uint64_t get_bytes) const;
  void load(std::list<Load>::iterator load);
  void pump(const TargetPtr& target, ReadStreams::Id stream, const LoadedAhead& ahead) REQUIRES(mu_);
  [[nodiscard]] std::uint64_t credit(const LoadedAhead& ahead) REQUIRES(mu_);
  [[nodiscard]] bool may_load() const REQUIRES(mu_);
  [[nodiscard]] bool is_coming(const TargetPtr& target, BlockIndex from, BlockIndex to) const REQUIRES(mu_);
  void judge(std::uint64_t bytes, Duration took) REQUIRES(mu_);

  Env env_;
  Turns turns_;
  const Parts parts_;
  const std::uint64_t block_size_;
  const std::uint64_t window_max_;  // bytes
  const std::uint64_t trigger_;
  const std::unique_ptr<CondVar> changed_;

  mutable Mutex mu_;
  bool stopped_ GUARDED_BY(mu_) = false;
  std::vector<std::weak_ptr<Target>> targets_ GUARDED_BY(mu_);
  std::deque<Wanted> pieces_ GUARDED_BY(mu_);  // to be looked up
  std::size_t looking_up_ GUARDED_BY(mu_) = 0;             // pieces, which takes pages of the map
  std::list<Load> waiting_ GUARDED_BY(mu_);
  std::list<Load> running_ GUARDED_BY(mu_);
  std::uint64_t running_memory_ GUARDED_BY(mu_) = 0;
  std::uint64_t planned_bytes_ GUARDED_BY(mu_) = 0;  // of pieces, and of loads waiting or running
  std::uint64_t missed_bytes_ GUARDED_BY(mu_) = 0;   // of reads that had to load
  std::int64_t credit_base_ GUARDED_BY(mu_);
  std::uint64_t get_bytes_ GUARDED_BY(mu_) = kGetMax;
  Duration fastest_ GUARDED_BY(mu_) = Duration::max();

  std::vector<std::unique_ptr<Task>> workers_;
};

}  // namespace s3crate::device
