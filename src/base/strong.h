// SPDX-License-Identifier: GPL-3.0-or-later
// Strong<Tag>: a 64-bit number with a name of its own, so that a block is never taken for a generation.
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstdint>

namespace s3crate {

template <typename Tag>
struct Strong {
  std::uint64_t value = 0;

  constexpr Strong() = default;
  constexpr explicit Strong(std::uint64_t v) : value(v) {}
  friend constexpr auto operator<=>(Strong, Strong) = default;
  constexpr Strong next() const { return Strong(value + 1); }
  constexpr Strong operator+(std::uint64_t n) const { return Strong(value + n); }
  constexpr std::uint64_t operator-(Strong other) const { return value - other.value; }
};

using Generation = Strong<struct GenerationTag>;  // 1, 2, 3 ...; 0: none
using Seq = Strong<struct SeqTag>;                // of batches: 1, 2, 3 ...; 0: none
using BlockIndex = Strong<struct BlockIndexTag>;  // in blocks of the volume

}  // namespace s3crate

template <typename Tag>
struct fmt::formatter<s3crate::Strong<Tag>> : fmt::formatter<std::uint64_t> {
  template <typename Context>
  auto format(s3crate::Strong<Tag> v, Context& context) const {
    return fmt::formatter<std::uint64_t>::format(v.value, context);
  }
};
