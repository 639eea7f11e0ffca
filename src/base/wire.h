// SPDX-License-Identifier: GPL-3.0-or-later
// Integers as they stand on disk, and a bounded reader and writer of byte strings: what codecs are made of.
//
// Le16..Le64 are for wire structs with a fixed layout (no padding, alignment 1). ByteWriter and ByteReader are
// for parts of variable length. A ByteReader never reads past its end: after the first failure every further
// read answers zeros and ok() stays false, so a codec may read a whole part and test once; but a count or a
// length must be compared with its bound before anything is allocated by it: use count() and bytes_up_to().
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <type_traits>

#include "base/bytes.h"

namespace s3crate {

template <std::unsigned_integral T>
class LittleEndian {
 public:
  LittleEndian() = default;
  LittleEndian(T v) {  // NOLINT: reads like the integer it is
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes_[i] = static_cast<std::uint8_t>(v >> (8 * i));
  }
  operator T() const {  // NOLINT
    T v = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) v = static_cast<T>(v | static_cast<T>(bytes_[i]) << (8 * i));
    return v;
  }

 private:
  std::uint8_t bytes_[sizeof(T)] = {};
};

using Le16 = LittleEndian<std::uint16_t>;
using Le32 = LittleEndian<std::uint32_t>;
using Le64 = LittleEndian<std::uint64_t>;
static_assert(sizeof(Le16) == 2 && sizeof(Le32) == 4 && sizeof(Le64) == 8 && alignof(Le64) == 1);

template <typename T>
concept WireStruct = std::is_trivially_copyable_v<T> && alignof(T) == 1;

template <WireStruct T>
[[nodiscard]] ByteView wire_bytes(const T& v) {
  return {reinterpret_cast<const std::uint8_t*>(&v), sizeof v};
}

class ByteWriter {
 public:
  explicit ByteWriter(Bytes& out) : out_(out) {}

  void u8(std::uint8_t v) { out_.push_back(v); }
  void u16(std::uint16_t v) { raw(wire_bytes(Le16(v))); }
  void u32(std::uint32_t v) { raw(wire_bytes(Le32(v))); }
  void u64(std::uint64_t v) { raw(wire_bytes(Le64(v))); }
  void varint(std::uint64_t v);  // LEB128: 7 bits a byte, lowest first, at most 10 bytes
  void raw(ByteView b) { append(out_, b); }
  void bytes32(ByteView b) { u32(static_cast<std::uint32_t>(b.size())), raw(b); }  // le32 length prefix
  template <WireStruct T>
  void wire(const T& v) { raw(wire_bytes(v)); }
  [[nodiscard]] std::size_t size() const { return out_.size(); }

 private:
  Bytes& out_;
};

class ByteReader {
 public:
  explicit ByteReader(ByteView in) : rest_(in) {}

  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint16_t u16() { return number<std::uint16_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  std::uint64_t varint();             // fails on an overlong or overflowing form
  ByteView raw(std::size_t n);        // empty on failure
  ByteView bytes32(std::size_t max);  // le32 length prefix; fails past max
  // A le32 count of items, each at least item_size bytes long (item_size > 0), at most max: what it answers
  // is safe to reserve.
  std::uint32_t count(std::size_t item_size, std::size_t max);
  template <std::size_t N>
  std::array<std::uint8_t, N> array() {
    std::array<std::uint8_t, N> out{};
    ByteView b = raw(N);
    if (!b.empty()) std::memcpy(out.data(), b.data(), N);
    return out;
  }
  template <WireStruct T>
  T wire() {
    T out{};
    ByteView b = raw(sizeof(T));
    if (!b.empty()) std::memcpy(static_cast<void*>(&out), b.data(), sizeof(T));
    return out;
  }

  void fail() { ok_ = false, rest_ = {}; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }  // true after a failure as well
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }
  [[nodiscard]] ByteView rest() const { return rest_; }

 private:
  template <typename T>
  T number() {
    ByteView b = raw(sizeof(T));
    T v = 0;
    for (std::size_t i = 0; i < b.size(); ++i) v = static_cast<T>(v | static_cast<T>(static_cast<T>(b[i]) << (8 * i)));
    return v;
  }

  ByteView rest_;
  bool ok_ = true;
};

}  // namespace s3crate
