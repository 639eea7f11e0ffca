// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/turns.h"

namespace s3crate {

Turns::Turns(Env env) : clock_(env.clock), at_once_(env.executor.processors()), changed_(env.executor.cond_var()) {}

Turns::Place::Place(Turns& turns) : turns_(turns) {
  MutexLock lock(turns_.mu_);
  number_ = ++turns_.last_;
}

Duration Turns::Place::waited() const {
  MutexLock lock(turns_.mu_);
  return waited_;
}

Turns::Turn::Turn(Place& place) : turns_(place.turns_) {
  const MonotonicTime from = turns_.clock_.monotonic_now();
  MutexLock lock(turns_.mu_);
  turns_.waiting_.insert(place.number_);
  while (turns_.running_ >= turns_.at_once_ || *turns_.waiting_.begin() != place.number_) turns_.changed_->wait(turns_.mu_);
  turns_.waiting_.erase(turns_.waiting_.begin());
  ++turns_.running_;
  place.waited_ += turns_.clock_.monotonic_now() - from;
  turns_.changed_->notify_all();
}

Turns::Turn::~Turn() {
  MutexLock lock(turns_.mu_);
  --turns_.running_;
  turns_.changed_->notify_all();
}

}  // namespace s3crate
