// SPDX-License-Identifier: GPL-3.0-or-later
// An input that stands for a whole file of the local disk: pieces, each of which says what it is and which sector it begins at. The
// target makes the file of them, and seals, signs or hashes what is sealed, signed or hashed; all else of the file is zeros.
//
//   kind (1 byte) | place (1) | length (2, little-endian) | so many bytes, or what is left of the input
#pragma once

#include <vector>

#include "segment/sector.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {

struct Piece {
  std::uint8_t kind = 0;
  std::uint8_t place = 0;
  ByteView bytes;
};

inline std::vector<Piece> pieces_of(ByteView input) {
  constexpr std::size_t kPiecesMax = 256;
  std::vector<Piece> out;
  while (input.size() >= 4 && out.size() < kPiecesMax) {
    const std::size_t length = input[2] | std::size_t{input[3]} << 8;
    const ByteView bytes = input.subspan(4, std::min(length, input.size() - 4));
    out.push_back({input[0], input[1], bytes});
    input = input.subspan(4 + bytes.size());
  }
  return out;
}

inline void add_piece(Bytes& input, std::uint8_t kind, std::size_t place, ByteView bytes) {
  CHECK(place < 256 && bytes.size() < 65'536);
  const std::uint8_t head[] = {kind, static_cast<std::uint8_t>(place), static_cast<std::uint8_t>(bytes.size()),
                               static_cast<std::uint8_t>(bytes.size() >> 8)};
  append(input, head);
  append(input, bytes);
}

// Makes the file longer if need be.
inline void put_bytes(Bytes& file, std::uint64_t at, ByteView bytes) {
  file.resize(std::max<std::size_t>(file.size(), at + bytes.size()));
  std::copy(bytes.begin(), bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
}

// What stands in a sector, without the zeros at its end; and a sector of as much of that as has room.
inline Bytes without_padding(ByteView sector) {
  Bytes content = to_bytes(sector.first(segment::kSectorContent));
  while (!content.empty() && content.back() == 0) content.pop_back();
  return content;
}
inline Bytes finished_sector(ByteView content) {
  Bytes sector = to_bytes(content.first(std::min(content.size(), segment::kSectorContent)));
  segment::finish_sector(sector);
  return sector;
}

}  // namespace s3crate::fuzz
