// SPDX-License-Identifier: GPL-3.0-or-later
// What becomes of a piece of an image that is imported: held against the disk, and against what an import that was stopped has left.
//
// Who may read the disk reads it, block by block. Who may not goes by places of 64 KiB, of which the map says which extent stands
// there, and the tree of fingerprints what that extent holds. What it does not find there differs, as far as it can tell. Its extents
// are whole places, with the zeros in them, so that each has a fingerprint; the map has holes where blocks of zeros are.
#pragma once

#include "device/equal_places.h"
#include "device/staged.h"
#include "device/transfer.h"

namespace s3crate::device {

// What becomes of neighbouring blocks.
enum class Fate { same, zeros, staged, sent };
struct Part {
  Fate fate = Fate::same;
  BlockIndex from, to;
};
// 64 KiB of which all blocks are sent, or all were staged; to one who may not read, all that are not zeros.
struct Place {
  BlockIndex block;
  crypto::Fingerprint fingerprint{};
  std::optional<volume::Run> equal;   // of the disk
  std::optional<volume::Run> staged;  // to one who may not read: that an import before this one has sent
  bool same = false;                  // and that is on the disk already, only no tree tells it
};
struct Piece {
  std::uint64_t offset = 0;
  Bytes image, disk;  // whole blocks; to one who may not read, whole places, and nothing
  std::vector<Part> parts;
  std::vector<Place> places;              // ascending
  std::vector<crypto::Fingerprint> gone;  // of what is written over, if it was read
  std::shared_ptr<Staged::Window> left;   // what an import before this one has left there; may be null

  void add(Fate fate, BlockIndex block);
};

// Thread-safe.
class PieceCompare {
 public:
  virtual ~PieceCompare() = default;
  // `piece` has its offset, its window, and room for the image; the rest is filled in.
  [[nodiscard]] virtual Result<> compare(Piece& piece) = 0;
};
// All outlive it. A block that cannot be read differs, and is written anew with what the image has.
[[nodiscard]] std::unique_ptr<PieceCompare> make_reading_compare(ImageSource& image, ViewReader& now, EqualPlaces& equal);
// For a key that reads no data, and holds F; of pieces that begin with a place.
[[nodiscard]] std::unique_ptr<PieceCompare> make_blind_compare(ImageSource& image, EqualPlaces& equal, std::uint32_t block_size);

// Of 64 KiB that stand in one extent, the runs of what is not zeros. `whole`: all of them, at the place.
[[nodiscard]] std::vector<volume::Run> data_runs(const volume::Run& whole, ByteView content, std::uint32_t block_size);

}  // namespace s3crate::device
