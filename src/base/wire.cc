// SPDX-License-Identifier: GPL-3.0-or-later
#include "base/wire.h"

namespace s3crate {

void ByteWriter::varint(std::uint64_t v) {
  while (v >= 0x80) {
    u8(static_cast<std::uint8_t>(v | 0x80));
    v >>= 7;
  }
  u8(static_cast<std::uint8_t>(v));
}

std::uint64_t ByteReader::varint() {
  std::uint64_t v = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    std::uint8_t byte = u8();
    if (!ok_) return 0;
    // The tenth byte has room for one bit; a last byte of zero would be a longer form of the same number.
    if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) break;
    v |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return v;
  }
  fail();
  return 0;
}

ByteView ByteReader::raw(std::size_t n) {
  if (n > rest_.size()) {
    fail();
    return {};
  }
  ByteView out = rest_.first(n);
  rest_ = rest_.subspan(n);
  return out;
}

ByteView ByteReader::bytes32(std::size_t max) {
  std::uint32_t n = u32();
  if (n > max) {
    fail();
    return {};
  }
  return raw(n);
}

std::uint32_t ByteReader::count(std::size_t item_size, std::size_t max) {
  std::uint32_t n = u32();
  if (n > max || n > rest_.size() / item_size) {
    fail();
    return 0;
  }
  return n;
}

}  // namespace s3crate
