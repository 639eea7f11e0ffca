// SPDX-License-Identifier: GPL-3.0-or-later
// Of an import: segments that are put, the commits that name them, and the one that all changes stand in.
#include <algorithm>
#include <utility>

#include "device/importer.h"
#include "volume/line_place.h"

namespace s3crate::device {

using segment::ObjectInfo;
using volume::CommitBody;
using volume::CommitKind;
using volume::Run;

namespace {

// What no commit names, an import that goes on after this one was killed does not find: at most so many segments, for so long.
constexpr std::size_t kNamedTogether = 4;
constexpr Duration kNamedWithin = std::chrono::seconds(2);

tl::unexpected<Error> stopped() { return fail(Code::kCancelled, "stopped"); }

}  // namespace

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
    disk_.writer().uploader->tell_in(segment.index);
    if (!fingerprints_.empty()) volume::put_fingerprints(segment.index, std::exchange(fingerprints_, {}), *volume_.keys(), env_.random);
    report_.sent_bytes += segment.extents_end;
    TRY(puts_.add(std::move(segment)));
    if (puts_.there() >= kNamedTogether) TRY(stage());
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

Result<> Importer::finish_puts() {
  while (!TRY(puts_.wait_for_all(kNamedWithin))) TRY(stage());
  return {};
}

Result<> Importer::commit() {
  // Before the last segment, which says that there are no more: if all commits are lost, with that one the import is done.
  TRY(finish_puts());
  if (is_set(stop())) return stopped();
  if (!TRY(image_.unchanged())) {
    if (current_) TRY(put_current(Last::no));
    TRY(finish_puts());
    TRY(stage());
    return fail(Code::kIo, "the image changed while it was read: the disk is as it was");
  }
  // One that tells of it there must be, whatever it is made of.
  const bool resizes = report_.disk_bytes != report_.disk_bytes_before;
  if (current_ || !holes_.empty() || part_.number > 0 || !changes_.empty() || map_ || resizes) TRY(put_holes(Last::yes));
  TRY(finish_puts());
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
  if (changes_.empty() && !resizes) {
    note_places();
    return {};
  }
  CommitBody body;
  body.kind = resizes ? CommitKind::resize : CommitKind::data;
  body.disk_bytes = report_.disk_bytes;
  body.committed = seq_;
  body.objects = puts_.take();
  body.runs = changes_.runs();
  volume::put_line_place(body, {disk_.writer().chain->who().epoch, part_.ordinal});
  report_.generation = TRY(disk_.writer().uploader->append(std::move(body))).generation;
  disk_.head().note_imported(seq_);
  note_places();
  return {};
}

// The image is stored; without this later ones are sent as if none of it were known.
void Importer::note_places() {
  if (auto noted = lay_places(); !noted) report_.not_noted = noted.error();
}

// By a checkpoint, since only these have roots.
Result<> Importer::lay_places() {
  const std::vector<volume::TreeChange> changes = equal_->known() ? equal_->changes() : std::vector<volume::TreeChange>();
  if (std::ranges::none_of(changes, [](const volume::TreeChange& change) { return change.value.has_value(); })) return {};
  const volume::View view = TRY(volume_.load_view(TRY(volume_.load_head())));
  ImportMap map(context_, *disk_.writer().uploader, view);
  TRY(map.lay({}));
  TRY(map.lay_fingerprints(equal_->fingerprints(), changes));
  return map.checkpoint();
}

}  // namespace s3crate::device
