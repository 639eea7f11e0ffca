// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>
#include <vector>

namespace s3crate {

void parallel(Executor& executor, std::size_t count, std::size_t at_once,
              const std::function<void(std::size_t)>& each) {
  std::atomic<std::size_t> next{0};
  Mutex mu;
  std::exception_ptr thrown;
  const auto work = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) each(i);
    } catch (...) {
      next = count;
      MutexLock lock(mu);
      thrown = std::current_exception();
    }
  };
  {
    std::vector<std::unique_ptr<Task>> tasks;
    try {
      for (std::size_t i = 1; i < std::min(count, at_once); ++i) tasks.push_back(executor.spawn("parallel", work));
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {
    }
    work();
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace s3crate
