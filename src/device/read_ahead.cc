// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/read_ahead.h"

#include <algorithm>
#include <map>
#include <new>
#include <set>

namespace s3crate::device {

using cache::ExtentRef;
using volume::Run;

namespace {

ReadStreamsOptions streams_options(std::uint64_t window_bytes, std::uint64_t total_bytes,
                                   std::uint64_t trigger, std::uint64_t block_size,
                                   BlockIndex end) {
  ReadStreamsOptions options;
  options.trigger = trigger;
  options.window_max = std::max<std::uint64_t>(window_bytes / block_size, 1);
  options.window_min =
      std::clamp<std::uint64_t>(ReadAhead::kWindowMin / block_size, 1, options.window_max);
  options.total_max = std::max<std::uint64_t>(total_bytes / block_size, 1);
  options.disk_end = end;
  return options;
}

}  // namespace

struct ReadAhead::Target {
  Head& head;
  cache::ExtentSource& source;
  const std::weak_ptr<const void> owner;
  const bool owned;
  ReadStreams streams;     // guarded by mu_
  bool scattered = false;  // as the last piece was; guarded by mu_

  [[nodiscard]] BlockIndex end() const { return BlockIndex(head.disk_bytes() / head.block_size()); }
};

namespace {

// Keeps what a target needs; false: it is gone.
class Hold {
 public:
  Hold(const std::weak_ptr<const void>& owner, bool owned) : owner_(owner.lock()), held_(!owned || owner_) {}
  explicit operator bool() const { return held_; }

 private:
  const std::shared_ptr<const void> owner_;
  const bool held_;
};

}  // namespace

ReadAhead::ReadAhead(Env env, Parts parts, const ReadAheadOptions& options)
    : env_(env),
      turns_(env),
      parts_(parts),
      block_size_(parts.block_size),
      window_max_(std::min(options.window_bytes, parts.cache.ahead_max())),
      trigger_(options.trigger),
      changed_(env.executor.cond_var()),
      credit_base_(static_cast<std::int64_t>(kCreditMin)) {
  for (std::uint32_t i = 0; i < options.threads; ++i)
    workers_.push_back(env.executor.spawn("read-ahead", [this] { work(); }));
}

ReadAhead::~ReadAhead() {
  stop();
  join();
}

void ReadAhead::stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  pieces_.clear();
  waiting_.clear();
  changed_->notify_all();
}

bool ReadAhead::busy() const {
  MutexLock lock(mu_);
  return looking_up_ > 0 || !running_.empty();
}

void ReadAhead::join() { workers_.clear(); }

ReadAheadStats ReadAhead::stats() const {
  ReadAheadStats stats{parts_.cache.loaded_ahead(), 0};
  MutexLock lock(mu_);
  for (const auto& known : targets_)
    if (const auto target = known.lock()) stats.streams += target->streams.active(env_.clock.monotonic_now());
  return stats;
}

ReadStreams ReadAhead::streams_of(const Head& head) const {
  return ReadStreams(streams_options(window_max_, parts_.cache.ahead_max(), trigger_, block_size_,
                                     BlockIndex(head.disk_bytes() / block_size_)));
}

ReadAhead::TargetPtr ReadAhead::add(Head& head, cache::ExtentSource& source) {
  auto target = std::make_shared<Target>(Target{head, source, {}, false, streams_of(head)});
  MutexLock lock(mu_);
  targets_.push_back(target);
  return target;
}

ReadAhead::TargetPtr ReadAhead::add(Head& head, cache::ExtentSource& source, std::weak_ptr<const void> owner) {
  auto target = std::make_shared<Target>(Target{head, source, std::move(owner), true, streams_of(head)});
  MutexLock lock(mu_);
  std::erase_if(targets_, [](const auto& known) { return known.expired(); });
  targets_.push_back(target);
  return target;
}

// ---- Around reads ------------------------------------------------------------------------------

