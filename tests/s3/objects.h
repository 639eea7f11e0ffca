// SPDX-License-Identifier: GPL-3.0-or-later
// The strict server's objects, in memory, with what they were a short while ago for stale answers.
#pragma once

#include <chrono>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "tests/s3/message.h"

namespace s3crate::test::strict {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Object {
  std::shared_ptr<const Blob> content;
  std::string etag;  // without quotes
  std::time_t modified = 0;
  std::map<std::string, std::string> headers;  // storage class, encryption, content type
};
using ObjectPtr = std::shared_ptr<const Object>;

// Thread-safe.
class ObjectTable {
 public:
  enum class Put { kDone, kExists, kConflict };

  // A PUT of the key is under way until its ticket is given back.
  [[nodiscard]] std::uint64_t begin_put(const std::string& key);
  void end_put(const std::string& key, std::uint64_t ticket);

  // With `if_absent`, kExists if there is one, in one step; kConflict (only if asked for) while an
  // earlier PUT of the key is under way, so one of many always gets through.
  [[nodiscard]] Put put(const std::string& key, ObjectPtr object, bool if_absent,
                        bool report_conflict, std::uint64_t ticket);
  void remove(const std::string& key);

  // As of a moment not further back than `keep`.
  [[nodiscard]] ObjectPtr get(const std::string& key, SteadyTime as_of) const;
  // Up to `limit` that begin with `prefix` and follow `after`.
  [[nodiscard]] std::vector<std::pair<std::string, ObjectPtr>> list(const std::string& prefix,
                                                                    const std::string& after,
                                                                    std::size_t limit,
                                                                    SteadyTime as_of) const;
  void set_keep(std::chrono::milliseconds keep);

 private:
  struct Version {
    SteadyTime since;
    ObjectPtr object;  // null: it was gone
  };
  using Versions = std::vector<Version>;  // never empty, oldest first

  void change(const std::string& key, ObjectPtr object) REQUIRES(mu_);
  void forget_old(SteadyTime now) REQUIRES(mu_);
  static ObjectPtr seen(const Versions& versions, SteadyTime as_of);

  mutable Mutex mu_;
  std::map<std::string, Versions> objects_ GUARDED_BY(mu_);
  std::deque<std::pair<SteadyTime, std::string>> changes_ GUARDED_BY(mu_);
  std::map<std::string, std::set<std::uint64_t>> under_way_ GUARDED_BY(mu_);
  std::uint64_t next_ticket_ GUARDED_BY(mu_) = 1;
  std::chrono::milliseconds keep_ GUARDED_BY(mu_){1000};
};

}  // namespace s3crate::test::strict
