// SPDX-License-Identifier: GPL-3.0-or-later
// Dice: where every decision of the simulator comes from. SimRandom: the same behind the Random edge.
//
// Deterministic and fast (xoshiro256**, seeded by splitmix64); fit for nothing else. Each part of a world has
// dice of its own, forked by a label, so that one more throw in one part does not change all the others.
#pragma once

#include <array>
#include <bit>
#include <cstring>

#include "base/random.h"
#include "tests/sim/sim_fiber.h"

namespace s3crate::sim {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) {
    for (std::uint64_t& s : s_) {
      seed += 0x9e3779b97f4a7c15;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      s = z ^ (z >> 31);
    }
  }

  std::uint64_t u64() {
    std::uint64_t result = std::rotl(s_[1] * 5, 7) * 9;
    std::uint64_t t = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= t;
    s_[3] = std::rotl(s_[3], 45);
    return result;
  }

  // 0 to n - 1; n > 0. The bias of at most n / 2^64 does not matter here.
  std::uint64_t below(std::uint64_t n) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((static_cast<Wide>(u64()) * n) >> 64);
  }
  std::uint64_t between(std::uint64_t first, std::uint64_t last) {
    return first + below(last - first + 1);
  }
  bool coin() { return (u64() >> 63) != 0; }
  bool percent(std::uint32_t p) { return below(100) < p; }
  // Throws nothing if it can never happen: faults that are switched off change no other decision.
  bool per_million(std::uint32_t p) { return p != 0 && below(1'000'000) < p; }

  Dice fork(std::uint64_t label) { return Dice(u64() ^ (label * 0x9e3779b97f4a7c15)); }

 private:
  std::array<std::uint64_t, 4> s_;
};

class SimRandom final : public Random {
 public:
  explicit SimRandom(Dice dice) : dice_(dice) {}
  void fill(MutableByteView out) override {
    const Watch watch(Watch::Of::harness);
    while (!out.empty()) {
      std::uint64_t v = dice_.u64();
      std::size_t n = std::min(out.size(), sizeof v);
      std::memcpy(out.data(), &v, n);
      out = out.subspan(n);
    }
  }

 private:
  Dice dice_;
};

}  // namespace s3crate::sim