ReadAhead::Reader ReadAhead::begins(const TargetPtr& target, BlockIndex from, BlockIndex to) {
  const MonotonicTime now = env_.clock.monotonic_now();
  const LoadedAhead ahead = parts_.cache.loaded_ahead();
  const BlockIndex end = target->end();
  MutexLock lock(mu_);
  ReadStreams& streams = target->streams;
  streams.disk_ends_at(end);
  Reader reader{streams.note(from, to, now), false};
  if (reader.stream == 0) return reader;
  reader.was_ahead = streams.is_ahead(reader.stream, from, to);
  pump(target, reader.stream, ahead);
  return reader;
}

void ReadAhead::ended(const TargetPtr& target, Reader reader, BlockIndex from, BlockIndex to, const FetchCounts& met) {
  if (met.missed + met.awaited == 0) return;
  const MonotonicTime now = env_.clock.monotonic_now();
  const LoadedAhead ahead = parts_.cache.loaded_ahead();
  MutexLock lock(mu_);
  if (met.missed > 0) missed_bytes_ += (to - from) * block_size_;
  if (reader.stream == 0) return;
  // What should be there and is neither there nor on its way was lost.
  if (reader.was_ahead && met.missed > 0 && met.awaited == 0 && !is_coming(target, from, to))
    target->streams.shrink(reader.stream);
  else
    target->streams.grow(reader.stream, now);
  pump(target, reader.stream, ahead);
}

bool ReadAhead::is_coming(const TargetPtr& target, BlockIndex from, BlockIndex to) const {
  const auto overlaps = [&](const Wanted& wanted) {
    return wanted.target == target && wanted.piece.from < to && from < wanted.piece.to;
  };
  return std::ranges::any_of(pieces_, overlaps) || std::ranges::any_of(waiting_, overlaps, &Load::of) ||
         std::ranges::any_of(running_, overlaps, &Load::of);
}

// In bytes.
std::uint64_t ReadAhead::credit(const LoadedAhead& ahead) {
  const auto earned = static_cast<std::int64_t>(ahead.used + missed_bytes_ / 64);
  const auto spent = static_cast<std::int64_t>(ahead.wasted + ahead.unused + planned_bytes_);
  const auto most = static_cast<std::int64_t>(std::max(kCreditWindows * window_max_, kCreditMin));
  const std::int64_t now = credit_base_ + earned - spent;
  if (now > most) credit_base_ -= now - most;
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(now, 0, most));
}

// The stream's next piece, if it is time for one.
void ReadAhead::pump(const TargetPtr& target, ReadStreams::Id stream, const LoadedAhead& ahead) {
  if (stopped_) return;
  const std::uint64_t length = get_bytes_ * (target->scattered ? kScatteredLength : 1);
  const auto piece = target->streams.take(stream, std::max<std::uint64_t>(length / block_size_, 1),
                                          credit(ahead) / block_size_, env_.clock.monotonic_now());
  if (!piece) return;
  planned_bytes_ += (piece->to - piece->from) * block_size_;
  pieces_.push_back({target, *piece});
  changed_->notify_one();
}

// ---- Workers -----------------------------------------------------------------------------------

bool ReadAhead::may_load() const {
  return !waiting_.empty() &&
         (running_.empty() || running_memory_ + waiting_.front().memory <= kRunningMax);
}

void ReadAhead::work() {
  for (;;) {
    std::optional<Wanted> wanted;
    std::uint64_t get_bytes = 0;
    std::list<Load>::iterator load;
    {
      MutexLock lock(mu_);
      while (!stopped_ && pieces_.empty() && !may_load()) changed_->wait(mu_);
      if (stopped_) return;
      if (!pieces_.empty()) {
        wanted = std::move(pieces_.front());
        pieces_.pop_front();
        get_bytes = get_bytes_;
        ++looking_up_;
      } else {
        load = waiting_.begin();
        running_.splice(running_.end(), waiting_, load);
        running_memory_ += load->memory;
      }
    }
    if (wanted)
      look_up(std::move(*wanted), get_bytes);
    else
      this->load(load);
  }
}

