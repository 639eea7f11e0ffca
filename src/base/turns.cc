// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/turns.h"

namespace s3crate {

Turns::Turns(Executor& executor) : at_once_(executor.processors()), changed_(executor.cond_var()) {}

Turns::Place::Place(Turns& turns) : turns_(turns) {
  MutexLock lock(turns_.mu_);
  number_ = ++turns_.last_;
}

Turns::Place::~Place() {
  if (!has_turn_) return;
  MutexLock lock(turns_.mu_);
  --turns_.running_;
  turns_.changed_->notify_all();
}

void Turns::Place::wait() {
  MutexLock lock(turns_.mu_);
  const auto place = turns_.waiting_.insert(number_).first;
  while (turns_.running_ >= turns_.at_once_ || turns_.waiting_.begin() != place) turns_.changed_->wait(turns_.mu_);
  turns_.waiting_.erase(place);
  ++turns_.running_;
  has_turn_ = true;
  turns_.changed_->notify_all();
}

}  // namespace s3crate
