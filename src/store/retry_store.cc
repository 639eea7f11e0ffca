// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/retry_store.h"

#include <algorithm>

namespace s3crate::store {

RetryStore::RetryStore(Env env, ObjectStore& inner, RetryOptions options)
    : clock_(env.clock),
      random_(env.random),
      inner_(inner),
      options_(options),
      budget_interval_(Duration(std::chrono::seconds(1)) / options.budget_per_second),
      changed_(env.executor.cond_var()) {
  CHECK(options_.delay_min > Duration::zero() && options_.delay_max >= options_.delay_min);
  CHECK(options_.budget_burst > 0 && options_.budget_per_second > 0);
}

RetryStore::~RetryStore() = default;

void RetryStore::cancel() {
  MutexLock lock(mu_);
  cancelled_ = true;
  changed_->notify_all();
}

RetryStats RetryStore::stats() const {
  const MonotonicTime now = clock_.monotonic_now();
  MutexLock lock(mu_);
  RetryStats stats = stats_;
  stats.waiting = static_cast<std::uint64_t>(std::ranges::count_if(
      under_way_, [&](const UnderWay& call) { return !call.why.empty() && now - call.since >= kTroubleAfter; }));
  return stats;
}

// Decorrelated jitter: anything between the shortest delay and three times the last, so that
// clients that failed together do not come back together.
Duration RetryStore::next_delay(Duration last) {
  Duration longest = last > options_.delay_max / 3 ? options_.delay_max : last * 3;
  std::uint64_t span = static_cast<std::uint64_t>((longest - options_.delay_min).count()) + 1;
  return options_.delay_min + Duration(static_cast<Duration::rep>(random_.u64() % span));
}

// ---- The budget: a token bucket, kept as the time from which on it is full again -------------------

// Answers from when on one more repetition may be made.
MonotonicTime RetryStore::spend(MonotonicTime now) {
  budget_free_ = std::max(budget_free_, now - options_.budget_burst * budget_interval_) + budget_interval_;
  return budget_free_;
}

void RetryStore::earn() {
  MutexLock lock(mu_);
  if (budget_free_ > MonotonicTime{}) budget_free_ -= budget_interval_;
}

// ---- Calls under way ----------------------------------------------------------------------------

class RetryStore::Entry {
 public:
  Entry(RetryStore& store, std::optional<Duration> limit) : store_(store) {
    const MonotonicTime now = store_.clock_.monotonic_now();
    if (limit) deadline = now + *limit;
    MutexLock lock(store_.mu_);
    place_ = store_.under_way_.insert(store_.under_way_.end(), UnderWay{now, deadline, {}, {}});
  }
  ~Entry() {
    MutexLock lock(store_.mu_);
    store_.under_way_.erase(place_);
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  [[nodiscard]] Place place() const { return place_; }

  MonotonicTime deadline = MonotonicTime::max();

 private:
  RetryStore& store_;
  Place place_;
};

std::optional<Trouble> RetryStore::trouble() const {
  const MonotonicTime now = clock_.monotonic_now();
  MutexLock lock(mu_);
  if (under_way_.empty()) return std::nullopt;
  auto oldest = std::ranges::find_if(under_way_, [](const UnderWay& call) { return !call.why.empty(); });
  if (oldest == under_way_.end()) oldest = under_way_.begin();
  Trouble trouble{oldest->why, now - oldest->since, std::nullopt, oldest->why.empty() ? Duration::zero() : now - oldest->failed};
  if (oldest->deadline != MonotonicTime::max()) trouble.left = std::max(oldest->deadline - now, Duration::zero());
  return trouble;
}

Result<> RetryStore::wait(Place call, const Error& why, Duration delay) {
  const MonotonicTime now = clock_.monotonic_now();
  MutexLock lock(mu_);
  if (call->why.empty()) call->failed = now;
  call->why = why.message();
  const MonotonicTime due = std::min(std::max(now + delay, spend(now)), call->deadline);
  while (!cancelled_ && clock_.monotonic_now() < due) changed_->wait_until(mu_, due);
  if (cancelled_) return fail(Code::kCancelled, "stopped while the store was away");
  ++stats_.retries;
  return {};
}

std::optional<Duration> RetryStore::limit_of(Patience patience) const {
  if (patience == Patience::of_puts) return options_.put_timeout;
  const bool ahead = patience == Patience::of_reads_ahead;
  return ahead ? std::min(options_.ahead_timeout, options_.outage_timeout) : options_.outage_timeout;
}

template <typename Call>
auto RetryStore::retry(Patience patience, Call call) -> decltype(call()) {
  const Entry entry(*this, limit_of(patience));
  int corrupt_left = caps().local ? 0 : options_.corrupt_retries_max;
  Duration delay = options_.delay_min;
  for (;;) {
    auto result = call();
    if (!is(result, Code::kTransient) && (!is(result, Code::kCorrupt) || corrupt_left-- <= 0)) {
      earn();
      return result;
    }
    if (clock_.monotonic_now() >= entry.deadline) {
      MutexLock lock(mu_);
      ++(patience == Patience::of_reads_ahead ? stats_.given_up_ahead : stats_.given_up);
      return result;
    }
    delay = next_delay(delay);
    Result<> waited = wait(entry.place(), result.error(), delay);
    if (!waited) return fail(waited.error().within(result.error().message()));
  }
}

Result<> RetryStore::put(const std::string& name, std::span<const ByteView> parts) {
  return retry(Patience::of_puts, [&] { return inner_.put(name, parts); });
}

Result<Bytes> RetryStore::get(const std::string& name, std::uint64_t max_size) {
  return retry(Patience::of_reads, [&] { return inner_.get(name, max_size); });
}

Result<> RetryStore::get_range(const std::string& name, std::uint64_t offset, MutableByteView out) {
  return retry(Patience::of_reads, [&] { return inner_.get_range(name, offset, out); });
}

Result<> RetryStore::get_range_ahead(const std::string& name, std::uint64_t offset,
                                     MutableByteView out) {
  return retry(Patience::of_reads_ahead, [&] { return inner_.get_range_ahead(name, offset, out); });
}

Result<ObjectInfo> RetryStore::head(const std::string& name) {
  return retry(Patience::of_reads, [&] { return inner_.head(name); });
}

Result<ListPage> RetryStore::list(const std::string& prefix, const std::string& start_after,
                                  std::size_t max_keys) {
  return retry(Patience::of_reads, [&] { return inner_.list(prefix, start_after, max_keys); });
}

Result<> RetryStore::remove(const std::string& name) {
  return retry(Patience::of_puts, [&] { return inner_.remove(name); });
}

}  // namespace s3crate::store
