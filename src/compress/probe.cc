// SPDX-License-Identifier: GPL-3.0-or-later
#include "compress/probe.h"

#include <algorithm>
#include <array>

namespace s3crate::compress {
namespace {

// Half of the data is counted, and at most 4 KiB, in pieces from all over, so that one text block among 15 random ones shows.
constexpr std::size_t kPieceSize = 128;
constexpr std::size_t kPiecesMax = 32;
constexpr std::size_t kTooSmallToTell = 1024;

// The chi-squared statistic of random bytes has mean 255 and standard deviation 23, whatever the
// size of the sample: these are more than four and six of those away. Text is in the tens of
// thousands; of 4 KiB that lost entropy worth 1/32 of the size it is above 1,400. Below the lower bound are
// patterns such as 0, 1, 2 ... 255.
constexpr std::uint64_t kChiSquaredMin = 150;
constexpr std::uint64_t kChiSquaredMax = 400;

constexpr std::size_t kSector = 512;

class Histogram {
 public:
  void add(ByteView bytes) {
    // Four tables, since counting the same value twice in a row would wait for itself.
    std::size_t i = 0;
    for (; i + 4 <= bytes.size(); i += 4) {
      for (std::size_t k = 0; k < 4; ++k) ++counts_[k][bytes[i + k]];
    }
    for (; i < bytes.size(); ++i) ++counts_[0][bytes[i]];
    total_ += bytes.size();
  }

  [[nodiscard]] bool is_random() const {
    std::uint32_t squares = 0;
    for (std::size_t v = 0; v < 256; ++v) {
      const std::uint32_t n = std::uint32_t{counts_[0][v]} + counts_[1][v] + counts_[2][v] + counts_[3][v];
      squares += n * n;
    }
    // chi squared = 256 * squares / total - total
    const std::uint64_t scaled = std::uint64_t{256} * squares;
    return scaled > (total_ + kChiSquaredMin) * total_ &&
           scaled < (total_ + kChiSquaredMax) * total_;
  }

 private:
  std::array<std::array<std::uint16_t, 256>, 4> counts_{};
  std::uint64_t total_ = 0;
};

// Random sectors, the same ones again and again, are what test patterns and copies are made of.
// Sectors are told apart by their first eight bytes, in a table where one may displace another: a
// miss now and then is no harm.
bool sectors_repeat(ByteView raw) {
  std::array<std::uint64_t, 256> seen{};
  std::size_t sectors = 0;
  std::size_t repeats = 0;
  for (std::size_t at = 0; at + kSector <= raw.size(); at += kSector) {
    std::uint64_t head;
    std::memcpy(&head, raw.data() + at, sizeof head);
    std::uint64_t& slot = seen[head * 0x9e3779b97f4a7c15U >> 56];
    repeats += slot == head;
    slot = head;
    ++sectors;
  }
  return repeats * 16 > sectors;
}

}  // namespace

bool looks_random(ByteView raw) {
  if (raw.size() < kTooSmallToTell) return false;
  Histogram histogram;
  const std::size_t pieces = std::min(kPiecesMax, raw.size() / (2 * kPieceSize));
  for (std::size_t i = 0; i < pieces; ++i) {
    histogram.add(raw.subspan((raw.size() - kPieceSize) / (pieces - 1) * i, kPieceSize));
  }
  return histogram.is_random() && !sectors_repeat(raw);
}

}  // namespace s3crate::compress