// The runs of [from, to) whose extents have to come from the store, in order of their blocks, each
// extent once.
std::vector<Run> ReadAhead::absent_runs(const Target& target, BlockIndex from, BlockIndex to) {
  Gather gather(from, to, static_cast<std::uint32_t>(block_size_));
  const volume::MaybeRoot root = target.head.gather(gather);
  if (!gather.add_tree(parts_.pages, root)) return {};  // whoever reads there will hear of it
  std::vector<Run> runs = gather.stored_runs();
  std::set<std::pair<segment::ObjectKey, std::uint32_t>> seen;
  std::erase_if(runs, [&](const Run& run) {
    return !seen.emplace(run.extent.object, run.extent.number).second;
  });
  std::vector<ExtentRef> refs;
  refs.reserve(runs.size());
  for (const Run& run : runs) refs.push_back(run.extent);
  const std::vector<bool> absent = parts_.cache.absent(refs);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < runs.size(); ++i)
    if (absent[i]) runs[kept++] = runs[i];
  runs.resize(kept);
  return runs;
}

std::uint64_t ReadAhead::bytes_of(const Run& run) const {
  return (run.first + run.count) * block_size_;
}

std::size_t ReadAhead::gets_of(std::vector<Run> runs) {
  std::ranges::sort(runs, cache::by_place, &Run::extent);
  std::vector<ExtentRef> refs;
  refs.reserve(runs.size());
  for (const Run& run : runs) refs.push_back(run.extent);
  std::size_t gets = 0;
  for (std::size_t done = 0; done < refs.size(); ++gets) done += cache::StoreExtentSource::in_one_get(std::span(refs).subspan(done));
  return gets;
}

// Drops what is too much for one piece, or would be better off in the next: past its half a piece ends where all that it has is of
// segments that end there. Where the piece ends then.
BlockIndex ReadAhead::trim(std::vector<Run>& runs, std::uint64_t bytes_max, BlockIndex end) const {
  std::map<segment::ObjectKey, std::size_t> last;
  for (std::size_t i = 0; i < runs.size(); ++i) last[runs[i].extent.object] = i;
  const auto keep = [&](std::size_t n) {
    end = runs[n].block;
    runs.resize(n);
  };
  std::uint64_t bytes = 0;
  std::size_t open_until = 0;  // the last of those segments that have been met
  for (std::size_t i = 0; i < runs.size(); bytes += bytes_of(runs[i++])) {
    if (i > 0 && (bytes + bytes_of(runs[i]) > bytes_max || (bytes >= bytes_max / 2 && open_until < i))) {
      keep(i);
      break;
    }
    open_until = std::max(open_until, last[runs[i].extent.object]);
  }
  while (gets_of(runs) > kGetsOfPiece) keep(runs.size() / 2);
  return end;
}

// One Load for each GET, in the order in which they will be wanted.
std::list<ReadAhead::Load> ReadAhead::cut(const Wanted& wanted, std::vector<Run> runs, std::uint64_t get_bytes) const {
  std::ranges::sort(runs, cache::by_place, &Run::extent);
  std::vector<ExtentRef> refs;
  for (const Run& run : runs) refs.push_back(run.extent);
  std::list<Load> loads;
  for (std::size_t done = 0; done < runs.size();) {
    Load load;
    load.of = wanted;
    load.first = runs[done].block;
    const std::uint64_t begin = refs[done].offset;
    std::uint64_t end = begin;
    for (std::size_t n = cache::StoreExtentSource::in_one_get(std::span(refs).subspan(done));
         n > 0 && (load.extents.empty() || load.bytes + bytes_of(runs[done]) <= get_bytes); --n, ++done) {
      load.first = std::min(load.first, runs[done].block);
      load.bytes += bytes_of(runs[done]);
      load.extents.push_back({refs[done], bytes_of(runs[done])});
      end = std::max(end, std::uint64_t{refs[done].offset} + refs[done].length);
    }
    load.memory = std::max(load.bytes, end - begin);
    loads.push_back(std::move(load));
  }
  loads.sort([](const Load& a, const Load& b) { return a.first < b.first; });
  return loads;
}

