// SPDX-License-Identifier: GPL-3.0-or-later
// Turns: work that keeps processors busy is done by as many tasks at a time as there are processors, and what was begun first goes
// first. So what somebody waits for is done early, where all at a time would be done late, and together.
//
// Threading: thread-safe; who waits for a turn waits for those who have one, and for nothing else.
#pragma once

#include <set>

#include "base/executor.h"

namespace s3crate {

class Turns {
 public:
  explicit Turns(Env env);
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // A place in the line, from when it was made. Several tasks may use it.
  class Place {
   public:
    explicit Place(Turns& turns);
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // How long its turns were waited for, all together.
    [[nodiscard]] Duration waited() const;

   private:
    friend class Turns;
    Turns& turns_;
    std::uint64_t number_;
    Duration waited_{};  // guarded by turns_.mu_
  };

  // Waits for a processor, and for those with an earlier place who wait as well; has the turn until its end.
  class Turn {
   public:
    explicit Turn(Place& place);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Turns& turns_;
  };

 private:
  Clock& clock_;
  const std::size_t at_once_;
  const std::unique_ptr<CondVar> changed_;
  Mutex mu_;  // a leaf
  std::uint64_t last_ GUARDED_BY(mu_) = 0;
  std::multiset<std::uint64_t> waiting_ GUARDED_BY(mu_);  // their places
  std::size_t running_ GUARDED_BY(mu_) = 0;
};

}  // namespace s3crate
