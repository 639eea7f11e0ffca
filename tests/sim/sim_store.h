// SPDX-License-Identifier: GPL-3.0-or-later
// SimBucket: the objects of a store, in memory; it outlives the processes that use it, which come to it through
// SimStore, the ObjectStore edge of one incarnation.
//
// A put is atomic. With put_if_absent it never replaces anything, whenever it takes effect; without, it does
// (overwrites() counts). Faults are thrown per request:
// - transient before: no effect, kTransient. Reply lost: effect, kTransient.
// - late: kTransient now, the effect at a random later time. Twice: the effect now, and again at a later time.
// - own put exists: effect, then kExists, as when a client library repeats a request whose reply was lost.
// - a request in flight when its process ends may still take effect, at once or later.
// - stale: for up to stale_max after a change, get, head and list may answer from before it; conditions do not.
// - bit flips and cuts of what a get answers; the object itself stays as it is.
// - outages: for a while every request answers kTransient. So does a put into a full store (quota).
// Effects that wait for their time are applied in order of their times, when anybody asks next or by settle_all().
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/object_store.h"
#include "tests/sim/sim_incarnation.h"

namespace s3crate::sim {

struct StoreFaults {
  bool put_if_absent = true;
  bool verifies_puts = true;
  bool tells_time = false;
  std::uint64_t quota_bytes = UINT64_MAX;
  Duration latency_max{};  // of a request, each way
  Duration late_max = std::chrono::minutes(2);
  Duration stale_max{};    // zero: always consistent
  Duration outage_max = std::chrono::minutes(1);
  std::uint32_t transient_before_per_million = 0;
  std::uint32_t reply_lost_per_million = 0;
  std::uint32_t late_per_million = 0;
  std::uint32_t twice_per_million = 0;
  std::uint32_t own_put_exists_per_million = 0;
  std::uint32_t bit_flip_per_million = 0;
  std::uint32_t truncated_per_million = 0;
  std::uint32_t outage_per_million = 0;  // of requests that an outage begins with
};

class SimBucket {
 public:
  using Data = std::shared_ptr<const Bytes>;  // null: not there

  SimBucket(SimExecutor& executor, Dice dice, FaultCounts& counts)
      : executor_(executor), dice_(dice), counts_(counts) {}
  SimBucket(const SimBucket&) = delete;
  SimBucket& operator=(const SimBucket&) = delete;

  StoreFaults faults;

  // For drivers and oracles: no steps, no faults, no time.
  [[nodiscard]] Data peek(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::uint64_t overwrites() const { return overwrites_; }
  [[nodiscard]] std::uint64_t removals() const { return removals_; }
  // All objects, for another bucket to begin with.
  using Image = std::map<std::string, Data>;
  [[nodiscard]] Image image() const;
  void restore(const Image& image);
  [[nodiscard]] std::uint64_t changes() const { return changes_; }  // grows with every change of an image
  void lose(const std::string& name);
  void replace(const std::string& name, Bytes data);
  // On purpose, as what nobody needs. False if it is not there.
  bool prune(const std::string& name);
  void outage_until(MonotonicTime until) { outage_until_ = until; }
  void settle_all() { settle(MonotonicTime::max()); }
  [[nodiscard]] std::size_t waiting_effects() const { return later_.size(); }

  // The rest is for SimStore.
  void settle() { settle(executor_.monotonic_now()); }
  // A put, or a removal (null); false if a put found the name taken.
  bool apply(const std::string& name, Data data);
  void apply_later(const std::string& name, Data data);
  [[nodiscard]] Data read(const std::string& name);  // what a reader is shown now
  [[nodiscard]] store::ListPage list(const std::string& prefix, const std::string& start_after,
                                     std::size_t max_keys);
  [[nodiscard]] bool is_full(std::uint64_t more) const;
  [[nodiscard]] bool is_away();
  [[nodiscard]] bool happens(Fault fault, std::uint32_t per_million);
  [[nodiscard]] Duration latency() { return up_to(faults.latency_max); }
  [[nodiscard]] SimExecutor& executor() { return executor_; }
  [[nodiscard]] Dice& dice() { return dice_; }
  [[nodiscard]] FaultCounts& counts() { return counts_; }

 private:
  struct Object {
    Data data;
    Data before;  // what stale readers see
    MonotonicTime stale_until{};
  };
  struct Effect {
    std::string name;
    Data data;
  };

  Duration up_to(Duration max);
  void settle(MonotonicTime now);
  Data shown(const Object& object);
  void set(const std::string& name, Data data);

  SimExecutor& executor_;
  Dice dice_;
  FaultCounts& counts_;
  std::map<std::string, Object> objects_;
  std::multimap<MonotonicTime, Effect> later_;
  std::uint64_t stored_bytes_ = 0;
  MonotonicTime outage_until_{};
  std::uint64_t overwrites_ = 0;
  std::uint64_t removals_ = 0;
  std::uint64_t changes_ = 0;
};

class SimStore final : public store::ObjectStore {
 public:
  SimStore(SimBucket& bucket, std::shared_ptr<Incarnation> incarnation)
      : bucket_(bucket), incarnation_(std::move(incarnation)) {}

  using store::ObjectStore::put;
  Result<> put(const std::string& name, std::span<const ByteView> parts) override;
  Result<Bytes> get(const std::string& name, std::uint64_t max_size) override;
  Result<> get_range(const std::string& name, std::uint64_t offset, MutableByteView out) override;
  Result<store::ObjectInfo> head(const std::string& name) override;
  Result<store::ListPage> list(const std::string& prefix, const std::string& start_after,
                               std::size_t max_keys) override;
  Result<> remove(const std::string& name) override;
  std::optional<WallTime> store_time() override;
  store::StoreCaps caps() const override;
  std::string describe() const override { return "sim://bucket"; }

 private:
  tl::unexpected<Error> transient(char kind, const std::string& name, std::string_view why);
  Result<> travel(std::uint64_t what, std::string_view target);
  Result<> request(char kind, const std::string& name);
  Result<bool> change(char kind, const std::string& name, SimBucket::Data data);
  Result<SimBucket::Data> find(char kind, const std::string& name);

  SimBucket& bucket_;
  const std::shared_ptr<Incarnation> incarnation_;
};

}  // namespace s3crate::sim
