// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_store.h"

#include <algorithm>
#include <utility>

#include "store/arguments.h"

namespace s3crate::sim {
namespace {

std::uint64_t hash_of(const std::string& name, const SimBucket::Data& data) {
  return sim::hash_of(as_bytes(name)) * 31 ^ (data == nullptr ? 0 : hash_of_end(*data));
}

}  // namespace

// ---- SimBucket ------------------------------------------------------------------------------------

SimBucket::Data SimBucket::peek(const std::string& name) const {
  auto found = objects_.find(name);
  return found == objects_.end() ? nullptr : found->second.data;
}

std::vector<std::string> SimBucket::names() const {
  std::vector<std::string> names;
  for (const auto& [name, object] : objects_) {
    if (object.data != nullptr) names.push_back(name);
  }
  return names;
}

SimBucket::Image SimBucket::image() const {
  Image out;
  for (const auto& [name, object] : objects_) {
    if (object.data != nullptr) out.emplace(name, object.data);
  }
  return out;
}

void SimBucket::restore(const Image& image) {
  objects_.clear();
  stored_bytes_ = 0;
  for (const auto& [name, data] : image) set(name, data);
}

void SimBucket::lose(const std::string& name) {
  counts_.add(Fault::kStoreObjectLost);
  set(name, nullptr);
  objects_.erase(name);
}

void SimBucket::replace(const std::string& name, Bytes data) {
  counts_.add(Fault::kStoreObjectReplaced);
  set(name, std::make_shared<const Bytes>(std::move(data)));
  objects_[name].before = objects_[name].data;
}

bool SimBucket::prune(const std::string& name) {
  if (peek(name) == nullptr) return false;
  set(name, nullptr);
  return true;
}

Duration SimBucket::up_to(Duration max) {
  if (max <= Duration{}) return {};
  // As many short ones as long ones, on every scale.
  auto ns = static_cast<std::uint64_t>(max.count()) >> dice_.below(20);
  return Duration(dice_.below(ns + 1));
}

void SimBucket::settle(MonotonicTime now) {
  while (!later_.empty() && later_.begin()->first <= now) {
    Effect effect = std::move(later_.begin()->second);
    later_.erase(later_.begin());
    executor_.trace(step_id('e', hash_of(effect.name, effect.data)));
    apply(effect.name, std::move(effect.data));
  }
}

bool SimBucket::apply(const std::string& name, Data data) {
  Data old = peek(name);
  if (data == nullptr) {
    removals_ += old != nullptr;
  } else if (old != nullptr) {
    if (faults.put_if_absent) return false;
    ++overwrites_;
  }
  if (old != nullptr || data != nullptr) set(name, std::move(data));
  return true;
}

void SimBucket::set(const std::string& name, Data data) {
  ++changes_;
  Object& object = objects_[name];
  if (object.data != nullptr) stored_bytes_ -= object.data->size();
  if (data != nullptr) stored_bytes_ += data->size();
  object.before = std::exchange(object.data, std::move(data));
  object.stale_until = executor_.monotonic_now() + up_to(faults.stale_max);
}

void SimBucket::apply_later(const std::string& name, Data data) {
  later_.emplace(executor_.monotonic_now() + up_to(faults.late_max), Effect{name, std::move(data)});
}

SimBucket::Data SimBucket::shown(const Object& object) {
  if (executor_.monotonic_now() >= object.stale_until || dice_.coin()) return object.data;
  counts_.add(Fault::kStoreStale);
  return object.before;
}

SimBucket::Data SimBucket::read(const std::string& name) {
  auto found = objects_.find(name);
  return found == objects_.end() ? nullptr : shown(found->second);
}

store::ListPage SimBucket::list(const std::string& prefix, const std::string& start_after,
                                std::size_t max_keys) {
  store::ListPage page;
  auto it = start_after < prefix ? objects_.lower_bound(prefix) : objects_.upper_bound(start_after);
  for (; it != objects_.end() && it->first.starts_with(prefix); ++it) {
    Data data = shown(it->second);
    if (data == nullptr) continue;
    if (page.objects.size() == max_keys) {
      page.more = true;
      break;
    }
    page.objects.push_back({it->first, data->size()});
  }
  return page;
}

bool SimBucket::is_full(std::uint64_t more) const {
  return faults.quota_bytes < stored_bytes_ || more > faults.quota_bytes - stored_bytes_;
}

bool SimBucket::is_away() {
  MonotonicTime now = executor_.monotonic_now();
  if (now >= outage_until_ && dice_.per_million(faults.outage_per_million)) {
    outage_until_ = now + up_to(faults.outage_max);
  }
  if (now >= outage_until_) return false;
  counts_.add(Fault::kStoreOutage);
  return true;
}

bool SimBucket::happens(Fault fault, std::uint32_t per_million) {
  if (!dice_.per_million(per_million)) return false;
  counts_.add(fault);
  return true;
}

// ---- SimStore -------------------------------------------------------------------------------------

tl::unexpected<Error> SimStore::transient(char kind, const std::string& name, std::string_view why) {
  incarnation_->failed(kind, object_target(name));
  return fail(Code::kTransient, "object {}: {}", name, why);
}

Result<> SimStore::travel(std::uint64_t what, std::string_view target) {
  Duration latency = bucket_.latency();
  if (incarnation_->alive() && latency > Duration{}) bucket_.executor().sleep_for(latency);
  return incarnation_->step(what, target);
}

Result<> SimStore::request(char kind, const std::string& name) {
  std::uint64_t what = step_id(kind, sim::hash_of(as_bytes(name)));
  TRY(incarnation_->step(what, object_target(name)));
  TRY(travel(what, object_target(name)));
  bucket_.settle();
  if (bucket_.is_away()) return transient(kind, name, "the store is away");
  if (bucket_.happens(Fault::kStoreTransientBefore, bucket_.faults.transient_before_per_million)) {
    return transient(kind, name, "injected error");
  }
  return {};
}

// False: the name was taken.
Result<bool> SimStore::change(char kind, const std::string& name, SimBucket::Data data) {
  const StoreFaults& faults = bucket_.faults;
  std::uint64_t what = step_id(kind, hash_of(name, data));
  TRY(incarnation_->step(what, object_target(name)));
  if (Result<> sent = travel(what, object_target(name)); !sent) {
    if (bucket_.dice().coin()) {
      bucket_.counts().add(Fault::kStoreLateAfterCrash);
      bucket_.apply_later(name, data);
    }
    return fail(sent.error());
  }
  bucket_.settle();
  if (bucket_.is_away()) return transient(kind, name, "the store is away");
  if (bucket_.happens(Fault::kStoreTransientBefore, faults.transient_before_per_million)) {
    return transient(kind, name, "injected error");
  }
  if (data != nullptr && bucket_.is_full(data->size())) {
    bucket_.counts().add(Fault::kStoreFull);
    return transient(kind, name, "the store is full");
  }
  if (bucket_.happens(Fault::kStoreLate, faults.late_per_million)) {
    bucket_.apply_later(name, data);
    return transient(kind, name, "injected timeout");
  }
  bool done = bucket_.apply(name, data);
  if (bucket_.happens(Fault::kStoreTwice, faults.twice_per_million)) bucket_.apply_later(name, data);
  TRY(travel(what, object_target(name)));
  if (bucket_.happens(Fault::kStoreReplyLost, faults.reply_lost_per_million)) {
    return transient(kind, name, "injected loss of the reply");
  }
  return done;
}

Result<> SimStore::put(const std::string& name, std::span<const ByteView> parts) {
  const Watch watch(Watch::Of::harness);
  TRY(store::check_name(name));
  Bytes data;
  for (ByteView part : parts) append(data, part);
  bool done = TRY(change('P', name, std::make_shared<const Bytes>(std::move(data))));
  if (done && bucket_.faults.put_if_absent &&
      bucket_.happens(Fault::kStoreOwnPutExists, bucket_.faults.own_put_exists_per_million)) {
    done = false;
  }
  if (!done) return fail(Code::kExists, "object {} exists", name);
  return {};
}

Result<SimBucket::Data> SimStore::find(char kind, const std::string& name) {
  TRY(store::check_name(name));
  TRY(request(kind, name));
  SimBucket::Data data = bucket_.read(name);
  TRY(travel(step_id(kind, 0), object_target(name)));
  if (data == nullptr) return store::not_found(name);
  return data;
}

Result<Bytes> SimStore::get(const std::string& name, std::uint64_t max_size) {
  const Watch watch(Watch::Of::harness);
  SimBucket::Data data = TRY(find('G', name));
  if (data->size() > max_size) return store::too_long(name, data->size(), max_size);
  Bytes answer = *data;
  if (answer.empty()) return answer;
  if (bucket_.happens(Fault::kStoreTruncated, bucket_.faults.truncated_per_million)) {
    answer.resize(bucket_.dice().below(answer.size()));
    // Without a length to compare with, the client cannot tell.
    if (bucket_.dice().coin()) return fail(Code::kCorrupt, "object {}: the answer ends early", name);
    return answer;
  }
  if (bucket_.happens(Fault::kStoreBitFlip, bucket_.faults.bit_flip_per_million)) {
    answer[bucket_.dice().below(answer.size())] ^= static_cast<std::uint8_t>(1 << bucket_.dice().below(8));
  }
  return answer;
}

Result<> SimStore::get_range(const std::string& name, std::uint64_t offset, MutableByteView out) {
  const Watch watch(Watch::Of::harness);
  SimBucket::Data data = TRY(find('g', name));
  if (!store::covers(data->size(), offset, out.size())) {
    return store::too_short(name, data->size(), offset, out.size());
  }
  if (bucket_.happens(Fault::kStoreTruncated, bucket_.faults.truncated_per_million)) {
    return fail(Code::kCorrupt, "object {}: the answer ends early", name);
  }
  std::copy_n(data->begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
  if (!out.empty() && bucket_.happens(Fault::kStoreBitFlip, bucket_.faults.bit_flip_per_million)) {
    out[bucket_.dice().below(out.size())] ^= static_cast<std::uint8_t>(1 << bucket_.dice().below(8));
  }
  return {};
}

Result<store::ObjectInfo> SimStore::head(const std::string& name) {
  const Watch watch(Watch::Of::harness);
  SimBucket::Data data = TRY(find('H', name));
  return store::ObjectInfo{name, data->size()};
}

Result<store::ListPage> SimStore::list(const std::string& prefix, const std::string& start_after,
                                       std::size_t max_keys) {
  const Watch watch(Watch::Of::harness);
  TRY(store::check_max_keys(max_keys));
  TRY(request('S', prefix));
  store::ListPage page = bucket_.list(prefix, start_after, max_keys);
  TRY(travel(step_id('S', page.objects.size()), object_target(prefix)));
  return page;
}

Result<> SimStore::remove(const std::string& name) {
  const Watch watch(Watch::Of::harness);
  TRY(store::check_name(name));
  TRY(change('X', name, nullptr));
  return {};
}

std::optional<WallTime> SimStore::store_time() {
  const Watch watch(Watch::Of::harness);
  if (!bucket_.faults.tells_time) return std::nullopt;
  return bucket_.executor().wall_now();
}

store::StoreCaps SimStore::caps() const {
  const Watch watch(Watch::Of::harness);
  return {.put_if_absent = bucket_.faults.put_if_absent,
          .verifies_puts = bucket_.faults.verifies_puts,
          .local = false};
}

}  // namespace s3crate::sim
