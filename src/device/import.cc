// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/import.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "device/disk_impl.h"
#include "device/equal_places.h"
#include "device/import_map.h"
#include "device/in_order.h"
#include "device/segment_puts.h"
#include "segment/part.h"
#include "volume/create.h"
#include "volume/line_place.h"

namespace s3crate::device {

using segment::ObjectInfo;
using volume::CommitBody;
using volume::CommitKind;
using volume::Run;
using volume::RunMap;

namespace {

constexpr std::uint64_t kCacheBytes = 32 << 20;
constexpr Duration kPutsEnd = std::chrono::seconds(3);

tl::unexpected<Error> stopped() { return fail(Code::kCancelled, "stopped"); }

// What becomes of neighbouring blocks.
enum class Fate { same, zeros, staged, sent };
struct Part {
  Fate fate = Fate::same;
  BlockIndex from, to;
};
// 64 KiB of which all blocks are sent, or all were staged.
struct Place {
  BlockIndex block;
  crypto::Fingerprint fingerprint{};
  std::optional<Run> equal;  // of the disk
};
struct Piece {
  std::uint64_t offset = 0;
  Bytes image, disk;  // whole blocks
  std::vector<Part> parts;
  std::vector<Place> places;               // ascending
  std::vector<crypto::Fingerprint> gone;   // of what is written over
  std::shared_ptr<Staged::Window> left;  // what an import before this one has left there; may be null
};

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

class Importer {
 public:
  Importer(Env env, volume::Volume& volume, DiskImpl& disk, const DiskOptions& disk_options, ImageSource& image, const ImportOptions& options)
      : env_(env),
        volume_(volume),
        disk_(disk),
        image_(image),
        options_(options),
        block_size_(disk.block_size()),
        encoder_options_{block_size_, volume.object().extent_bytes,
                         disk_options.segment_bytes != 0 ? disk_options.segment_bytes : volume.object().segment_bytes,
                         disk_options.compression_level, {}},
        sealer_(env, *volume.keys(), *disk.writer().chain, encoder_options_, counters_),
        context_{env, volume, *disk.writer().chain, disk_options.page_bytes, [this] { return is_set(stop()); }},
        puts_(env, *disk.writer().uploader, disk_options.upload_threads, options.transfer.stop) {}

  Result<ImportReport> run() {
    auto done = import_all();
    if (done) return std::move(report_);
    // A store that does not answer must not hold up who wants to go.
    if (!puts_.is_idle_within(kPutsEnd)) disk_.cancel();
    else if (is_set(stop())) (void)stage();  // what came since the last time, for the next try
    return fail(done.error());
  }

 private:
  [[nodiscard]] StopFlag stop() const { return options_.transfer.stop; }
  Result<> import_all();
  Result<std::optional<Piece>> next();
  Result<> compare(Piece& piece);
  Result<> look_for_equal(Piece& piece, const std::vector<Fate>& fates, const std::vector<ByteRange>& damaged);
  Result<> take(Piece& piece);
  Result<> take_staged(const Piece& piece, const Part& part);
  Result<> take_sent(const Piece& piece, const Part& part);
  Result<bool> take_equal(const Place& place);
  [[nodiscard]] const Place* place_at(const Piece& piece, BlockIndex from, BlockIndex to) const;
  Result<Run> send(BlockIndex block, ByteView raw);
  enum class Last { no, yes };
  Result<> put_current(Last last);
  Result<> stage();
  Result<> add(const Run& run);
  Result<> lay();
  Result<> put_holes(Last last);
  Result<> commit();
  Result<> commit_changes();
  Result<> note_places();
  [[nodiscard]] ByteView image_of(const Piece& piece, BlockIndex from, BlockIndex to) const {
    return ByteView(piece.image).subspan(from.value * block_size_ - piece.offset, (to - from) * block_size_);
  }

  Env env_;
  volume::Volume& volume_;
  DiskImpl& disk_;
  ImageSource& image_;
  const ImportOptions& options_;
  const std::uint32_t block_size_;
  const EncoderOptions encoder_options_;
  EncoderCounters counters_;
  ImportReport report_;

