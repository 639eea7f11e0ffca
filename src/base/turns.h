// SPDX-License-Identifier: GPL-3.0-or-later
// Turns: work that keeps processors busy is done by as many tasks at a time as there are processors, and what was begun first goes
// first. So what somebody waits for is done early, where all at a time would be done late, and together.
//
// Threading: thread-safe; a waiting task is waiting for the tasks that have a turn, and for nothing else.
#pragma once

#include <memory>
#include <set>

#include "base/executor.h"

namespace s3crate {

class Turns {
 public:
  explicit Turns(Executor& executor);
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // A place in the line, from when it was made.
  class Place {
   public:
    explicit Place(Turns& turns);
    // Ends the turn.
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    // Waits for the turn: for those with an earlier place who wait as well, and for a processor.
    void wait();

   private:
    Turns& turns_;
    std::uint64_t number_;
    bool has_turn_ = false;
  };

 private:
  const std::size_t at_once_;
  const std::unique_ptr<CondVar> changed_;
  Mutex mu_;
  std::uint64_t last_ GUARDED_BY(mu_) = 0;
  std::set<std::uint64_t> waiting_ GUARDED_BY(mu_);
  std::size_t running_ GUARDED_BY(mu_) = 0;
};

}  // namespace s3crate
