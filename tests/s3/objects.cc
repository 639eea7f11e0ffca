// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/s3/objects.h"

namespace s3crate::test::strict {

std::uint64_t ObjectTable::begin_put(const std::string& key) {
  MutexLock lock(mu_);
  under_way_[key].insert(next_ticket_);
  return next_ticket_++;
}

void ObjectTable::end_put(const std::string& key, std::uint64_t ticket) {
  MutexLock lock(mu_);
  auto found = under_way_.find(key);
  if (found == under_way_.end()) return;
  found->second.erase(ticket);
  if (found->second.empty()) under_way_.erase(found);
}

ObjectTable::Put ObjectTable::put(const std::string& key, ObjectPtr object, bool if_absent,
                                  bool report_conflict, std::uint64_t ticket) {
  MutexLock lock(mu_);
  if (if_absent) {
    auto found = objects_.find(key);
    if (found != objects_.end() && found->second.back().object) return Put::kExists;
    auto others = under_way_.find(key);
    if (report_conflict && others != under_way_.end() && *others->second.begin() < ticket)
      return Put::kConflict;
  }
  change(key, std::move(object));
  return Put::kDone;
}

void ObjectTable::remove(const std::string& key) {
  MutexLock lock(mu_);
  if (objects_.contains(key)) change(key, nullptr);
}

void ObjectTable::change(const std::string& key, ObjectPtr object) {
  auto now = std::chrono::steady_clock::now();
  objects_[key].push_back({now, std::move(object)});
  changes_.emplace_back(now, key);
  forget_old(now);
}

// Drops what no stale answer may show any more.
void ObjectTable::forget_old(SteadyTime now) {
  while (!changes_.empty() && changes_.front().first < now - keep_) {
    auto found = objects_.find(changes_.front().second);
    changes_.pop_front();
    if (found == objects_.end()) continue;
    Versions& versions = found->second;
    while (versions.size() > 1 && versions[1].since < now - keep_) versions.erase(versions.begin());
    if (versions.size() == 1 && !versions[0].object) objects_.erase(found);
  }
}

ObjectPtr ObjectTable::seen(const Versions& versions, SteadyTime as_of) {
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    if (version->since <= as_of) return version->object;
  }
  return nullptr;
}

ObjectPtr ObjectTable::get(const std::string& key, SteadyTime as_of) const {
  MutexLock lock(mu_);
  auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : seen(found->second, as_of);
}

std::vector<std::pair<std::string, ObjectPtr>> ObjectTable::list(const std::string& prefix,
                                                                 const std::string& after,
                                                                 std::size_t limit,
                                                                 SteadyTime as_of) const {
  std::vector<std::pair<std::string, ObjectPtr>> out;
  MutexLock lock(mu_);
  auto at = after < prefix ? objects_.lower_bound(prefix) : objects_.upper_bound(after);
  for (; at != objects_.end() && out.size() < limit; ++at) {
    if (!at->first.starts_with(prefix)) break;
    if (auto object = seen(at->second, as_of)) out.emplace_back(at->first, object);
  }
  return out;
}

void ObjectTable::set_keep(std::chrono::milliseconds keep) {
  MutexLock lock(mu_);
  keep_ = keep;
}

}  // namespace s3crate::test::strict
