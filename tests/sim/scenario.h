// SPDX-License-Identifier: GPL-3.0-or-later
// What the named scenarios share.
#pragma once

#include <gtest/gtest.h>

#include "tests/sim/stack_world.h"
#include "tests/support/assert_ok.h"

namespace s3crate::sim {

using namespace std::chrono_literals;

#define EXPECT_CODE(expected, expression)                                                             \
  do {                                                                                                \
    const auto& code_ = (expression);                                                                 \
    EXPECT_TRUE(is(code_, expected)) << (code_ ? std::string("it succeeded") : code_.error().message()); \
  } while (0)

// Bytes that no other `n` gives.
[[nodiscard]] inline Bytes pattern(std::size_t size, std::uint64_t n) {
  Dice dice(n * 7919 + 1);
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(1 + dice.below(255));
  return out;
}

// Nothing goes to the store unless asked for.
[[nodiscard]] inline device::DiskOptions lazy_options() {
  device::DiskOptions options = small_options();
  options.upload_delay = 1000h;
  return options;
}

inline bool is_commit(const std::string& name) { return name.starts_with("commits/"); }
inline bool is_segment(const std::string& name) { return name.starts_with("segments/"); }

// Waits, in virtual time, until it is so.
inline void wait_until(StackWorld& w, const std::function<bool()>& so) {
  for (int i = 0; i < 100'000 && !so(); ++i) w.sleep(10ms);
  ASSERT_TRUE(so());
}

}  // namespace s3crate::sim
