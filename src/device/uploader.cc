// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/uploader.h"

#include <algorithm>
#include <utility>

#include "segment/object_names.h"
#include "volume/line_place.h"

namespace s3crate::device {

using segment::ObjectInfo;
using segment::ObjectKind;
using volume::CommitBody;
using volume::CommitKind;
using volume::CommitRef;

namespace {
// That a mount would read: then a checkpoint is waited for. The levels of the delta base leave 60 of them in 65,536 generations,
// but for those that had to be passed over.
constexpr std::size_t kBasesMax = 1024;
constexpr int kJournalReadTries = 60;  // a second apart, while the disk works: what is given up was acknowledged
constexpr Duration kTroublePause = std::chrono::seconds(1);
constexpr Duration kCommitPause = std::chrono::seconds(5);
}  // namespace

Uploader::Uploader(Env env, const Parts& parts, const UploaderOptions& options)
    : env_(env), parts_(parts), head_(parts.head), options_(options), work_(env.executor.cond_var()), put_limit_(options.puts_at_start, options.puts_max) {}

Uploader::~Uploader() = default;

void Uploader::join() {
  {
    MutexLock lock(head_.mutex());
    work_->notify_all();
  }
  tasks_.clear();
}

void Uploader::start() {
  tasks_.push_back(env_.executor.spawn("uploader", [this] { coordinate(); }));
  for (std::uint32_t i = 0; i < options_.puts_max; ++i)
    tasks_.push_back(env_.executor.spawn("put", [this] { put_segments(); }));
}

void Uploader::demand(Seq through) {
  MutexLock lock(head_.mutex());
  demanded_ = std::max(demanded_, through);
  head_.changed().notify_all();
}

Result<> Uploader::pause(const Error& why) {
  parts_.trouble(why);
  MutexLock lock(head_.mutex());
  MonotonicTime deadline = env_.clock.monotonic_now() + kTroublePause;
  while (!head_.stopped_locked() && env_.clock.monotonic_now() < deadline) head_.changed().wait_until(head_.mutex(), deadline);
  if (head_.stopped_locked()) return fail(Code::kCancelled, "the disk is closing");
  return {};
}

// --- the coordinator -------------------------------------------------------------------------------------------------------

bool Uploader::wants_cut(const PendingGeneration& open) {
  std::size_t waiting = head_.generations_locked().size() - 1;
  if (waiting >= options_.generations_in_flight) return false;
  // What a commit can hold is not cut before the last one is there: it would wait for that anyway, and take fewer along.
  if (waiting > 0 && options_.inline_max > 0 && open.memory <= options_.inline_max) return false;
  return demanded_ >= open.first || head_.pressed_locked() || env_.clock.monotonic_now() >= cut_due(open);
}

// A full segment is sent at once, unless another was just now: a stream of writes then makes one commit for many segments.
MonotonicTime Uploader::cut_due(const PendingGeneration& open) {
  if (open.bytes >= options_.commit_bytes || open.memory >= options_.segment_bytes) return open.oldest;
  const MonotonicTime due = open.oldest + options_.upload_delay;
  if (open.bytes < options_.segment_bytes) return due;
  return std::min(due, last_start_ + std::min(kCommitPause, options_.upload_delay / 6));
}

GenerationPtr Uploader::next_to_start() {
  const auto& generations = head_.generations_locked();
  std::size_t started = active_.size();
  if (started >= options_.generations_in_flight || started + 1 >= generations.size()) return nullptr;
  if (parts_.chain.bases() >= kBasesMax) return nullptr;
  return generations[started];
}

bool Uploader::front_is_put() { return !active_.empty() && active_.front()->puts_left == 0; }

// False when stopped.
bool Uploader::wait_for_work() {
  MutexLock lock(head_.mutex());
  for (;;) {
    if (head_.stopped_locked()) return false;
    const PendingGeneration& open = *head_.generations_locked().back();
    if (front_is_put() || next_to_start() != nullptr) return true;
    if (open.empty()) {
      bool skippable = head_.generations_locked().size() == 1 && head_.stored_through_locked() < head_.encoded_through_locked();
      if (skippable || (room_wanted_ && head_.generations_locked().size() == 1)) return true;
      head_.changed().wait(head_.mutex());
    } else {
      if (wants_cut(open)) return true;
      MonotonicTime due = cut_due(open);
      if (due > env_.clock.monotonic_now()) head_.changed().wait_until(head_.mutex(), due);
      else head_.changed().wait(head_.mutex());  // due already, but too many are under way
    }
  }
}

void Uploader::coordinate() {
  while (wait_for_work()) {
    (void)head_.skip_empty();
    (void)head_.cut_if([this](const PendingGeneration& open) REQUIRES(head_.mutex()) { return wants_cut(open); });
    GenerationPtr next;
    std::shared_ptr<Active> ready;
    {
      MutexLock lock(head_.mutex());
      next = next_to_start();
      if (front_is_put()) ready = active_.front();
    }
    Result<> done;
    if (ready) done = commit(*ready);
    else if (next) done = start_generation(next);
    else if (must_free_journal()) done = commit_nothing();
    const bool committing = ready != nullptr;
    ready.reset();  // and with it what it pinned in the journal, which somebody may wait for
    {
      MutexLock lock(head_.mutex());
      head_.changed().notify_all();
    }
    if (done) continue;
    // Whoever waits for the store must not wait for ever. (Of a disk that stops this is no news.)
    if (is(done, Code::kCancelled) || is(done, Code::kFenced) || (committing && is(done, Code::kCorrupt))) {
      parts_.trouble(done.error());
      head_.fail_writes(done.error());
      return;
    }
    if (!pause(done.error())) return;
  }
}

void Uploader::make_room() {
  MutexLock lock(head_.mutex());
  room_wanted_ = parts_.journal != nullptr;
  head_.changed().notify_all();
}

bool Uploader::must_free_journal() {
  MutexLock lock(head_.mutex());
  bool nothing_pending = head_.generations_locked().size() == 1 && head_.generations_locked().back()->empty();
  return std::exchange(room_wanted_, false) && nothing_pending;
}

// The journal is full of batches that changed nothing. They need no generation; but before their places are used again some
// commit must say that they are done with, or recovery would miss them.
Result<> Uploader::commit_nothing() {
  CommitBody body;
  body.kind = CommitKind::data;
  body.committed = head_.stored_through();
  Seq through = body.committed;
  CommitRef ref = TRY(append(std::move(body)));
  parts_.journal->release(through);
  parts_.committed(ref);
  return {};
}

PlaceContext Uploader::context_of(Seq first) const {
  const std::uint32_t own = parts_.chain.who().epoch;
  return {own, first == options_.continues_seq.next() ? options_.continues_epoch : own, placed_ + 1, 0, options_.continues_place};
}

Result<> Uploader::start_generation(const GenerationPtr& generation) {
  parts_.sealer.close_segment();  // a segment belongs to exactly one generation
  TRY(complete_patches(*generation));
  PlaceContext context = context_of(generation->first);
  context.inline_max = options_.inline_max;
  auto active = std::make_shared<Active>();
  active->generation = generation;
  active->placed = TRY(place(*generation, context, [&] { return parts_.sealer.empty_segment(); }));
  placed_++;
  active->ordinal = context.ordinal;
  active->puts_left = active->placed.segments.size();
  if (active->placed.is_inline) make_inline(*active);
  counters_.left_out += active->placed.left_out;
  MutexLock lock(head_.mutex());
  generation->place = {context.epoch, context.ordinal};
  if (!active->placed.is_inline) tell_in_locked(active->placed.segments[0].index);
  last_start_ = env_.clock.monotonic_now();
  active_.push_back(std::move(active));
  work_->notify_all();
  return {};
}

void Uploader::tell(volume::CheckpointMark mark) {
  MutexLock lock(head_.mutex());
  untold_ = std::move(mark);
}

void Uploader::tell_in(segment::SegmentIndex& index) {
  MutexLock lock(head_.mutex());
  tell_in_locked(index);
}

void Uploader::tell_in_locked(segment::SegmentIndex& index) {
  if (!untold_) return;
  put_checkpoint_mark(index, *untold_);
  untold_.reset();
}

// Nothing of it has to be put.
void Uploader::make_inline(Active& active) {
  const PlacedSegment& placed = active.placed.segments[0];
  std::vector<Error> damaged;
  active.inline_extents = assemble_inline(placed, damaged);
  for (const Error& error : damaged) parts_.trouble(error.within("the blocks of an extent are lost"));
  ObjectInfo info;
  info.key = {0, placed.segment->id};
  info.kind = ObjectKind::inline_extents;
  info.length = active.inline_extents.size();
  info.ring = placed.segment->ring;
  info.sealed_secret = placed.segment->sealed_secret;
  info.blocks = placed.blocks;
  active.objects.push_back(info);
  active.next_put = 1;
  active.puts_left = 0;
  if (damaged.empty()) offer(placed, active.inline_extents);
}

Result<CommitRef> Uploader::append(CommitBody body, std::optional<Generation> only_as, ByteView inline_extents) {
  {
    MutexLock lock(head_.mutex());
    while (appending_) head_.changed().wait(head_.mutex());
    if (head_.stopped_locked()) return fail(Code::kCancelled, "the disk is closing");
    appending_ = true;
  }
  auto done = parts_.chain.append(std::move(body), only_as, inline_extents);
  // The chain takes nothing more from us, whichever task hears of it.
  if (!done && !is(done, Code::kCancelled) && parts_.chain.broken()) {
    parts_.trouble(done.error());
    head_.fail_writes(done.error());
  }
  MutexLock lock(head_.mutex());
  appending_ = false;
  head_.changed().notify_all();
  return done;
}

Result<> Uploader::commit(Active& active) {
  if (parts_.before_commit)
    if (auto may = parts_.before_commit(); !may) return fail(Code::kTransient, "{}", may.error().message());
  const PendingGeneration& generation = *active.generation;
  HeadCounters now = head_.counters();
  CommitBody body;
  body.kind = generation.resizes ? CommitKind::resize : CommitKind::data;
  body.disk_bytes = generation.disk_bytes;
  body.committed = generation.last;
  body.unsent_bytes = now.unsent_bytes - std::min(now.unsent_bytes, generation.bytes);
  if (body.unsent_bytes > 0 && now.oldest != MonotonicTime{})
    body.unsent_age_ns = static_cast<std::uint64_t>((env_.clock.monotonic_now() - now.oldest).count());
  body.objects = active.objects;
  body.runs = active.placed.runs;
  volume::put_line_place(body, {parts_.chain.who().epoch, active.ordinal});
  CommitRef ref = TRY(append(std::move(body), std::nullopt, active.inline_extents));
  for (ObjectInfo& info : active.objects) {
    info.born = ref.generation;
    parts_.objects.add(info);
  }
  head_.committed(active.generation, ref.generation, active.placed.runs, active.objects);
  if (parts_.journal != nullptr) parts_.journal->release(generation.last);
  parts_.committed(ref);
  MutexLock lock(head_.mutex());
  active_.pop_front();
  room_wanted_ = false;
  return {};
}

// --- the putters ---------------------------------------------------------------------------------------------------------------

std::shared_ptr<Uploader::Active> Uploader::active_with_more() {
  auto it = std::ranges::find_if(active_, [](const auto& a) { return a->next_put < a->placed.segments.size(); });
  return it == active_.end() ? nullptr : *it;
}

void Uploader::put_segments() {
  for (;;) {
    std::shared_ptr<Active> active;
    std::size_t which = 0;
    {
      MutexLock lock(head_.mutex());
      for (;;) {
        if (head_.stopped_locked()) return;
        if (putting_ < put_limit_.now()) active = active_with_more();
        if (active) break;
        work_->wait(head_.mutex());
      }
      which = active->next_put++;
      putting_++;
    }
    auto info = put_segment(active->placed.segments[which]);
    if (!info) return head_.fail_writes(info.error());  // stopped
    MutexLock lock(head_.mutex());
    putting_--;
    if (put_limit_.ended(info->length, active_with_more() != nullptr, env_.clock.monotonic_now())) work_->notify_all();
    active->objects.push_back(std::move(*info));
    active->puts_left--;
    head_.changed().notify_all();
  }
}

// What cannot be read of the journal is given up in the end, or one bad sector would stop all uploads. But a disk that takes no writes
// either is away, and what is on it comes back with it.
bool Uploader::is_disk_away(std::span<const Error> errors) {
  const bool unread = std::ranges::any_of(errors, [](const Error& error) { return error.code() == Code::kIo; });
  return unread && parts_.journal != nullptr && !parts_.journal->probe();
}

// Only kCancelled.
Result<ObjectInfo> Uploader::put_segment(const PlacedSegment& placed) {
  std::shared_ptr<const volume::KeyRing> keys = parts_.volume.keys();
  segment::SegmentHeader header{.vid = keys->vid(), .id = placed.segment->id, .ring = keys->ring(),
                                .keys_generation = keys->keys_generation(), .writer = keys->writer(), .flags = 0};
  for (int tries = 0;;) {
    std::vector<Error> damaged;
    auto assembled = assemble(placed, header, *keys, env_.random, parts_.buffers, tries < kJournalReadTries ? nullptr : &damaged);
    if (!assembled) damaged.push_back(assembled.error());
    const bool away = is_disk_away(damaged);
    if (!assembled || away) {
      tries += !away;
      TRY(pause(damaged.front()));
      continue;
    }
    for (const Error& error : damaged) parts_.trouble(error.within("the blocks of an extent are lost"));
    ObjectInfo info;
    info.key = {0, header.id};
    info.kind = ObjectKind::segment;
    info.nonce = env_.random.array<16>();
    info.length = assembled->object.view().size();
    info.hash = assembled->finished.index_hash;
    info.index_offset = assembled->finished.index_offset;
    info.index_length = assembled->finished.index_length;
    info.ring = placed.segment->ring;
    info.sealed_secret = placed.segment->sealed_secret;
    info.blocks = placed.blocks;
    // Where there is an index only, it tells what nothing else does: holes, another size, a rollback.
    info.has_holes = !placed.index.holes.empty() || placed.blocks == 0;
    auto put = put_object(segment::object_name(info.kind, header.id, info.nonce), assembled->object.view());
    if (put) {
      counters_.segments++;
      counters_.segment_bytes += info.length;
      if (damaged.empty()) offer(placed, assembled->object.view());
      return info;
    }
    if (is(put, Code::kCancelled)) return fail(put.error());
    TRY(pause(put.error()));  // under another name
  }
}

// What was written is likely to be read, and the journal is about to let it go.
void Uploader::offer(const PlacedSegment& placed, ByteView object) {
  if (parts_.sealed == nullptr) return;
  for (const PlacedExtent& extent : placed.extents)
    parts_.sealed->offer(extent.extent.digest, object.subspan(extent.offset, extent.extent.length));
}

// Unknown outcomes are resolved by putting the same bytes again.
Result<> Uploader::put_object(const std::string& name, ByteView object) {
  store::ObjectStore& store = parts_.volume.store();
  for (;;) {
    auto put = store.put(name, object);
    if (put || is(put, Code::kCancelled)) return put;
    if (is(put, Code::kExists)) {
      auto stored = store.get(name, object.size());
      if (stored && equal(*stored, object)) return {};
      if (stored || is(stored, Code::kCorrupt)) return fail(Code::kExists, "{} is taken by other bytes", name);
      if (is(stored, Code::kCancelled)) return fail(stored.error());
      put = fail(stored.error());
    }
    TRY(pause(put.error()));
  }
}

}  // namespace s3crate::device
