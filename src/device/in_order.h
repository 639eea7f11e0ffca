// SPDX-License-Identifier: GPL-3.0-or-later
// in_order(): a line of items, each of which is worked on beside the others and finished in its turn. What waits for its turn
// takes one worker each, so no more than `workers` items are ever held.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/executor.h"
#include "base/result.h"

namespace s3crate::device {

template <typename Item>
struct InOrder {
  std::function<Result<std::optional<Item>>()> next;  // one call at a time; nullopt: that was the last
  std::function<Result<>(Item&)> work;                // side by side
  std::function<Result<>(Item&)> finish;              // one at a time, in the order of next()
};

// Until all is done, or the first error.
template <typename Item>
class InOrderRun {
 public:
  InOrderRun(Executor& executor, const InOrder<Item>& line) : line_(line), changed_(executor.cond_var()) {}

  Result<> run(Executor& executor, std::size_t workers) {
    std::vector<std::unique_ptr<Task>> tasks;
    for (std::size_t i = 0; i < workers; ++i) tasks.push_back(executor.spawn("transfer", [this] { work(); }));
    tasks.clear();
    MutexLock lock(mu_);
    return failed_ ? Result<>(fail(*failed_)) : Result<>();
  }

 private:
  struct Taken {
    Item item;
    std::uint64_t number = 0;
  };

  void work() {
    for (;;) {
      auto taken = take();
      if (!taken) return;
      if (auto worked = line_.work(taken->item); !worked) return stop(worked.error());
      if (!wait_for_turn(taken->number)) return;
      if (auto finished = line_.finish(taken->item); !finished) return stop(finished.error());
      MutexLock lock(mu_);
      ++turn_;
      changed_->notify_all();
    }
  }

  std::optional<Taken> take() {
    {
      MutexLock lock(mu_);
      while (taking_ && !ended_ && !failed_) changed_->wait(mu_);
      if (ended_ || failed_) return std::nullopt;
      taking_ = true;
    }
    auto next = line_.next();
    MutexLock lock(mu_);
    taking_ = false;
    changed_->notify_all();
    if (!next && !failed_) failed_ = next.error();
    if (!next || !*next) ended_ = true;
    if (ended_) return std::nullopt;
    return Taken{std::move(**next), taken_++};
  }

  bool wait_for_turn(std::uint64_t number) {
    MutexLock lock(mu_);
    while (turn_ != number && !failed_) changed_->wait(mu_);
    return !failed_;
  }

  void stop(const Error& why) {
    MutexLock lock(mu_);
    if (!failed_) failed_ = why;
    changed_->notify_all();
  }

  const InOrder<Item>& line_;
  const std::unique_ptr<CondVar> changed_;
  Mutex mu_;
  bool taking_ GUARDED_BY(mu_) = false;
  bool ended_ GUARDED_BY(mu_) = false;
  std::uint64_t taken_ GUARDED_BY(mu_) = 0;
  std::uint64_t turn_ GUARDED_BY(mu_) = 0;
  std::optional<Error> failed_ GUARDED_BY(mu_);
};

template <typename Item>
[[nodiscard]] Result<> in_order(Executor& executor, std::size_t workers, const InOrder<Item>& line) {
  return InOrderRun<Item>(executor, line).run(executor, workers);
}

}  // namespace s3crate::device
