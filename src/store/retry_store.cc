// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/retry_store.h"

#include <algorithm>

namespace s3crate::store {

RetryStore::RetryStore(Env env, ObjectStore& inner, RetryOptions options)
    : clock_(env.clock),
      random_(env.random),
      inner_(inner),
      options_(options),
      changed_(env.executor.cond_var()) {
  CHECK(options_.delay_min > Duration::zero() && options_.delay_max >= options_.delay_min);
}

RetryStore::~RetryStore() = default;

void RetryStore::cancel() {
  MutexLock lock(mu_);
  cancelled_ = true;
  changed_->notify_all();
}

RetryStats RetryStore::stats() const {
  MutexLock lock(mu_);
  return stats_;
}

// Decorrelated jitter: anything between the shortest delay and three times the last, so that
// clients that failed together do not come back together.
Duration RetryStore::next_delay(Duration last) {
  Duration longest = last > options_.delay_max / 3 ? options_.delay_max : last * 3;
  std::uint64_t span = static_cast<std::uint64_t>((longest - options_.delay_min).count()) + 1;
  return options_.delay_min + Duration(static_cast<Duration::rep>(random_.u64() % span));
}

Result<> RetryStore::wait_until(MonotonicTime time) {
  MutexLock lock(mu_);
  ++stats_.waiting;
  while (!cancelled_ && clock_.monotonic_now() < time) changed_->wait_until(mu_, time);
  --stats_.waiting;
  if (cancelled_) return fail(Code::kCancelled, "stopped while the store was away");
  ++stats_.retries;
  return {};
}

template <typename Call>
auto RetryStore::retry(Patience patience, Call call) -> decltype(call()) {
  const std::optional<Duration> limit =
      patience == Patience::of_reads ? options_.outage_timeout : options_.put_timeout;
  const MonotonicTime deadline =
      limit ? clock_.monotonic_now() + *limit : MonotonicTime::max();
  int corrupt_left = caps().local ? 0 : options_.corrupt_retries_max;
  Duration delay = options_.delay_min;
  for (;;) {
    auto result = call();
    if (is(result, Code::kCorrupt)) {
      if (corrupt_left-- <= 0) return result;
    } else if (!is(result, Code::kTransient)) {
      return result;
    }
    MonotonicTime now = clock_.monotonic_now();
    if (now >= deadline) {
      MutexLock lock(mu_);
      ++stats_.given_up;
      return result;
    }
    delay = next_delay(delay);
    Result<> waited = wait_until(std::min(now + delay, deadline));
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