  std::optional<ViewReader> now_;     // the disk as it is
  std::optional<Staged> staged_;      // of next() alone, after the beginning
  std::optional<EqualPlaces> equal_;
  std::uint64_t end_ = 0;             // of what has to be looked at
  std::uint64_t at_ = 0;              // of next() alone

  // Of take() alone, which is called in the order of blocks.
  Seq seq_;
  SegmentSealer sealer_;
  std::shared_ptr<PendingGeneration> current_;  // the segment that fills
  segment::Part part_{.number = 0, .parts = 0, .ordinal = 1};  // the last one put; how many there are the last one says
  RunMap changes_;  // that are not laid
  RunMap holes_;    // that no index tells
  std::vector<ObjectInfo> named_;
  const LayContext context_;
  std::optional<ImportMap> map_;  // once there are more changes than a commit holds
  std::uint64_t read_ = 0;
  SegmentPuts puts_;  // ends first
};

Result<> Importer::import_all() {
  // What a journal held comes first; it is no part of the import.
  TRY(disk_.sync(stop()));
  disk_.writer().checkpointer->end();
  volume::View view = TRY(volume_.load_view(TRY(volume_.load_head())));
  // It may have grown.
  const std::uint64_t looked_at = std::max(view.disk_bytes, (image_.size() + block_size_ - 1) / block_size_ * block_size_);
  CHECK(options_.window_blocks * block_size_ % options_.transfer.piece_bytes == 0);
  staged_.emplace(TRY(Staged::find(env_, volume_, view, looked_at, options_.window_blocks, [this] { return is_set(stop()); })));
  now_.emplace(env_, volume_, std::move(view), kCacheBytes);
  equal_.emplace(env_, volume_, *now_, options_.places_max);
  report_.image_bytes = image_.size();
  report_.disk_bytes_before = now_->size();
  report_.disk_bytes = TRY(size_after(image_.size(), now_->size(), block_size_, options_.fit));
  seq_ = disk_.head().stored_through().next();
  end_ = std::min(report_.disk_bytes, std::max(now_->size(), image_.size()));
  TRY(in_order<Piece>(env_.executor, options_.transfer.workers,
                      {[this] { return next(); }, [this](Piece& piece) { return compare(piece); },
                       [this](Piece& piece) { return take(piece); }}));
  if (report_.disk_bytes < report_.disk_bytes_before)
    TRY(add(hole(BlockIndex(report_.disk_bytes / block_size_), BlockIndex(report_.disk_bytes_before / block_size_))));
  return commit();
}

// Where either has data, from a block on.
Result<std::optional<Piece>> Importer::next() {
  if (is_set(stop())) return stopped();
  if (at_ >= end_) return std::nullopt;
  const std::uint64_t of_disk = at_ < now_->size() ? TRY(now_->next_data(at_)) : end_;
  const std::uint64_t of_image = at_ < image_.size() ? TRY(image_.next_data(at_)) : end_;
  std::uint64_t at = std::min(of_disk < now_->size() ? of_disk : end_, of_image < image_.size() ? of_image : end_);
  if (at >= end_) return std::nullopt;
  at -= at % block_size_;
  Piece piece;
  piece.offset = at;
  at_ = std::min((at / options_.transfer.piece_bytes + 1) * options_.transfer.piece_bytes, end_);
  const std::uint64_t length = (at_ - at + block_size_ - 1) / block_size_ * block_size_;
  piece.image.resize(length);
  piece.disk.resize(length);
  if (!staged_->empty()) piece.left = TRY(staged_->window_of(BlockIndex(at / block_size_)));
  return piece;
}

// A block that cannot be read differs, and is written anew with what the image has.
Result<> Importer::compare(Piece& piece) {
  const auto part = [&](std::uint64_t size) { return std::min<std::uint64_t>(piece.image.size(), size - std::min(size, piece.offset)); };
  if (const auto n = part(image_.size()); n > 0) TRY(image_.read(piece.offset, MutableByteView(piece.image).first(n)));
  ViewReader::Piece read;
  if (const auto n = part(now_->size()); n > 0) read = TRY(now_->read(piece.offset, MutableByteView(piece.disk).first(n)));
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
    const BlockIndex block((piece.offset + at) / block_size_);
    if (!piece.parts.empty() && piece.parts.back().fate == fate) piece.parts.back().to = block.next();
    else piece.parts.push_back({fate, block, block.next()});
    fates.push_back(fate);
  }
  TRY(look_for_equal(piece, fates, read.damaged));
  piece.disk = {};
  return {};
}

// Of places of which all blocks are others; a few blocks are sent sooner than looked for.
Result<> Importer::look_for_equal(Piece& piece, const std::vector<Fate>& fates, const std::vector<ByteRange>& damaged) {
  if (!equal_->known()) return {};
  const std::uint64_t n = equal_->blocks(), first = piece.offset / block_size_, bytes = n * block_size_;
  for (std::uint64_t block = (first + n - 1) / n * n; block + n <= first + fates.size(); block += n) {
    const std::span fate(fates.begin() + static_cast<std::ptrdiff_t>(block - first), n);
    const auto all = [&](Fate f) { return std::ranges::count(fate, f) == std::ssize(fate); };
    if (all(Fate::same)) continue;
    const std::uint64_t at = (block - first) * block_size_, offset = piece.offset + at;
    const ByteView old = ByteView(piece.disk).subspan(at, bytes), wanted = ByteView(piece.image).subspan(at, bytes);
    const auto hit = [&](const ByteRange& r) { return r.offset < offset + bytes && offset < r.offset + r.length; };
    if (!all_zero(old) && std::ranges::none_of(damaged, hit)) piece.gone.push_back(equal_->of(old));
    if (!all(Fate::sent) && !all(Fate::staged)) continue;
    Place place{BlockIndex(block), equal_->of(wanted), {}};
    if (all(Fate::sent)) place.equal = TRY(equal_->find(place.fingerprint, wanted));
    piece.places.push_back(std::move(place));
  }
  return {};
}

Result<> Importer::add(const Run& run) {
  if (run.hole) holes_.put(run);
  changes_.put(run);
  // Smaller shares cost little more: an image is read in the order of blocks.
  return changes_.size() > (map_ ? options_.runs_max / 4 : options_.runs_max) ? lay() : Result<>();
}

Result<> Importer::lay() {
  if (!map_ && !volume_.keys()->may_sign(CommitKind::rollback))
    return fail(Code::kBadKey, "the image differs from the disk in more than {} places: only an owner's or a writer's key may store that", options_.runs_max);
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
    if (part.fate == Fate::staged) TRY(take_staged(piece, part));
    if (part.fate == Fate::sent) TRY(take_sent(piece, part));
  }
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
      const Run run = TRY(send(at, image_of(piece, at, end)));
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
  // Where it will lie in the segment that fills is not known yet.
  if (run.extent.offset == 0) current_->runs.put(run);
  else TRY(add(run));
  return true;
}

