// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/md5_cache_store.h"

#include <algorithm>

#include "store/arguments.h"

namespace s3crate::store {
namespace {

constexpr Duration kDelayMin = std::chrono::milliseconds(50);
constexpr Duration kDelayMax = std::chrono::seconds(1);

// Whether it says anything about the object at all.
template <typename T>
bool is_answer(const Result<T>& result) {
  return result || is(result, Code::kNotFound) || is(result, Code::kCorrupt);
}

bool is_or_unknown(const auto& expected, const auto& found) { return !expected || *expected == found; }

bool same_md5(const std::optional<crypto::Md5>& expected, ByteView data) {
  return !expected || *expected == crypto::md5({&data, 1});
}

}  // namespace

Md5CacheStore::Md5CacheStore(Env env, ObjectStore& inner, Md5CacheOptions options)
    : clock_(env.clock), inner_(inner), options_(options), changed_(env.executor.cond_var()) {
  CHECK(options_.entries_max > 0);
}

Md5CacheStore::~Md5CacheStore() = default;

void Md5CacheStore::cancel() {
  MutexLock lock(mu_);
  cancelled_ = true;
  changed_->notify_all();
}

Md5CacheStats Md5CacheStore::stats() const {
  MutexLock lock(mu_);
  Md5CacheStats stats = stats_;
  stats.entries = entries_.size();
  return stats;
}

Result<> Md5CacheStore::wait_until(MonotonicTime time) {
  ++stats_.waiting;
  while (!cancelled_ && clock_.monotonic_now() < time) changed_->wait_until(mu_, time);
  --stats_.waiting;
  if (cancelled_) return fail(Code::kCancelled, "stopped");
  return {};
}

// ---- Changes ----------------------------------------------------------------------------------

Md5CacheStore::Entry& Md5CacheStore::entry_of(const std::string& name) {
  const auto [found, is_new] = entries_.try_emplace(name);
  Entry& entry = found->second;
  if (is_new) {
    entry.at = clock_.monotonic_now();
    entry.place = order_.insert(order_.end(), &found->first);
  }
  return entry;
}

void Md5CacheStore::touch(Entry& entry) {
  entry.at = clock_.monotonic_now();
  entry.version = ++versions_;
  order_.splice(order_.end(), order_, entry.place);
  forget_old();
}

Result<> Md5CacheStore::begin_write(const std::string& name, Change change) {
  TRY(check_name(name));
  MutexLock lock(mu_);
  Entry& waiting = entry_of(name);
  const MonotonicTime now = clock_.monotonic_now();
  const MonotonicTime start = std::max(now, waiting.next_write);
  waiting.next_write = start + options_.min_write_delay;
  if (start > now) {
    ++stats_.delayed_writes;
    TRY(wait_until(start));
  }
  Entry& entry = entry_of(name);  // it may have been forgotten meanwhile
  ++entry.writing;
  if (change == Change::remove) ++entry.removing;
  if (entry.writing > 1 && (entry.removing > 0 || !caps().put_if_absent)) entry.muddled = true;
  touch(entry);
  return {};
}

void Md5CacheStore::end_write(const std::string& name, Change change, const Result<>& done, Content content) {
  MutexLock lock(mu_);
  Entry& entry = entries_.at(name);  // it is not forgotten while somebody writes
  if (change == Change::remove) {
    entry.state = done ? State::absent : State::unknown;
  } else if (done) {
    entry.state = State::present;
    entry.content = content;
  } else if (is(done, Code::kExists)) {
    if (entry.state != State::present) entry.content = {};
    entry.state = State::present;
  } else if (entry.state != State::present || !caps().put_if_absent) {
    entry.state = State::unknown;
  }
  if (entry.muddled) entry.state = State::unknown;
  if (change == Change::remove) --entry.removing;
  if (--entry.writing == 0) entry.muddled = false;
  entry.next_write = std::max(entry.next_write, clock_.monotonic_now() + options_.min_write_delay);
  touch(entry);
}

void Md5CacheStore::forget_old() {
  const MonotonicTime now = clock_.monotonic_now();
  const Duration kept = std::max(options_.time, options_.min_write_delay);
  for (auto oldest = order_.begin(); oldest != order_.end();) {
    const auto found = entries_.find(**oldest);
    if (entries_.size() <= options_.entries_max && now < found->second.at + kept) return;
    ++oldest;
    if (found->second.writing > 0) continue;
    order_.erase(found->second.place);
    entries_.erase(found);
  }
}

Result<> Md5CacheStore::put(const std::string& name, std::span<const ByteView> parts) {
  Content content{.size = 0, .md5 = std::nullopt};
  for (ByteView part : parts) *content.size += part.size();
  if (*content.size <= kHashedMax) content.md5 = crypto::md5(parts);
  TRY(begin_write(name, Change::put));
  Result<> done = inner_.put(name, parts);
  end_write(name, Change::put, done, content);
  return done;
}

Result<> Md5CacheStore::remove(const std::string& name) {
  TRY(begin_write(name, Change::remove));
  Result<> done = inner_.remove(name);
  end_write(name, Change::remove, done, {});
  return done;
}

// ---- Reads ------------------------------------------------------------------------------------

std::optional<Md5CacheStore::Known> Md5CacheStore::known(const Entry& entry) const {
  const MonotonicTime until = entry.at + options_.time;
  if (entry.state == State::unknown || entry.writing > 0 || clock_.monotonic_now() >= until) return std::nullopt;
  return Known{entry.state, entry.content, entry.version, until};
}

std::optional<Md5CacheStore::Known> Md5CacheStore::recall(const std::string& name) {
  MutexLock lock(mu_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return std::nullopt;
  return known(found->second);
}

// `agrees` says whether a call's result is what a present object with that content answers.
template <typename Call, typename Agrees>
auto Md5CacheStore::believe(const std::string& name, Call call, Agrees agrees) -> decltype(call()) {
  Duration delay = kDelayMin;
  std::optional<Known> doubt;
  const auto fits = [&](const Known& expected, const auto& result) {
    if (expected.state == State::absent) return is(result, Code::kNotFound);
    return !is(result, Code::kNotFound) && agrees(expected.content, result);
  };
  for (;;) {
    const auto before = recall(name);
    auto result = call();
    if (!is_answer(result)) return result;
    if (!before) {
      if (!doubt || fits(*doubt, result)) return result;
      MutexLock lock(mu_);
      ++stats_.passed_on;
      return result;
    }
    if (fits(*before, result)) return result;
    MutexLock lock(mu_);
    const auto found = entries_.find(name);
    const bool changed = found == entries_.end() || found->second.version != before->version;
    if (changed) continue;
    ++stats_.stale_answers;
    doubt = before;
    auto waited = wait_until(std::min(clock_.monotonic_now() + delay, before->until));
    if (!waited) return fail(waited.error().within(fmt::format("{} answered a stale state of {}", describe(), name)));
    delay = std::min(delay * 2, kDelayMax);
  }
}

Result<Bytes> Md5CacheStore::get(const std::string& name, std::uint64_t max_size) {
  return believe(
      name, [&] { return inner_.get(name, max_size); },
      [&](const Content& content, const Result<Bytes>& result) {
        if (!result) return !content.size || *content.size > max_size;
        return is_or_unknown(content.size, result->size()) && same_md5(content.md5, *result);
      });
}

bool Md5CacheStore::may_come(const std::string& name, MonotonicTime give_up, Duration delay) {
  MutexLock lock(mu_);
  // What is known of it was waited for.
  if (entries_.contains(name) || lost_.contains(name) || lost_in_a_row_ >= kLostInARowMax) return false;
  const MonotonicTime now = clock_.monotonic_now();
  if (now >= give_up) {
    if (lost_.size() < options_.entries_max) lost_.insert(name);
    ++lost_in_a_row_;
    return false;
  }
  ++stats_.stale_answers;
  return wait_until(std::min(now + delay, give_up)).has_value();
}

void Md5CacheStore::note_found(const std::string& name, bool doubted) {
  MutexLock lock(mu_);
  if (lost_.erase(name) > 0 || doubted) lost_in_a_row_ = 0;
}

template <typename Call>
Result<> Md5CacheStore::believe_range(const std::string& name, std::uint64_t offset, MutableByteView out, Call call) {
  return believe(
      name, call,
      [&](const Content& content, const Result<>& result) {
        if (!content.size) return true;
        if (covers(*content.size, offset, out.size()) != result.has_value()) return false;
        const bool whole = offset == 0 && *content.size == out.size();
        return !result || !whole || same_md5(content.md5, out);
      });
}

Result<> Md5CacheStore::get_range(const std::string& name, std::uint64_t offset, MutableByteView out) {
  const MonotonicTime give_up = clock_.monotonic_now() + options_.time;
  bool doubted = false;
  for (Duration delay = kDelayMin;; delay = std::min(delay * 2, kDelayMax)) {
    auto done = believe_range(name, offset, out, [&] { return inner_.get_range(name, offset, out); });
    if (!is(done, Code::kNotFound)) {
      if (done) note_found(name, doubted);
      return done;
    }
    doubted = true;
    if (!may_come(name, give_up, delay)) return done;
  }
}

// Nobody waits for it yet, so a 404 is not doubted for long; who needs it asks again.
Result<> Md5CacheStore::get_range_ahead(const std::string& name, std::uint64_t offset, MutableByteView out) {
  return believe_range(name, offset, out, [&] { return inner_.get_range_ahead(name, offset, out); });
}

Result<ObjectInfo> Md5CacheStore::head(const std::string& name) {
  return believe(
      name, [&] { return inner_.head(name); },
      [&](const Content& content, const Result<ObjectInfo>& result) {
        return !result || is_or_unknown(content.size, result->size);
      });
}

Md5CacheStore::Names Md5CacheStore::recall_range(const std::string& prefix, const std::string& start_after) {
  Names names;
  MutexLock lock(mu_);
  auto it = start_after < prefix ? entries_.lower_bound(prefix) : entries_.upper_bound(start_after);
  for (; it != entries_.end() && it->first.starts_with(prefix); ++it) {
    if (const auto one = known(it->second)) names.emplace(it->first, *one);
  }
  return names;
}

Result<ListPage> Md5CacheStore::list(const std::string& prefix, const std::string& start_after, std::size_t max_keys) {
  Duration delay = kDelayMin;
  for (;;) {
    const Names names = recall_range(prefix, start_after);
    auto page = inner_.list(prefix, start_after, max_keys);
    if (!page) return page;
    MonotonicTime until{};
    MutexLock lock(mu_);
    for (const auto& [name, expected] : names) {
      if (page->more && (page->objects.empty() || name > page->objects.back().name)) break;
      const auto listed = std::ranges::lower_bound(page->objects, name, {}, &ObjectInfo::name);
      const bool there = listed != page->objects.end() && listed->name == name;
      const bool wanted = expected.state == State::present;
      if (there == wanted && (!there || is_or_unknown(expected.content.size, listed->size))) continue;
      const auto entry = entries_.find(name);
      if (entry == entries_.end() || entry->second.version != expected.version) continue;
      until = std::max(until, expected.until);
    }
    const MonotonicTime now = clock_.monotonic_now();
    if (until <= now) return page;
    ++stats_.stale_answers;
    auto waited = wait_until(std::min(now + delay, until));
    if (!waited) return fail(waited.error().within(fmt::format("{} listed a stale state of {}", describe(), prefix)));
    delay = std::min(delay * 2, kDelayMax);
  }
}

}  // namespace s3crate::store
