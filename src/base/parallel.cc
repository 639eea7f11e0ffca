// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/parallel.h"

#include <algorithm>
#include <atomic>
#include <vector>

namespace s3crate {

void parallel(Executor& executor, std::size_t count, std::size_t at_once,
              const std::function<void(std::size_t)>& each) {
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) each(i);
  };
  std::vector<std::unique_ptr<Task>> tasks;
  for (std::size_t i = 1; i < std::min(count, at_once); ++i)
    tasks.push_back(executor.spawn("parallel", work));
  work();
}

}  // namespace s3crate