Result<Run> Importer::send(BlockIndex block, ByteView raw) {
  auto stored = std::make_shared<Bytes>();
  auto sealed = TRY(sealer_.seal(raw, *stored));
  if (current_ && current_->segments[0] != sealed.segment) TRY(put_current(Last::no));
  if (!current_) {
    current_ = std::make_shared<PendingGeneration>();
    current_->segments.push_back(sealed.segment);
  }
  const Run run = run_of(block, raw.size() / block_size_, sealed);
  current_->runs.put(run);
  sealed.extent.memory = std::move(stored);
  sealed.extent.seq = seq_;
  sealed.segment->extents.insert_or_assign(sealed.extent.number, sealed.extent);
  return run;
}

Result<> Importer::put_current(Last last) {
  current_->first = current_->last = seq_;
  current_->disk_bytes = report_.disk_bytes;
  const PlaceContext context = disk_.writer().uploader->context_of(seq_);
  part_.ordinal = context.ordinal;
  auto placed = TRY(place(*current_, context, [this] { return sealer_.empty_segment(); }));
  equal_->placed(placed.runs);
  for (const Run& run : placed.runs)
    if (!run.hole) TRY(add(run));
  for (PlacedSegment& segment : placed.segments) {
    // What an import before this one had sent, or the disk has elsewhere, no index tells to be of this generation: it counts as a part that is missing.
    part_.number++;
    if (last == Last::yes) part_.parts = part_.number + (report_.found_bytes + report_.equal_bytes > 0 ? 1 : 0);
    segment::put_part(segment.index, part_);
    report_.sent_bytes += segment.extents_end;
    TRY(puts_.add(std::move(segment)));
  }
  current_.reset();
  return {};
}

