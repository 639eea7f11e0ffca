// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/journal_save.h"

#include <map>

#include "segment/extent.h"

namespace s3crate::device {
namespace {

class Player {
 public:
  Player(const volume::KeyRing& keys, Disk& disk, StopFlag stop) : keys_(keys), disk_(disk), stop_(stop), block_size_(disk.block_size()) {}

  Result<> play(const journal::Journal::Replayed& batch) {
    TRY(note_segments(batch));
    // None was acknowledged beyond the end of a disk that was made smaller, see resize.cc.
    if (batch.body.disk_bytes > disk_.size())
      return fail(Code::kCorrupt, "batch {} is of a disk of {} bytes, this one has {}", batch.seq, batch.body.disk_bytes, disk_.size());
    for (const journal::RecordHole& hole : batch.body.holes) {
      TRY(disk_.discard(hole.block.value * block_size_, hole.count * block_size_, stop_));
      done_.bytes += hole.count * block_size_;
    }
    TRY(play_runs(batch));
    for (const journal::RecordPatch& patch : batch.body.patches) {
      TRY(disk_.write(patch.block.value * block_size_ + patch.offset, patch.data, stop_));
      done_.bytes += patch.data.size();
    }
    done_.batches++;
    return {};
  }
  [[nodiscard]] const PlayedJournal& done() const { return done_; }

 private:
  Result<> note_segments(const journal::Journal::Replayed& batch) {
    for (const journal::NewSegment& fresh : batch.body.segments) {
      const crypto::Secret secret = TRY(keys_.open_data_box(fresh.ring, fresh.sealed_secret));
      segments_.insert_or_assign({batch.incarnation, fresh.ordinal}, segment::extent_opening_key(secret, keys_.vid()));
    }
    return {};
  }

  Result<> play_runs(const journal::Journal::Replayed& batch) {
    std::map<std::uint32_t, Blob> plain;
    for (const journal::RecordRun& run : batch.body.runs) {
      auto found = plain.find(run.extent);
      if (found == plain.end()) {
        plain.clear();  // runs of one extent follow each other, or it is opened again
        found = plain.emplace(run.extent, TRY(open(batch, batch.body.extents.at(run.extent)))).first;
      }
      const std::uint64_t from = std::uint64_t{run.first} * block_size_, length = std::uint64_t{run.count} * block_size_;
      if (from + length > found->second.size()) return fail(Code::kCorrupt, "batch {} of the journal names more of an extent than there is", batch.seq);
      TRY(disk_.write(run.block.value * block_size_, ByteView(found->second).subspan(from, length), stop_));
      done_.bytes += length;
    }
    return {};
  }

  Result<Blob> open(const journal::Journal::Replayed& batch, const journal::RecordExtent& extent) {
    const auto key = segments_.find({batch.incarnation, extent.segment});
    if (key == segments_.end()) return fail(Code::kCorrupt, "batch {} of the journal names an unknown segment", batch.seq);
    Bytes stored(extent.length);
    TRY(batch.record->read_extent(extent.offset, stored));
    return segment::open_extent(key->second, extent.number, extent.digest, stored, block_size_);
  }

  const volume::KeyRing& keys_;
  Disk& disk_;
  const StopFlag stop_;
  const std::uint32_t block_size_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, crypto::OpeningKey> segments_;  // by incarnation and ordinal
  PlayedJournal done_;
};

}  // namespace

Result<PlayedJournal> play_into(journal::Journal& journal, Seq committed, const volume::KeyRing& keys, Disk& disk, StopFlag stop) {
  Player player(keys, disk, stop);
  const auto open_key = [&](std::uint32_t ring, const segment::SealedSecret& sealed) { return keys.open_data_box(ring, sealed); };
  TRY(journal.replay(committed, open_key, [&](const journal::Journal::Replayed& batch) { return player.play(batch); }));
  return player.done();
}

}  // namespace s3crate::device
