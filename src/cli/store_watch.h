// SPDX-License-Identifier: GPL-3.0-or-later
// StoreWatch: says on standard error what a command waits for when the store does not answer, and ends its waiting in
// the end. A mount has it until the disk is there; from then on the log and `status` say such things.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/executor.h"
#include "base/result.h"
#include "store/retry_store.h"

namespace s3crate::cli {

// When to say something, and what. For one thread.
class WaitingNotices {
 public:
  // `limit`: after so long from its first error a call is given up that has no limit of its own; nullopt: never.
  WaitingNotices(std::string place, std::optional<Duration> limit) : place_(std::move(place)), limit_(limit) {}
  // A sentence if one is due: a few seconds after the trouble began, then rarely.
  [[nodiscard]] std::optional<std::string> due(MonotonicTime now, const store::Trouble& trouble);

 private:
  const std::string place_;
  const std::optional<Duration> limit_;
  MonotonicTime next_{};
  Duration pause_ = std::chrono::minutes(1);
};

class StoreWatch {
 public:
  using Look = std::function<std::optional<store::Trouble>()>;
  // `give_up` is called once when a call without a limit of its own has failed for `limit`.
  StoreWatch(Env env, std::string place, Duration limit, Look look, std::function<void()> give_up);
  ~StoreWatch();

  // Why it gave up, if it did.
  [[nodiscard]] std::optional<Error> given_up() const;

 private:
  void loop();

  Env env_;
  const std::string place_;
  const Duration limit_;
  const Look look_;
  const std::function<void()> give_up_;
  const std::unique_ptr<CondVar> changed_;
  mutable Mutex mu_;
  bool stopping_ GUARDED_BY(mu_) = false;
  std::optional<Error> given_up_ GUARDED_BY(mu_);
  std::unique_ptr<Task> task_;
};

}  // namespace s3crate::cli
