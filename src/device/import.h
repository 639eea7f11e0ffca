// SPDX-License-Identifier: GPL-3.0-or-later
// An image becomes the next generation of a disk, all of it or nothing; only blocks that differ are sent.
//
// A key that reads no data goes by fingerprints alone (device/import_compare.h), and what such an import had sent is found again by those in
// its segments' indexes. It may sign no map and no other size.
//
// Image and disk are read from end to end, pieces side by side. What differs is sealed into segments that are put as they fill, and
// named at once by commits that change nothing (data commits with objects, and no runs). One last commit says what has changed, by its runs
// or by a map: until then every reader sees the disk as it was. An import that was killed finds those segments again: whatever the chain
// names since the newest checkpoint and no map refers to. Where a block of theirs, read and verified, holds what the image has at that place, it is used and not sent again. No object
// that no commit names is ever looked for. Places of 64 KiB whose data is somewhere else already (device/equal_places.h) are not sent either. Until a checkpoint notes that nothing refers to them, they count as alive; so from the
// time that they are looked for to the last commit, this writer makes none.
#pragma once

#include "device/disk.h"
#include "device/equal_places.h"
#include "device/staged.h"
#include "device/transfer.h"

namespace s3crate::device {

enum class Fit { as_it_is, resize };  // whether the disk takes the size of the image

struct ImportOptions {
  TransferOptions transfer;
  Fit fit = Fit::as_it_is;
  Duration close_time = std::chrono::seconds(30);
  // Shrunk by tests. Changes up to which the last commit says what they are; with more it has a map (device/import_map.h), over which
  // so many are laid at a time. Well within what one commit holds, whatever the runs are like.
  std::size_t runs_max = 400'000;
  std::size_t places_max = EqualPlaces::kPlacesMax;
  std::uint64_t window_blocks = Staged::kWindowBlocks;  // of what another import has left; a multiple of the pieces
};

struct ImportReport {
  Generation generation;  // that holds the image
  std::uint64_t image_bytes = 0;
  std::uint64_t disk_bytes = 0, disk_bytes_before = 0;
  std::uint64_t changed_bytes = 0;  // blocks that are others now, holes included
  std::uint64_t found_bytes = 0;    // of those, what an import that was stopped had sent
  std::uint64_t equal_bytes = 0;    // and what the disk, or the image before that place, has somewhere else
  std::uint64_t sent_bytes = 0;     // of segments
  std::optional<Error> not_noted;   // why the fingerprints of it are not stored: later imports send what they need not
};

// Opens the volume as its writer, as a mount does, and closes it again. An image that is shorter than the disk is followed by zeros.
// kBadArgument: it is longer; kIo: it cannot be read, or changed meanwhile; kBadKey: it differs in more places than a
// commit can name, or has another size, and this key may not sign that; else what Disk::open() says. After an error the disk is as it was, but for what its journal held.
[[nodiscard]] Result<ImportReport> import_image(Env env, io::FileIo& files, volume::Volume& volume, const DiskOptions& options,
                                                ImageSource& image, const ImportOptions& how);

}  // namespace s3crate::device
