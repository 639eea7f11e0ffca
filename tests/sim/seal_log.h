// SPDX-License-Identifier: GPL-3.0-or-later
// SealLog: under which key and nonce everything was sealed while it listened, and whether two contents ever met under one pair.
//
// All that is sealed goes through two functions: crypto/'s ChaCha20-Poly1305, and libsodium's box. The linker wraps both for this
// program (--wrap, see Makefile.am), so nothing escapes and the product needs no hook. The subkey that the first is given stands
// for the key and most of the nonce. Contents, additional data too, are told apart by their tags.
#pragma once

#include <array>
#include <unordered_map>

#include "base/bytes.h"

namespace s3crate::sim {

class SealLog {
 public:
  // Listens while it lives; one at a time.
  class Listener {
   public:
    explicit Listener(SealLog& log);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
  };

  void note(ByteView key, ByteView nonce, ByteView tag);
  [[nodiscard]] std::uint64_t seals() const { return seals_; }
  [[nodiscard]] std::uint64_t repeated() const { return repeated_; }  // the same content under the same pair: harmless
  [[nodiscard]] std::uint64_t reused() const { return reused_; }      // another content

 private:
  using Pair = std::array<std::uint64_t, 4>;
  struct HashPair {
    std::size_t operator()(const Pair& pair) const { return pair[0] ^ pair[1] ^ pair[2] ^ pair[3]; }
  };
  std::unordered_map<Pair, std::array<std::uint64_t, 2>, HashPair> tags_;
  std::uint64_t seals_ = 0, repeated_ = 0, reused_ = 0;
};

}  // namespace s3crate::sim
