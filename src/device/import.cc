// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/import.h"

#include <algorithm>
#include <utility>

#include "device/importer.h"
#include "device/in_order.h"
#include "volume/create.h"

namespace s3crate::device {

using segment::ObjectInfo;
using volume::CommitBody;
using volume::CommitKind;
using volume::Run;
using volume::RunMap;

namespace {

constexpr std::uint64_t kCacheBytes = 32 << 20;
constexpr std::uint32_t kPutsAtOnce = 4;  // where nobody says how many
constexpr Duration kPutsEnd = std::chrono::seconds(3);

tl::unexpected<Error> stopped() { return fail(Code::kCancelled, "stopped"); }

Run hole(BlockIndex from, BlockIndex to) { return {.block = from, .count = to - from, .hole = true, .first = 0, .extent = {}}; }

Result<std::uint64_t> size_after(std::uint64_t image, std::uint64_t disk, std::uint32_t block_size, Fit fit) {
  const std::uint64_t whole = (image + block_size - 1) / block_size * block_size;
  if (fit == Fit::resize) {
    TRY(volume::validate_size(whole, block_size));
    return whole;
  }
  if (whole <= disk) return disk;
  return fail(Code::kBadArgument, "the image has {} bytes and the disk {}: make the disk larger first, or add --resize", image, disk);
}

// Before anything is changed.
Result<> check_key(const volume::Volume& volume, bool resizes) {
  const volume::KeyRing& keys = *volume.keys();
  if (keys.signer() == nullptr || !keys.may_sign(CommitKind::data)) return fail(Code::kBadKey, "this key may not write to the volume");
  if (resizes && !keys.may_sign(CommitKind::resize))
    return fail(Code::kBadKey, "this key may not give the disk another size: only an owner's or a writer's may");
  if (keys.reads_data()) return {};
  if (keys.fingerprint_key() == nullptr || volume.object().extent_bytes != volume::kFingerprintedBytes)
    return fail(Code::kBadKey, "with this key neither the disk nor fingerprints of it can be read: only an owner's or a writer's can import into it");
  return {};
}

}  // namespace

Importer::Importer(Env env, volume::Volume& volume, DiskImpl& disk, const DiskOptions& disk_options, ImageSource& image, const ImportOptions& options)
    : env_(env),
      volume_(volume),
      disk_(disk),
      image_(image),
      options_(options),
      block_size_(disk.block_size()),
      blind_(!volume.keys()->reads_data()),
      encoder_options_{block_size_, volume.object().extent_bytes,
                       disk_options.segment_bytes != 0 ? disk_options.segment_bytes : volume.object().segment_bytes,
                       disk_options.compression_level, {}},
      sealer_(env, *volume.keys(), *disk.writer().chain, encoder_options_, counters_),
      context_{env, volume, *disk.writer().chain, disk_options.page_bytes, [this] { return is_set(stop()); }},
      puts_(env, *disk.writer().uploader, disk_options.upload_threads == 0 ? kPutsAtOnce : disk_options.upload_threads, options.transfer.stop) {}

Result<ImportReport> Importer::run() {
  auto done = import_all();
  if (done) return std::move(report_);
  // A store that does not answer must not hold up who wants to go.
  if (!puts_.is_idle_within(kPutsEnd)) disk_.cancel();
  else if (is_set(stop())) (void)stage();  // what came since the last time, for the next try
  return fail(done.error());
}

Result<> Importer::import_all() {
  // What a journal held comes first; it is no part of the import.
  TRY(disk_.sync(stop()));
  disk_.writer().checkpointer->end();
  volume::View view = TRY(volume_.load_view(TRY(volume_.load_head())));
  // It may have grown.
  const std::uint64_t looked_at = std::max(view.disk_bytes, (image_.size() + block_size_ - 1) / block_size_ * block_size_);
  CHECK(options_.window_blocks * block_size_ % options_.transfer.piece_bytes == 0);
  CHECK(!blind_ || options_.transfer.piece_bytes % volume::kFingerprintedBytes == 0);
  staged_.emplace(TRY(Staged::find(env_, volume_, view, looked_at, options_.window_blocks, [this] { return is_set(stop()); })));
  now_.emplace(env_, volume_, std::move(view), kCacheBytes);
  // All that is noted of what may not be read again is what stands in the tree, so it must not be less than a commit can say.
  equal_.emplace(env_, volume_, *now_, blind_ ? std::max(options_.places_max, options_.runs_max) : options_.places_max);
  compare_ = blind_ ? make_blind_compare(image_, *equal_, block_size_) : make_reading_compare(image_, *now_, *equal_);
  report_.image_bytes = image_.size();
  report_.disk_bytes_before = now_->size();
  report_.disk_bytes = TRY(size_after(image_.size(), now_->size(), block_size_, options_.fit));
  seq_ = disk_.head().stored_through().next();
  end_ = std::min(report_.disk_bytes, std::max(now_->size(), image_.size()));
  TRY(count_changes());
  TRY(in_order<Piece>(env_.executor, options_.transfer.workers,
                      {[this] { return next(); }, [this](Piece& piece) { return compare_->compare(piece); },
                       [this](Piece& piece) { return take(piece); }}));
  if (report_.disk_bytes < report_.disk_bytes_before)
    TRY(add(hole(BlockIndex(report_.disk_bytes / block_size_), BlockIndex(report_.disk_bytes_before / block_size_))));
  return commit();
}

// One whose key may sign no map must know before anything is sent whether it needs one.
Result<> Importer::count_changes() {
  if (volume_.keys()->may_sign(CommitKind::rollback) || end_ / block_size_ <= options_.runs_max) return {};
  std::uint64_t runs = 0;
  const auto count = [&](Piece& piece) -> Result<> {
    // A place has as many runs as stretches of data, which end where a part does; parts of several places count for each.
    const std::uint64_t n = equal_->blocks();
    for (const Part& part : piece.parts)
      if (part.fate != Fate::same) runs += part.fate == Fate::zeros ? 1 : (part.to.value - 1) / n - part.from.value / n + 1;
    return runs <= options_.runs_max ? Result<>() : fail(too_many());
  };
  TRY(in_order<Piece>(env_.executor, options_.transfer.workers,
                      {[this] { return next(); }, [this](Piece& piece) { return compare_->compare(piece); }, count}));
  at_ = 0;
  return {};
}

Error Importer::too_many() const {
  return {Code::kBadKey,
          fmt::format("the image differs from the disk in more than {} places: only an owner's or a writer's key may store that", options_.runs_max)};
}

// Where either has data, from a block on; in places, if these are all that is known of.
Result<std::optional<Piece>> Importer::next() {
  if (is_set(stop())) return stopped();
  if (at_ >= end_) return std::nullopt;
  const std::uint64_t of_disk = at_ < now_->size() ? TRY(now_->next_data(at_)) : end_;
  const std::uint64_t of_image = at_ < image_.size() ? TRY(image_.next_data(at_)) : end_;
  std::uint64_t at = std::min(of_disk < now_->size() ? of_disk : end_, of_image < image_.size() ? of_image : end_);
  if (at >= end_) return std::nullopt;
  at -= at % (blind_ ? volume::kFingerprintedBytes : block_size_);
  Piece piece;
  piece.offset = at;
  at_ = std::min((at / options_.transfer.piece_bytes + 1) * options_.transfer.piece_bytes, end_);
  const std::uint64_t length = (at_ - at + block_size_ - 1) / block_size_ * block_size_;
  piece.image.resize(length);
  if (!staged_->empty()) piece.left = TRY(staged_->window_of(BlockIndex(at / block_size_)));
  return piece;
}

Result<> Importer::add(const Run& run) {
  if (run.hole) holes_.put(run);
  changes_.put(run);
  // Smaller shares cost little more: an image is read in the order of blocks.
  return changes_.size() > (map_ ? options_.runs_max / 4 : options_.runs_max) ? lay() : Result<>();
}

Result<> Importer::lay() {
  if (!map_ && !volume_.keys()->may_sign(CommitKind::rollback))
    return fail(too_many());
  if (!map_) map_.emplace(context_, *disk_.writer().uploader, now_->view());
  return map_->lay(std::exchange(changes_, {}));
}

Result<> Importer::take(Piece& piece) {
  for (const crypto::Fingerprint& gone : piece.gone) equal_->gone(gone);
  for (const Part& part : piece.parts) {
    if (is_set(stop())) return stopped();
    if (part.fate == Fate::same) continue;
    report_.changed_bytes += (part.to - part.from) * block_size_;
    if (part.fate == Fate::zeros) TRY(add(hole(part.from, part.to)));
    if (part.fate == Fate::staged && !blind_) TRY(take_staged(piece, part));
    if (part.fate == Fate::sent && !blind_) TRY(take_sent(piece, part));
  }
  if (blind_)
    for (const Place& place : piece.places) TRY(take_unread(piece, place));
  if (holes_.size() > options_.runs_max / 4) TRY(put_holes(Last::no));
  TRY(stage());
  if (options_.transfer.progress) options_.transfer.progress({std::min(end_, piece.offset + piece.image.size()), end_, read_ += piece.image.size()});
  return {};
}

const Place* Importer::place_at(const Piece& piece, BlockIndex from, BlockIndex to) const {
  const auto at = std::ranges::lower_bound(piece.places, from, {}, &Place::block);
  return at != piece.places.end() && at->block == from && to - from == equal_->blocks() ? &*at : nullptr;
}

Result<> Importer::take_staged(const Piece& piece, const Part& part) {
  report_.found_bytes += (part.to - part.from) * block_size_;
  Result<> added;
  piece.left->runs.visit(part.from, part.to, [&](const Run& run) {
    const Place* place = place_at(piece, run.block, run.end());
    if (place != nullptr && run.first == 0 && equal_->noted(place->fingerprint) == nullptr) equal_->note(place->fingerprint, run);
    if (added) added = add(run);
  });
  return added;
}

Result<> Importer::take_sent(const Piece& piece, const Part& part) {
  const std::uint64_t extent_blocks = encoder_options_.extent_bytes / block_size_;
  for (BlockIndex at = part.from; at < part.to;) {
    const BlockIndex end = std::min(part.to, BlockIndex((at.value / extent_blocks + 1) * extent_blocks));
    const Place* place = place_at(piece, at, end);
    if (place == nullptr || !TRY(take_equal(*place))) {
      const Run run = TRY(seal(at, image_of(piece, at, end)));
      current_->runs.put(run);
      if (place != nullptr) equal_->note(place->fingerprint, run);
    }
    at = end;
  }
  return {};
}

// Whether it need not be sent.
Result<bool> Importer::take_equal(const Place& place) {
  const Run* noted = equal_->noted(place.fingerprint);
  if (noted == nullptr && !place.equal) return false;
  Run run = noted != nullptr ? *noted : *place.equal;
  run.block = place.block;
  report_.equal_bytes += run.count * block_size_;
  if (noted == nullptr) equal_->note(place.fingerprint, run);
  TRY(add_run(run));
  return true;
}

// Where it will lie in the segment that fills is not known yet.
Result<> Importer::add_run(const Run& run) {
  if (run.extent.offset != 0) return add(run);
  current_->runs.put(run);
  return {};
}

// Of one who may not read: all of it is in one extent, wherever that is.
Result<> Importer::take_unread(const Piece& piece, const Place& place) {
  if (is_set(stop())) return stopped();
  const ByteView content = image_of(piece, place.block, place.block + equal_->blocks());
  const Run* noted = equal_->noted(place.fingerprint);
  const bool is_noted = noted != nullptr;
  Run run;
  if (place.staged) run = *place.staged;
  else if (is_noted) run = *noted;
  else if (place.equal) run = *place.equal;
  else run = TRY(seal_whole(place, content));
  const bool equal = !place.staged && (is_noted || place.equal);
  run.block = place.block;
  if (!is_noted) equal_->note(place.fingerprint, run);
  if (place.same) return {};
  for (const Run& part : data_runs(run, content, block_size_)) {
    if (place.staged) report_.found_bytes += part.count * block_size_;
    if (equal) report_.equal_bytes += part.count * block_size_;
    TRY(add_run(part));
  }
  return {};
}

Result<Run> Importer::seal_whole(const Place& place, ByteView content) {
  if (fingerprints_.size() >= volume::kIndexFingerprintsMax) {
    sealer_.close_segment();
    TRY(put_current(Last::no));
  }
  const Run run = TRY(seal(place.block, content));
  fingerprints_.push_back({run.extent.number, place.fingerprint});
  return run;
}

Result<Run> Importer::seal(BlockIndex block, ByteView raw) {
  auto stored = std::make_shared<Bytes>();
  auto sealed = TRY(sealer_.seal(raw, *stored));
  if (current_ && current_->segments[0] != sealed.segment) TRY(put_current(Last::no));
  if (!current_) {
    current_ = std::make_shared<PendingGeneration>();
    current_->segments.push_back(sealed.segment);
  }
  const Run run = run_of(block, raw.size() / block_size_, sealed);
  sealed.extent.memory = std::move(stored);
  sealed.extent.seq = seq_;
  sealed.segment->extents.insert_or_assign(sealed.extent.number, sealed.extent);
  return run;
}

Result<ImportReport> import_image(Env env, io::FileIo& files, volume::Volume& volume, const DiskOptions& options, ImageSource& image,
                                  const ImportOptions& how) {
  const auto head = TRY(volume.load_head());
  const std::uint64_t size = TRY(size_after(image.size(), head.body.disk_bytes, volume.object().block_size(), how.fit));
  TRY(check_key(volume, size != head.body.disk_bytes));
  DiskOptions writer = options;
  writer.blind = true;
  // What an import that was stopped has left must not be seen unused before this one looks for it. (Who may read may have a journal to play
  // back, which may need room.)
  if (!volume.keys()->reads_data()) {
    writer.checkpoint_runs = writer.checkpoint_bytes = ~std::uint64_t{0};
    writer.checkpoint_commits = ~std::uint32_t{0};
  }
  writer.durability = Durability::store;
  writer.read_ahead_bytes = 0;
  auto opened = TRY(Disk::open(env, files, volume, writer));
  auto& disk = static_cast<DiskImpl&>(*opened);
  auto done = Importer(env, volume, disk, writer, image, how).run();
  const bool stopped = is_set(how.transfer.stop);
  auto closed = disk.close(stopped ? Duration::zero() : how.close_time);
  if (!done) return done;
  if (!closed) return fail(closed.error().within("the image is stored, but the volume could not be closed"));
  return done;
}

}  // namespace s3crate::device