// Holes and what is in the cache already are passed over, as far as the largest window goes.
std::list<ReadAhead::Load> ReadAhead::find_loads(Wanted& wanted, std::uint64_t bytes_max, std::uint64_t get_bytes) {
  const Target& target = *wanted.target;
  const Hold hold(target.owner, target.owned);
  if (!hold) return {};
  ReadStreams::Piece& piece = wanted.piece;
  const BlockIndex last = std::min(target.end(), std::max(piece.to, piece.from + window_max_ / block_size_));
  std::vector<Run> runs = absent_runs(target, piece.from, piece.to);
  while (runs.empty() && piece.to < last) {
    const BlockIndex at = piece.to;
    piece.to = std::min(last, at + (at - piece.from));
    runs = absent_runs(target, at, piece.to);
  }
  piece.to = trim(runs, bytes_max, piece.to);
  return cut(wanted, std::move(runs), get_bytes);
}

void ReadAhead::look_up(Wanted wanted, std::uint64_t get_bytes) {
  const std::uint64_t bytes_max = (wanted.piece.to - wanted.piece.from) * block_size_;
  std::list<Load> loads = find_loads(wanted, bytes_max, get_bytes);

  const LoadedAhead ahead = parts_.cache.loaded_ahead();
  MutexLock lock(mu_);
  --looking_up_;
  planned_bytes_ -= bytes_max;
  wanted.target->streams.planned(wanted.piece.stream, wanted.piece.to);
  if (stopped_) return;
  wanted.target->scattered = loads.size() >= kGetsScattered;
  for (const Load& load : loads) planned_bytes_ += load.bytes;
  waiting_.splice(waiting_.end(), loads);
  changed_->notify_all();
  pump(wanted.target, wanted.piece.stream, ahead);
}

void ReadAhead::load(std::list<Load>::iterator load) {
  const TargetPtr target = load->of.target;
  bool any = false;
  MonotonicTime start{};
  Duration waited{};
  try {
    const Hold hold(target->owner, target->owned);
    // Who joins a load has patience for what it may take, and not for this as well.
    const bool known = hold && target->source.prepare(load->extents[0].ref.object);
    Turns::Place place(turns_);
    start = env_.clock.monotonic_now();
    any = known && parts_.cache.load_ahead(load->extents, target->source, place);
    waited = place.waited();
  } catch (const std::bad_alloc&) {
    // There is no memory for what nobody asked for.
  }
  const Duration took = env_.clock.monotonic_now() - start - waited;
  const LoadedAhead ahead = parts_.cache.loaded_ahead();
  MutexLock lock(mu_);
  if (any) judge(load->bytes, took);
  planned_bytes_ -= load->bytes;
  running_memory_ -= load->memory;
  changed_->notify_one();
  const ReadStreams::Id stream = load->of.piece.stream;
  running_.erase(load);
  pump(target, stream, ahead);
}

// Adapts the size of GETs to how long they take.
void ReadAhead::judge(std::uint64_t bytes, Duration took) {
  fastest_ =
      fastest_ == Duration::max() || took < fastest_ ? took : fastest_ + (took - fastest_) / 64;
  const Duration over = took - fastest_;
  if (over > kGetTime)
    get_bytes_ = std::max(std::min(get_bytes_, bytes) / 2, kGetMin);
  else if (over < kGetTime / 4 && bytes >= get_bytes_ / 2)
    get_bytes_ = std::min(get_bytes_ * 2, kGetMax);
}

}  // namespace s3crate::device
