// SPDX-License-Identifier: GPL-3.0-or-later
// What is measured in a process of its own, which begins cold and holds nothing but the program: a
// mount, a look at the past, writing. Each answers an object of numbers.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "volume/volume.h"

namespace s3crate::bench {

struct Job {
  std::string what;          // "open", "history", "mount", "random", "sequential"
  std::string store;         // as ScaleStore::handed_on() says
  std::uint64_t number = 0;  // of the generation to open; the newest one
  // The blocks of the disk that are looked at and written.
  std::uint64_t from = 0, to = 0;
  std::uint64_t rounds = 0;  // one checkpoint each
  std::uint64_t checkpoint_runs = 100'000;
};

// Runs it in a new process of this program.
[[nodiscard]] nlohmann::json run(const Job& job);
// In that process. `arguments`: as run() gave them.
[[nodiscard]] Result<nlohmann::json> run_here(std::span<char* const> arguments);

[[nodiscard]] volume::KeySource the_key();

}  // namespace s3crate::bench
