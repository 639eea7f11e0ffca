// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/import_compare.h"

#include <algorithm>

namespace s3crate::device {

void Piece::add(Fate fate, BlockIndex block) {
  if (!parts.empty() && parts.back().fate == fate) parts.back().to = block.next();
  else parts.push_back({fate, block, block.next()});
}

namespace {

class ReadingCompare final : public PieceCompare {
 public:
  ReadingCompare(ImageSource& image, ViewReader& now, EqualPlaces& equal)
      : image_(image), now_(now), equal_(equal), block_size_(now.block_size()) {}
  Result<> compare(Piece& piece) override;

 private:
  Result<> look_for_equal(Piece& piece, const std::vector<Fate>& fates, const std::vector<ByteRange>& damaged);

  ImageSource& image_;
  ViewReader& now_;
  EqualPlaces& equal_;
  const std::uint32_t block_size_;
};

Result<> ReadingCompare::compare(Piece& piece) {
  piece.disk.resize(piece.image.size());
  const auto part = [&](std::uint64_t size) { return std::min<std::uint64_t>(piece.image.size(), size - std::min(size, piece.offset)); };
  if (const auto n = part(image_.size()); n > 0) TRY(image_.read(piece.offset, MutableByteView(piece.image).first(n)));
  ViewReader::Piece read;
  if (const auto n = part(now_.size()); n > 0) read = TRY(now_.read(piece.offset, MutableByteView(piece.disk).first(n)));
  Bytes staged;
  if (piece.left) {
    staged.resize(piece.image.size());
    if (const auto n = part(piece.left->reader.size()); n > 0) (void)TRY(piece.left->reader.read(piece.offset, MutableByteView(staged).first(n)));
  }
  const auto is_in = [](const std::vector<ByteRange>& ranges, std::uint64_t at) {
    return std::ranges::any_of(ranges, [&](const ByteRange& r) { return at >= r.offset && at - r.offset < r.length; });
  };
  std::vector<Fate> fates;
  for (std::uint64_t at = 0; at < piece.image.size(); at += block_size_) {
    const ByteView wanted = ByteView(piece.image).subspan(at, block_size_);
    Fate fate = Fate::sent;
    if (equal(wanted, ByteView(piece.disk).subspan(at, block_size_)) && !is_in(read.damaged, piece.offset + at)) fate = Fate::same;
    else if (all_zero(wanted)) fate = Fate::zeros;
    else if (piece.left && equal(wanted, ByteView(staged).subspan(at, block_size_))) fate = Fate::staged;
    piece.add(fate, BlockIndex((piece.offset + at) / block_size_));
    fates.push_back(fate);
  }
  TRY(look_for_equal(piece, fates, read.damaged));
  piece.disk = {};
  return {};
}

// Of places of which all blocks are others; a few blocks are sent sooner than looked for.
Result<> ReadingCompare::look_for_equal(Piece& piece, const std::vector<Fate>& fates, const std::vector<ByteRange>& damaged) {
  if (!equal_.known()) return {};
  const std::uint64_t n = equal_.blocks(), first = piece.offset / block_size_, bytes = n * block_size_;
  for (std::uint64_t block = (first + n - 1) / n * n; block + n <= first + fates.size(); block += n) {
    const std::span fate(fates.begin() + static_cast<std::ptrdiff_t>(block - first), n);
    const auto all = [&](Fate f) { return std::ranges::count(fate, f) == std::ssize(fate); };
    if (all(Fate::same)) continue;
    const std::uint64_t at = (block - first) * block_size_, offset = piece.offset + at;
    const ByteView old = ByteView(piece.disk).subspan(at, bytes), wanted = ByteView(piece.image).subspan(at, bytes);
    const auto hit = [&](const ByteRange& r) { return r.offset < offset + bytes && offset < r.offset + r.length; };
    if (!all_zero(old) && std::ranges::none_of(damaged, hit)) piece.gone.push_back(equal_.of(old));
    if (!all(Fate::sent) && !all(Fate::staged)) continue;
    Place place{.block = BlockIndex(block), .fingerprint = equal_.of(wanted), .equal = {}, .staged = {}};
    if (all(Fate::sent)) place.equal = TRY(equal_.find(place.fingerprint, wanted));
    piece.places.push_back(std::move(place));
  }
  return {};
}

}  // namespace

std::unique_ptr<PieceCompare> make_reading_compare(ImageSource& image, ViewReader& now, EqualPlaces& equal) {
  return std::make_unique<ReadingCompare>(image, now, equal);
}

}  // namespace s3crate::device
