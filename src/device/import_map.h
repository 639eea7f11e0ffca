// SPDX-License-Identifier: GPL-3.0-or-later
// The map that a large import makes: one that changes more than one commit can hold.
//
// Changes are laid over the map a share at a time, while the image is read; each share's pages are put before the next one is laid over
// them, and nobody hears of them. The first share takes in what has changed since the newest checkpoint. Last comes one commit of kind
// rollback with the roots, of this map and of companions that go on from those of the view: to a reader the same as a rollback to a
// generation that never was, so that whoever knows rollbacks reads it.
//
// It also makes the checkpoint that notes fingerprints, after an import whose changes a commit could say.
//
// Pages that a later share has replaced die with the first checkpoint after it. Pages of an import that did not come to its end are
// named by no commit.
#pragma once

#include "device/lay.h"
#include "device/uploader.h"
#include "volume/fingerprints.h"
#include "volume/run_map.h"

namespace s3crate::device {

class ImportMap {
 public:
  // `view`, the newest generation, outlives it. Nobody makes checkpoints meanwhile.
  ImportMap(const LayContext& context, Uploader& uploader, const volume::View& view);

  // Lays changes over what is laid. kCorrupt: too many of them are over pages that cannot be read.
  [[nodiscard]] Result<> lay(volume::RunMap changes);
  // The tree of fingerprints with the changes (ascending, distinct); `fingerprints` is as of the view.
  [[nodiscard]] Result<> lay_fingerprints(volume::Fingerprints& fingerprints, std::span<const volume::TreeChange> changes);
  // A checkpoint of the view, and of what is laid.
  [[nodiscard]] Result<> checkpoint();
  // The import. `objects`: the segments that were named since the view. kTransient: guests take each number.
  [[nodiscard]] Result<Generation> commit(std::uint64_t disk_bytes, Seq committed, std::span<const segment::ObjectInfo> objects);

 private:
  void forget_own(volume::Ledger& late) const;
  [[nodiscard]] Result<Laid> lay_companions(Generation as_of, Generation deaths_in, std::span<const segment::ObjectInfo> objects);

  const LayContext context_;
  Uploader& uploader_;
  const volume::View& view_;
  volume::MaybeRoot map_, fingerprints_;
  volume::Ledger late_;
  volume::RunMap beside_;                   // changes that are not laid: first all since the checkpoint, then those over damaged pages
  std::vector<segment::ObjectInfo> own_;    // map objects, ascending
};

}  // namespace s3crate::device
