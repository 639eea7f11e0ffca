// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/import.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "device/disk_impl.h"
#include "device/import_map.h"
#include "device/in_order.h"
#include "device/segment_puts.h"
#include "segment/part.h"
#include "volume/create.h"

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
struct Piece {
  std::uint64_t offset = 0;
  Bytes image, disk;  // whole blocks
  std::vector<Part> parts;
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
  Result<> take(Piece& piece);
  Result<> send(BlockIndex block, ByteView raw);
  enum class Last { no, yes };
  Result<> put_current(Last last);
  Result<> stage();
  Result<> add(const Run& run);
  Result<> lay();
  Result<> put_holes(Last last);
  Result<> commit();
  Result<> commit_changes();
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
  for (std::uint64_t at = 0; at < piece.image.size(); at += block_size_) {
    const ByteView wanted = ByteView(piece.image).subspan(at, block_size_);
    Fate fate = Fate::sent;
    if (equal(wanted, ByteView(piece.disk).subspan(at, block_size_)) && !is_in(read.damaged, piece.offset + at)) fate = Fate::same;
    else if (all_zero(wanted)) fate = Fate::zeros;
    else if (piece.left && equal(wanted, ByteView(staged).subspan(at, block_size_))) fate = Fate::staged;
    const BlockIndex block((piece.offset + at) / block_size_);
    if (!piece.parts.empty() && piece.parts.back().fate == fate) piece.parts.back().to = block.next();
    else piece.parts.push_back({fate, block, block.next()});
  }
  piece.disk = {};
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
  const std::uint64_t extent_blocks = encoder_options_.extent_bytes / block_size_;
  for (const Part& part : piece.parts) {
    if (is_set(stop())) return stopped();
    if (part.fate == Fate::same) continue;
    report_.changed_bytes += (part.to - part.from) * block_size_;
    if (part.fate == Fate::zeros) TRY(add(hole(part.from, part.to)));
    if (part.fate == Fate::staged) {
      report_.found_bytes += (part.to - part.from) * block_size_;
      Result<> added;
      piece.left->runs.visit(part.from, part.to, [&](const Run& run) {
        if (added) added = add(run);
      });
      TRY(added);
    }
    for (BlockIndex at = part.from; part.fate == Fate::sent && at < part.to;) {
      const BlockIndex end = std::min(part.to, BlockIndex((at.value / extent_blocks + 1) * extent_blocks));
      TRY(send(at, image_of(piece, at, end)));
      at = end;
    }
  }
  if (holes_.size() > options_.runs_max / 4) TRY(put_holes(Last::no));
  TRY(stage());
  if (options_.transfer.progress) options_.transfer.progress({std::min(end_, piece.offset + piece.image.size()), end_, read_ += piece.image.size()});
  return {};
}

Result<> Importer::send(BlockIndex block, ByteView raw) {
  auto stored = std::make_shared<Bytes>();
  auto sealed = TRY(sealer_.seal(raw, *stored));
  if (current_ && current_->segments[0] != sealed.segment) TRY(put_current(Last::no));
  if (!current_) {
    current_ = std::make_shared<PendingGeneration>();
    current_->segments.push_back(sealed.segment);
  }
  current_->runs.put(run_of(block, raw.size() / block_size_, sealed));
  sealed.extent.memory = std::move(stored);
  sealed.extent.seq = seq_;
  sealed.segment->extents.insert_or_assign(sealed.extent.number, sealed.extent);
  return {};
}

Result<> Importer::put_current(Last last) {
  current_->first = current_->last = seq_;
  current_->disk_bytes = report_.disk_bytes;
  const PlaceContext context = disk_.writer().uploader->context_of(seq_);
  part_.ordinal = context.ordinal;
  auto placed = TRY(place(*current_, context, [this] { return sealer_.empty_segment(); }));
  for (const Run& run : placed.runs)
    if (!run.hole) TRY(add(run));
  for (PlacedSegment& segment : placed.segments) {
    // What an import before this one had sent, no index tells to be of this generation: it counts as a part that is missing.
    part_.number++;
    if (last == Last::yes) part_.parts = part_.number + (report_.found_bytes > 0 ? 1 : 0);
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
  // The last segment says how many there are.
  if (current_ || !holes_.empty() || part_.number > 0) TRY(put_holes(Last::yes));
  TRY(puts_.wait_for_all());
  if (is_set(stop())) return stopped();
  if (!TRY(image_.unchanged())) {
    TRY(stage());
    return fail(Code::kIo, "the image changed while it was read: the disk is as it was");
  }
  if (!map_) return commit_changes();
  // What is counted must be named before.
  TRY(stage());
  if (!changes_.empty()) TRY(lay());
  report_.generation = TRY(map_->commit(report_.disk_bytes, seq_, named_));
  disk_.head().note_imported(seq_);
  return {};
}

Result<> Importer::commit_changes() {
  report_.generation = disk_.writer().chain->head();
  const bool resizes = report_.disk_bytes != report_.disk_bytes_before;
  if (changes_.empty() && !resizes) return {};
  CommitBody body;
  body.kind = resizes ? CommitKind::resize : CommitKind::data;
  body.disk_bytes = report_.disk_bytes;
  body.committed = seq_;
  body.objects = puts_.take();
  body.runs = changes_.runs();
  report_.generation = TRY(disk_.writer().uploader->append(std::move(body))).generation;
  disk_.head().note_imported(seq_);
  return {};
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
