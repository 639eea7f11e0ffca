// SPDX-License-Identifier: GPL-3.0-or-later
// An import under way: for import.cc, which finds out what has changed, and import_commit.cc, which stores it.
#pragma once

#include "device/disk_impl.h"
#include "device/import.h"
#include "device/import_compare.h"
#include "device/import_map.h"
#include "device/segment_puts.h"
#include "segment/part.h"
#include "volume/index_fingerprints.h"

namespace s3crate::device {

class Importer {
 public:
  Importer(Env env, volume::Volume& volume, DiskImpl& disk, const DiskOptions& disk_options, ImageSource& image, const ImportOptions& options);
  [[nodiscard]] Result<ImportReport> run();

 private:
  [[nodiscard]] StopFlag stop() const { return options_.transfer.stop; }
  Result<> import_all();
  Result<std::optional<Piece>> next();
  Result<> count_changes();
  [[nodiscard]] Error too_many() const;
  Result<> take(Piece& piece);
  Result<> take_staged(const Piece& piece, const Part& part);
  Result<> take_sent(const Piece& piece, const Part& part);
  Result<bool> take_equal(const Place& place);
  Result<> take_unread(const Piece& piece, const Place& place);
  Result<> add_run(const volume::Run& run);
  [[nodiscard]] const Place* place_at(const Piece& piece, BlockIndex from, BlockIndex to) const;
  Result<volume::Run> seal(BlockIndex block, ByteView raw);
  Result<volume::Run> seal_whole(const Place& place, ByteView content);
  enum class Last { no, yes };
  Result<> put_current(Last last);
  Result<> stage();
  Result<> finish_puts();
  Result<> add(const volume::Run& run);
  Result<> lay();
  Result<> put_holes(Last last);
  Result<> commit();
  Result<> commit_changes();
  void note_places();
  Result<> lay_places();
  [[nodiscard]] ByteView image_of(const Piece& piece, BlockIndex from, BlockIndex to) const {
    return ByteView(piece.image).subspan(from.value * block_size_ - piece.offset, (to - from) * block_size_);
  }

  Env env_;
  volume::Volume& volume_;
  DiskImpl& disk_;
  ImageSource& image_;
  const ImportOptions& options_;
  const std::uint32_t block_size_;
  const bool blind_;  // the key reads no data
  const EncoderOptions encoder_options_;
  EncoderCounters counters_;
  ImportReport report_;

  std::optional<ViewReader> now_;     // the disk as it is
  std::optional<Staged> staged_;      // of next() alone, after the beginning
  std::optional<EqualPlaces> equal_;
  std::unique_ptr<PieceCompare> compare_;
  std::uint64_t end_ = 0;             // of what has to be looked at
  std::uint64_t at_ = 0;              // of next() alone

  // Of take() alone, which is called in the order of blocks.
  Seq seq_;
  SegmentSealer sealer_;
  std::shared_ptr<PendingGeneration> current_;  // the segment that fills
  std::vector<volume::ExtentFingerprint> fingerprints_;  // of its extents, if nobody else tells what they hold
  segment::Part part_{.number = 0, .parts = 0, .ordinal = 1};  // the last one put; how many there are the last one says
  volume::RunMap changes_;  // that are not laid
  volume::RunMap holes_;    // that no index tells
  std::vector<segment::ObjectInfo> named_;
  const LayContext context_;
  std::optional<ImportMap> map_;  // once there are more changes than a commit holds
  std::uint64_t read_ = 0;
  SegmentPuts puts_;  // ends first
};

}  // namespace s3crate::device
