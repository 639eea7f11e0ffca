// SPDX-License-Identifier: GPL-3.0-or-later
// Byte strings: an owning one, a view, a mutable view. Lengths are in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace s3crate {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

inline ByteView as_bytes(std::string_view s) {
  return {reinterpret_cast<const std::uint8_t*>(s.data()), s.size()};
}

inline std::string_view as_chars(ByteView b) {
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

inline void append(Bytes& to, ByteView what) { to.insert(to.end(), what.begin(), what.end()); }

inline bool equal(ByteView a, ByteView b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

[[nodiscard]] bool all_zero(ByteView b);

// Lower-case hexadecimal.
[[nodiscard]] std::string to_hex(ByteView b);
// False if `hex` is not exactly 2 * out.size() lower-case hexadecimal digits.
[[nodiscard]] bool from_hex(std::string_view hex, MutableByteView out);

}  // namespace s3crate
