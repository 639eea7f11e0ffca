// SPDX-License-Identifier: GPL-3.0-or-later
// What commits have named since the newest checkpoint and no map refers to: what an import that did not come to its end has left. To a
// key that reads no data, all segments since then whose indexes have fingerprints: the import that has put them may have been stopped
// before these came into their tree.
//
// However much that is, only a window of the disk is held: of each segment it is known where on the disk its blocks would stand, and
// its index is read again when a window that they are in is entered.
#pragma once

#include "device/view_reader.h"
#include "volume/index_fingerprints.h"

namespace s3crate::device {

class Staged {
 public:
  // A part of the disk as it would be with all of it: what was named later lies over what was named before. The rest is hole.
  struct Window {
    volume::RunMap runs;
    ViewReader reader;
    // What the indexes say of places of 64 KiB, to a key that holds F: by block. Any of it may be referred to.
    struct Fingerprinted {
      crypto::Fingerprint fingerprint{};
      volume::Run run;  // all of the extent, at the place
    };
    std::map<BlockIndex, std::vector<Fingerprinted>> places;
    // The extent that was put for that place, and holds that; nullopt: none is known to.
    [[nodiscard]] std::optional<volume::Run> place(BlockIndex block, const crypto::Fingerprint& fingerprint) const;
  };
  static constexpr std::uint64_t kWindowBlocks = 1 << 17;

  // `view` is that of the newest generation, `disk_bytes` what is to be looked at. Before others use the volume, which outlives it, as do
  // its keys. A segment whose index cannot be had is left out. kCancelled by `stopped`.
  [[nodiscard]] static Result<Staged> find(Env env, volume::Volume& volume, const volume::View& view, std::uint64_t disk_bytes,
                                           std::uint64_t window_blocks, const std::function<bool()>& stopped);

  [[nodiscard]] bool empty() const { return segments_.empty(); }
  // Of the window that a block is in; nullptr: nothing is there. The last one is kept, so ask in order. One call at a time.
  [[nodiscard]] Result<std::shared_ptr<Window>> window_of(BlockIndex block);

 private:
  struct Segment {
    segment::ObjectInfo info;
    BlockIndex from, to;  // its blocks lie between
  };
  Staged(Env env, std::unique_ptr<volume::Volume> reader) : env_(env), reader_(std::move(reader)) {}
  [[nodiscard]] Result<std::shared_ptr<Window>> load(BlockIndex from, BlockIndex to);

  Env env_;
  std::unique_ptr<volume::Volume> reader_;  // of its own: no volume is thread-safe
  std::uint64_t disk_bytes_ = 0, window_blocks_ = kWindowBlocks;
  std::vector<Segment> segments_;  // as they were named
  std::optional<std::uint64_t> last_;
  std::shared_ptr<Window> window_;  // of that number
};

}  // namespace s3crate::device
