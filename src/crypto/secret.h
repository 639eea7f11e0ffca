// SPDX-License-Identifier: GPL-3.0-or-later
// Secret: 32 bytes of key in locked memory that stays out of core dumps, wiped when destroyed. Move-only; there is no
// formatter, no comparison that leaks by timing, and no way to make one from a literal.
#pragma once

#include <array>
#include <string>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"

namespace s3crate::crypto {

inline constexpr std::size_t kSecretSize = 32;

// Must succeed once before anything else in crypto/ is used. Not after fork: locked memory does not survive it.
[[nodiscard]] Result<> initialise();
// Empty, or one sentence for the user and the log: why some secret is not in locked memory.
[[nodiscard]] std::string memory_notice();

class Secret {
 public:
  Secret() = default;  // empty
  explicit Secret(Random& random);
  // Copies 32 bytes that the caller then wipes.
  static Secret copy_of(ByteView bytes);
  // Memory to be filled in place, by a key derivation for instance.
  static Secret uninitialised();
  ~Secret();
  Secret(Secret&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  [[nodiscard]] bool empty() const { return data_ == nullptr; }
  // Only for use inside crypto/ and for sealing a secret inside another object.
  [[nodiscard]] ByteView view() const { return {data_, data_ ? kSecretSize : 0}; }
  [[nodiscard]] MutableByteView mutable_view() { return {data_, data_ ? kSecretSize : 0}; }
  // An explicit copy, for the second holder of a key.
  [[nodiscard]] Secret clone() const { return copy_of(view()); }

 private:
  std::uint8_t* data_ = nullptr;
};

// Overwrites memory in a way that the compiler cannot drop.
void wipe(MutableByteView bytes);

}  // namespace s3crate::crypto
