// SPDX-License-Identifier: GPL-3.0-or-later
// Nothing is read here but the image, and pages of the map and of the tree of fingerprints.
#include <algorithm>

#include "device/import_compare.h"
#include "volume/run_map.h"

namespace s3crate::device {

using volume::Run;
using volume::RunMap;

std::vector<Run> data_runs(const Run& whole, ByteView content, std::uint32_t block_size) {
  std::vector<Run> out;
  for (std::uint64_t i = 0; i < whole.count; ++i) {
    if (all_zero(content.subspan(i * block_size, block_size))) continue;
    if (!out.empty() && out.back().end() == whole.block + i) {
      out.back().count++;
      continue;
    }
    Run run = whole;
    run.block = whole.block + i;
    run.count = 1;
    run.first = static_cast<std::uint16_t>(i);
    out.push_back(run);
  }
  return out;
}

namespace {

class BlindCompare final : public PieceCompare {
 public:
  BlindCompare(ImageSource& image, EqualPlaces& equal, std::uint32_t block_size) : image_(image), equal_(equal), block_size_(block_size) {}

  Result<> compare(Piece& piece) override {
    const std::uint64_t n = equal_.blocks(), bytes = n * block_size_;
    piece.image.resize((piece.image.size() + bytes - 1) / bytes * bytes);
    const std::uint64_t size = image_.size(), length = std::min<std::uint64_t>(piece.image.size(), size - std::min(size, piece.offset));
    if (length > 0) TRY(image_.read(piece.offset, MutableByteView(piece.image).first(length)));
    const BlockIndex from(piece.offset / block_size_), end = from + piece.image.size() / block_size_;
    const EqualPlaces::Mapped there = TRY(equal_.mapped(from, end));
    for (BlockIndex block = from; block < end; block = block + n)
      TRY(look_at(piece, block, ByteView(piece.image).subspan((block - from) * block_size_, bytes), there));
    return {};
  }

 private:
  Result<> look_at(Piece& piece, BlockIndex block, ByteView content, const EqualPlaces::Mapped& there);
  // Whether the map says of each block of the place that it is the one of that extent, or that it is a hole and to be one.
  [[nodiscard]] bool stands_at(BlockIndex place, const Run& extent, ByteView content, const EqualPlaces::Mapped& there) const;

  ImageSource& image_;
  EqualPlaces& equal_;
  const std::uint32_t block_size_;
};

Result<> BlindCompare::look_at(Piece& piece, BlockIndex block, ByteView content, const EqualPlaces::Mapped& there) {
  const BlockIndex end = block + equal_.blocks();
  const bool zeros = all_zero(content);
  Place place{.block = block, .fingerprint = {}, .equal = {}, .staged = {}};
  std::optional<Run> hint;
  if (!zeros) {
    place.fingerprint = equal_.of(content);
    hint = TRY(equal_.hint(place.fingerprint));
    if (piece.left) place.staged = piece.left->place(block, place.fingerprint);
  }
  const bool is_known = hint && stands_at(block, *hint, content, there);
  place.same = !is_known && place.staged && stands_at(block, *place.staged, content, there);
  if (is_known || place.same) {
    for (BlockIndex at = block; at < end; at = at.next()) piece.add(Fate::same, at);
    if (place.same) piece.places.push_back(std::move(place));
    return {};
  }
  if (hint && !place.staged && TRY(equal_.is_used(*hint))) place.equal = hint;
  for (BlockIndex at = block; at < end; at = at.next()) {
    if (!all_zero(content.subspan((at - block) * block_size_, block_size_))) piece.add(place.staged ? Fate::staged : Fate::sent, at);
    else piece.add(there.may_be_data(at) ? Fate::zeros : Fate::same, at);
  }
  if (!zeros) piece.places.push_back(std::move(place));
  return {};
}

bool BlindCompare::stands_at(BlockIndex place, const Run& extent, ByteView content, const EqualPlaces::Mapped& there) const {
  if (there.is_damaged(place, place + equal_.blocks())) return false;
  bool same = true;
  there.runs.tile(
      place, place + equal_.blocks(),
      [&](const Run& run) { same = same && run.extent == extent.extent && run.first == run.block - place; },
      [&](BlockIndex from, BlockIndex to) {
        same = same && all_zero(content.subspan((from - place) * block_size_, (to - from) * block_size_));
      });
  return same;
}

}  // namespace

std::unique_ptr<PieceCompare> make_blind_compare(ImageSource& image, EqualPlaces& equal, std::uint32_t block_size) {
  return std::make_unique<BlindCompare>(image, equal, block_size);
}

}  // namespace s3crate::device
