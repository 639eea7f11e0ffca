// SPDX-License-Identifier: GPL-3.0-or-later
// Rollback: a generation with the map of an older one. It is a checkpoint whose roots are those of the old map, with the changes laid
// over it that were in memory then, and of companions that go on from today's: the old object table would know nothing of what was
// stored since, which the generations in between need as before.
//
// What both maps share stays as it is. What only the old one has comes alive again: it died never. What only the new one has dies in
// the rollback's own number, which must therefore be known when the pages are written: if a guest takes it, they are written anew.
// Subtrees that were dropped and not walked yet are walked first; else the walk would take what has come alive for dead.
//
// It is one commit. A crash before it leaves objects that no commit names; after it, the volume as it is open after any crash.
//
// A segment of index only tells of it in the line of the others (segment/part.h), like a change of the size that has no batch: without that, a
// repair by the indexes alone would bring back what was rolled back.
#include "base/time_text.h"
#include "device/disk_impl.h"
#include "volume/line_place.h"
#include "volume/rollback.h"

namespace s3crate::device {

namespace {
// Guests that took the number, each time after all pages were written.
constexpr int kTriesMax = 16;
constexpr std::size_t kNoLimit = std::size_t{1} << 40;  // of pages
}  // namespace

// --- the head ----------------------------------------------------------------------------------------------------------------

bool Head::is_all_committed() {
  MutexLock lock(mu_);
  return !current_ && frozen_.empty() && generations_.size() == 1 && generations_.back()->empty();
}

void Head::end_rollback(s3crate::Generation generation, const volume::MaybeRoot& root, const volume::MapState& state,
                        std::span<const segment::ObjectInfo> objects) {
  MutexLock lock(mu_);
  root_ = root;
  committed_ = {};
  carried_ = 0;
  checkpointing_.reset();
  committed_generation_ = generation;
  committed_state_ = state;
  disk_bytes_ = generations_.back()->disk_bytes = state.disk_bytes;  // the open one is empty: see is_all_committed()
  new_objects_.insert(new_objects_.end(), objects.begin(), objects.end());
  counters_.checkpoints++;
  room_->notify_all();
  changed_->notify_all();
}

// --- the checkpointer ----------------------------------------------------------------------------------------------------------

// What tells of it when all commits are lost.
Result<segment::ObjectInfo> Checkpointer::put_rollback_segment(const volume::View& past, const PlaceContext& context) {
  segment::RollbackMark mark{.generation = past.generation, .commit = {}, .place = {}};
  const volume::Commit commit = TRY(volume_.load_commit(past.generation));
  mark.commit = commit.hash;
  mark.place = volume::line_place(commit.body);
  PendingGeneration generation;
  generation.last = head_.stored_through();
  generation.first = generation.last.next();
  generation.disk_bytes = past.disk_bytes;
  const auto keys = volume_.keys();
  const EncoderOptions encoding;
  EncoderCounters counters;
  SegmentSealer sealer(env_, *keys, chain_, encoding, counters);
  auto placed = TRY(place(generation, context, [&] { return sealer.empty_segment(); }));
  segment::put_rollback_mark(placed.segments.at(0).index, mark);
  return uploader_.put_segment(placed.segments.at(0));
}

Result<Generation> Checkpointer::store_rollback(const Head::Changes& changes, const Rollback& rollback) {
  const volume::View& past = rollback.past;
  const auto stopped = [&] { return this->stopped() || is_set(rollback.stop); };
  if (!head_.is_all_committed()) return fail(Code::kExists, "the disk is being written to");
  volume::Companions companions = state_.companions;
  TRY(companions.late.walk(volume_.pages(), kNoLimit, 0, stopped));
  TRY(volume::note_switch(volume_.pages(), changes.root, past.map, companions.late, stopped));
  const PlaceContext context = uploader_.context_of(head_.stored_through().next());
  const volume::MapState state{context.epoch, head_.stored_through(), {context.epoch, context.ordinal}, past.disk_bytes};
  std::optional<segment::ObjectInfo> told;
  for (int i = 0; i < kTriesMax; ++i) {
    if (stopped()) return fail(Code::kCancelled, "stopped");
    const Generation own = chain_.head().next();
    auto put = lay(past.map, past.changes.runs(), companions, changes, own);
    if (is(put, Code::kCorrupt) || is(put, Code::kNotFound))
      return fail(Code::kCorrupt, "the map of generation {} is damaged (see check): {}", past.generation, put.error().message());
    Laid laid = TRY(std::move(put));
    if (!told) told = TRY(put_rollback_segment(past, context));
    laid.own.push_back(*told);
    volume::CommitBody body = body_of(laid, changes.as_of, state);
    body.kind = volume::CommitKind::rollback;
    body.disk_bytes = past.disk_bytes;
    put_rollback_point(body, past.generation);
    volume::put_line_place(body, state.place);
    const auto ref = uploader_.append(std::move(body), own);
    if (is(ref, Code::kExists)) continue;
    const Generation generation = TRY(ref).generation;
    uploader_.note_placed();
    const auto map = laid.map;
    head_.end_rollback(generation, map, state, stored(std::move(laid), *ref, changes.as_of));
    return generation;
  }
  return fail(Code::kTransient, "others commit to the volume faster than it can be rolled back: try again");
}

bool Checkpointer::serve_rollback(const Head::Changes& changes) {
  Rollback* asked;
  {
    MutexLock lock(head_.mutex());
    asked = std::exchange(rollback_, nullptr);
    if (asked == nullptr) return false;
    asked->served = true;
  }
  auto done = store_rollback(changes, *asked);
  const bool stored = done.has_value();
  MutexLock lock(head_.mutex());
  asked->done = std::move(done);
  head_.changed().notify_all();
  return stored;
}

// Once it is served there is an answer, soon after a stop too; until then the task may end, or have to wait for the store.
Result<Generation> Checkpointer::roll_back(const volume::View& past, StopFlag stop) {
  Rollback asked{past, stop};
  MutexLock lock(head_.mutex());
  CHECK(rollback_ == nullptr);
  rollback_ = &asked;
  head_.changed().notify_all();
  const auto given_up = [&]() REQUIRES(head_.mutex()) { return over_ || head_.stopped_locked() || head_.failure_locked() || is_set(stop); };
  while (!asked.done && (asked.served || !given_up()))
    head_.changed().wait_until(head_.mutex(), env_.clock.monotonic_now() + kStopPoll);
  if (asked.done) return std::move(*asked.done);
  rollback_ = nullptr;
  return fail(head_.failure_locked().value_or(Error(Code::kCancelled, "stopped")));
}

// --- the disk ----------------------------------------------------------------------------------------------------------------

Result<Generation> DiskImpl::roll_back(const volume::View& past, StopFlag stop) {
  if (options_.read_only) return fail(Code::kUnsupported, "the disk is mounted read-only");
  const auto keys = volume_.keys();
  if (keys->signer() == nullptr || !keys->may_sign(volume::CommitKind::rollback))
    return fail(Code::kBadKey, "this key may not roll the disk back: an owner's or a writer's may");
  TRY(sync(stop));
  return writer_.checkpointer->roll_back(past, stop);
}

}  // namespace s3crate::device
