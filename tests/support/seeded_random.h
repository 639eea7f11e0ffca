// SPDX-License-Identifier: GPL-3.0-or-later
// SeededRandom: a Random that gives the same bytes for the same seed.
#pragma once

#include <random>

#include "base/mutex.h"
#include "base/random.h"

namespace s3crate::test {

class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  void fill(MutableByteView out) override {
    MutexLock lock(mu_);
    for (auto& byte : out) byte = static_cast<std::uint8_t>(engine_());
  }

 private:
  Mutex mu_;
  std::mt19937_64 engine_ GUARDED_BY(mu_);
};

}  // namespace s3crate::test
