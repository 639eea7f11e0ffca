// SPDX-License-Identifier: GPL-3.0-or-later
// RetryStore: turns an outage into a stall. What the store below answers with kTransient is asked
// again, after waits that grow from delay_min towards delay_max with decorrelated jitter: reads
// until outage_timeout has passed since the call began, puts and removes without limit (unless a short
// command sets one), because giving one up would leave its outcome unknown; reads ahead until
// ahead_timeout, because somebody may come to wait for one of them, and has patience of his own. An answer
// over the network that is kCorrupt is asked for again a few times; a local one is the truth.
//
// All calls together have a budget of repetitions (as the AWS SDKs have, though there a call fails that finds it used
// up, and here it waits longer): one for each call that is answered, budget_per_second besides, and up to
// budget_burst saved up. So a store that fails now and then is not slowed down, and one that is
// dying is asked at most so often, however many callers there are.
//
// A put that was repeated may answer kExists because an earlier try of the same call was done: as
// always with kExists, the caller compares.
//
// After cancel() nothing waits any more, now or later: every call still gets its one try, and what
// would have been repeated is kCancelled.
#pragma once

#include <list>
#include <optional>
#include <string>

#include "base/executor.h"
#include "store/object_store.h"

namespace s3crate::store {

struct RetryOptions {
  Duration delay_min = std::chrono::milliseconds(5);
  Duration delay_max = std::chrono::seconds(10);
  Duration outage_timeout = std::chrono::minutes(10);
  Duration ahead_timeout = std::chrono::seconds(1);
  std::optional<Duration> put_timeout = {};  // of puts and removes as well
  int corrupt_retries_max = 2;
  int budget_burst = 100;      // over 0
  int budget_per_second = 10;  // over 0
};

struct RetryStats {
  std::uint64_t retries = 0;   // calls repeated, ever
  std::uint64_t given_up = 0;  // reads that outage_timeout ended
  std::uint64_t given_up_ahead = 0;  // reads ahead that ahead_timeout ended: nobody heard of them
  std::uint64_t waiting = 0;   // calls that have gone on in vain for kTroubleAfter or longer
};

// A call that is not answered yet.
struct Trouble {
  std::string why;               // its newest error; empty: its first try is still under way
  Duration lasting{};            // since it began
  std::optional<Duration> left;  // until it is given up; nullopt: never
  Duration failing{};            // since its first error
};

class RetryStore final : public ObjectStore {
 public:
  // A store that turns away one request in five is no store that is away.
  static constexpr Duration kTroubleAfter = std::chrono::seconds(1);

  // `inner` must outlive this.
  RetryStore(Env env, ObjectStore& inner, RetryOptions options);
  ~RetryStore() override;

  void cancel();
  [[nodiscard]] RetryStats stats() const;
  // The one that has waited longest of the calls that were tried in vain; if there is none, of those
  // whose first try is under way.
  [[nodiscard]] std::optional<Trouble> trouble() const;

  using ObjectStore::put;
  [[nodiscard]] Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  [[nodiscard]] Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  [[nodiscard]] Result<> get_range(const std::string& name, std::uint64_t offset,
                                   MutableByteView out) override;
  [[nodiscard]] Result<> get_range_ahead(const std::string& name, std::uint64_t offset,
                                         MutableByteView out) override;
  [[nodiscard]] Result<ObjectInfo> head(const std::string& name) override;
  [[nodiscard]] Result<ListPage> list(const std::string& prefix, const std::string& start_after,
                                      std::size_t max_keys) override;
  [[nodiscard]] Result<> remove(const std::string& name) override;
  [[nodiscard]] std::optional<WallTime> store_time() override { return inner_.store_time(); }
  [[nodiscard]] StoreCaps caps() const override { return inner_.caps(); }
  [[nodiscard]] std::string describe() const override { return inner_.describe(); }

 private:
  enum class Patience { of_reads, of_reads_ahead, of_puts };
  struct UnderWay {
    MonotonicTime since, deadline;
    std::string why;
    MonotonicTime failed{};  // first, if it has a why
  };
  using Place = std::list<UnderWay>::iterator;
  class Entry;
  [[nodiscard]] std::optional<Duration> limit_of(Patience patience) const;
  template <typename Call>
  auto retry(Patience patience, Call call) -> decltype(call());
  [[nodiscard]] Duration next_delay(Duration last);
  // After a failed try: until the next one is due. kCancelled if cancelled before or meanwhile.
  [[nodiscard]] Result<> wait(Place call, const Error& why, Duration delay);
  [[nodiscard]] MonotonicTime spend(MonotonicTime now) REQUIRES(mu_);
  void earn();

  Clock& clock_;
  Random& random_;
  ObjectStore& inner_;
  const RetryOptions options_;
  const Duration budget_interval_;
  const std::unique_ptr<CondVar> changed_;

  mutable Mutex mu_;
  bool cancelled_ GUARDED_BY(mu_) = false;
  RetryStats stats_ GUARDED_BY(mu_);
  std::list<UnderWay> under_way_ GUARDED_BY(mu_);  // the oldest first
  MonotonicTime budget_free_ GUARDED_BY(mu_){};     // when all repetitions so far are paid for
};

}  // namespace s3crate::store
