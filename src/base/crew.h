// SPDX-License-Identifier: GPL-3.0-or-later
// Crew: tasks that stay, and share with their caller work that keeps processors busy. (parallel() makes its tasks anew each time, for
// what mostly waits.)
//
// Threading: run() by one task at a time.
#pragma once

#include <exception>
#include <vector>

#include "base/executor.h"

namespace s3crate {

class Crew {
 public:
  // That many beside the caller, or fewer where no more tasks can be made.
  Crew(Executor& executor, const std::string& name, std::size_t helpers);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // With the caller.
  [[nodiscard]] std::size_t size() const { return helpers_.size() + 1; }
  // Calls each(0) ... each(count - 1), in any order, and returns when all are done. An exception of one comes to the caller then.
  void run(std::size_t count, const std::function<void(std::size_t)>& each);

 private:
  void help();
  void work() REQUIRES(mu_);

  const std::unique_ptr<CondVar> changed_;
  Mutex mu_;
  const std::function<void(std::size_t)>* each_ GUARDED_BY(mu_) = nullptr;
  std::size_t next_ GUARDED_BY(mu_) = 0, count_ GUARDED_BY(mu_) = 0, done_ GUARDED_BY(mu_) = 0;
  std::exception_ptr thrown_ GUARDED_BY(mu_);
  bool ending_ GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<Task>> helpers_;
};

}  // namespace s3crate
