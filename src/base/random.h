// SPDX-License-Identifier: GPL-3.0-or-later
// Random: the only source of randomness. Thread-safe. The system's is fit for keys and nonces.
#pragma once

#include <array>

#include "base/bytes.h"

namespace s3crate {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableByteView out) = 0;

  template <std::size_t N>
  [[nodiscard]] std::array<std::uint8_t, N> array() {
    std::array<std::uint8_t, N> out;
    fill(out);
    return out;
  }
  [[nodiscard]] std::uint64_t u64() {
    std::uint64_t v;
    fill({reinterpret_cast<std::uint8_t*>(&v), sizeof v});
    return v;
  }
};

// getrandom(2).
Random& system_random();

}  // namespace s3crate