// Index and segment have room for so many holes; so they need not all be held.
Result<> Importer::put_holes(Last last) {
  if (!current_) current_ = std::make_shared<PendingGeneration>();
  for (const Run& run : holes_.runs()) current_->runs.put(run);
  holes_ = {};
  sealer_.close_segment();
  return put_current(last);
}

// Names the segments that are there, so that they are found again.
Result<> Importer::stage() {
  CommitBody body;
  body.objects = puts_.take();
  if (body.objects.empty()) return {};
  body.kind = CommitKind::data;
  body.committed = disk_.head().stored_through();
  named_.insert(named_.end(), body.objects.begin(), body.objects.end());
  const std::size_t named = body.objects.size();
  const auto ref = TRY(disk_.writer().uploader->append(std::move(body)));
  for (ObjectInfo& info : std::span(named_).last(named)) info.born = ref.generation;
  return {};
}

Result<> Importer::commit() {
  // Before the last segment, which says that there are no more: if all commits are lost, with that one the import is done.
  TRY(puts_.wait_for_all());
  if (is_set(stop())) return stopped();
  if (!TRY(image_.unchanged())) {
    if (current_) TRY(put_current(Last::no));
    TRY(puts_.wait_for_all());
    TRY(stage());
    return fail(Code::kIo, "the image changed while it was read: the disk is as it was");
  }
  // One that tells of it there must be, whatever it is made of.
  const bool resizes = report_.disk_bytes != report_.disk_bytes_before;
  if (current_ || !holes_.empty() || part_.number > 0 || !changes_.empty() || map_ || resizes) TRY(put_holes(Last::yes));
  TRY(puts_.wait_for_all());
  if (is_set(stop())) return stopped();
  if (!map_) return commit_changes();
  // What is counted must be named before.
  TRY(stage());
  if (!changes_.empty()) TRY(lay());
  if (equal_->known()) TRY(map_->lay_fingerprints(equal_->fingerprints(), equal_->changes()));
  report_.generation = TRY(map_->commit(report_.disk_bytes, seq_, named_));
  disk_.head().note_imported(seq_);
  return {};
}

Result<> Importer::commit_changes() {
  const bool resizes = report_.disk_bytes != report_.disk_bytes_before;
  report_.generation = disk_.writer().chain->head();
  if (changes_.empty() && !resizes) return {};
  CommitBody body;
  body.kind = resizes ? CommitKind::resize : CommitKind::data;
  body.disk_bytes = report_.disk_bytes;
  body.committed = seq_;
  body.objects = puts_.take();
  body.runs = changes_.runs();
  volume::put_line_place(body, {disk_.writer().chain->who().epoch, part_.ordinal});
  report_.generation = TRY(disk_.writer().uploader->append(std::move(body))).generation;
  disk_.head().note_imported(seq_);
  // The image is stored; without this later ones are sent as if none of it were known.
  (void)note_places();
  return {};
}

// By a checkpoint, since only these have roots.
Result<> Importer::note_places() {
  const std::vector<volume::TreeChange> changes = equal_->known() ? equal_->changes() : std::vector<volume::TreeChange>();
  if (std::ranges::none_of(changes, [](const volume::TreeChange& change) { return change.value.has_value(); })) return {};
  const volume::View view = TRY(volume_.load_view(TRY(volume_.load_head())));
  ImportMap map(context_, *disk_.writer().uploader, view);
  TRY(map.lay({}));
  TRY(map.lay_fingerprints(equal_->fingerprints(), changes));
  return map.checkpoint();
}

}  // namespace

Result<ImportReport> import_image(Env env, io::FileIo& files, volume::Volume& volume, const DiskOptions& options, ImageSource& image,
                                  const ImportOptions& how) {
  // Before anything is changed.
  const auto head = TRY(volume.load_head());
  (void)TRY(size_after(image.size(), head.body.disk_bytes, volume.object().block_size(), how.fit));
  DiskOptions writer = options;
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
