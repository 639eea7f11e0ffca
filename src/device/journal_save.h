// SPDX-License-Identifier: GPL-3.0-or-later
// What a journal holds and the store never got, because another writer has moved the volume on: where it goes on from, and how it is
// written into another disk that begins there, a fork.
#pragma once

#include "device/disk.h"
#include "device/term.h"
#include "volume/key_ring.h"

namespace s3crate::device {

// The newest commit that the writer of the journal made: what the journal holds beyond its committed batch goes on from there. nullopt: none is
// known.
[[nodiscard]] Result<std::optional<volume::Commit>> journal_point(volume::Volume& volume, const volume::Commit& head, const journal::Superblock& journal);

struct PlayedJournal {
  std::uint64_t batches = 0;
  std::uint64_t bytes = 0;  // of the disk
};
// Writes every batch behind `committed` to `disk`, in order. The journal stays as it is, and can be played again. `keys` and `vid` are those of its volume.
// kCorrupt: it is damaged, or of a larger disk; kCancelled by `stop`.
[[nodiscard]] Result<PlayedJournal> play_into(journal::Journal& journal, Seq committed, const volume::KeyRing& keys, Disk& disk, StopFlag stop);

}  // namespace s3crate::device
