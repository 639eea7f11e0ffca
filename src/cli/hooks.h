// SPDX-License-Identifier: GPL-3.0-or-later
// Hooks: programs of the user's that a mount runs before and after what it does (--hook DIR): DIR/pre-EVENT and DIR/post-EVENT, for
// mount, commit, snapshot and umount; what is not there is not run. What happens is told in the environment, which has nothing else
// of this process's: no secret that it was given comes into it.
//
// Each has a time limit, after which it is ended. A pre- hook that fails stops the action; a post- hook that fails is logged. Files that
// others may write are not run, as they would let others act as this user.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/strong.h"

namespace s3crate::cli {

using HookFacts = std::map<std::string, std::string>;

class Hooks {
 public:
  // An empty `directory`: there are none. `always`: facts that all are told.
  Hooks(Env env, std::string directory, Duration limit, HookFacts always);
  ~Hooks();

  // Whether DIR can be used. kBadArgument.
  [[nodiscard]] Result<> check() const;
  // Runs `name` ("pre-mount") and waits for it. kIo: it failed, or was ended; its last words are in the message. What it prints
  // goes to the log.
  [[nodiscard]] Result<> run(const std::string& name, const HookFacts& facts);
  // The same, for a post- hook; a failure is logged.
  void run_logged(const std::string& name, const HookFacts& facts);

  // pre-commit. Fails as long as the hook does, for ten minutes; then commits go on, each after it was asked, until it succeeds again.
  [[nodiscard]] Result<> before_commit();
  // post-commit, by a task of its own: of commits that come meanwhile, the newest.
  void after_commit(Generation generation);
  // Ends one, now or as soon as it runs.
  void end(const std::string& name);
  // Ends what is running; nothing is run any more but post-umount.
  void stop();

 private:
  [[nodiscard]] Result<std::string> find(const std::string& name) const;
  [[nodiscard]] Result<> run_program(const std::string& path, const std::string& name, const HookFacts& facts);
  void tell_commits();

  Env env_;
  const std::string directory_;
  const Duration limit_;
  const HookFacts always_;
  std::optional<MonotonicTime> refused_since_;  // of pre-commit; the committing task's alone

  Mutex mu_;
  std::unique_ptr<CondVar> changed_;
  bool stopped_ GUARDED_BY(mu_) = false;
  std::string ended_ GUARDED_BY(mu_);
  std::optional<Generation> to_tell_ GUARDED_BY(mu_);
  std::unique_ptr<Task> teller_ GUARDED_BY(mu_);
};

}  // namespace s3crate::cli
