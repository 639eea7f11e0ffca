// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/head.h"

#include <algorithm>
#include <utility>

namespace s3crate::device {

using volume::MaybeRoot;
using volume::Run;

namespace {
// How often the uploader is told that the open generation grows: 256 KiB apart with segments of 8 MiB.
constexpr std::uint64_t kNewsOfAGeneration = 512;

// What their commits hold besides what is said of them.
std::uint64_t inline_bytes(std::span<const segment::ObjectInfo> objects) {
  std::uint64_t bytes = 0;
  for (const segment::ObjectInfo& info : objects)
    if (info.kind == segment::ObjectKind::inline_extents) bytes += info.length;
  return bytes;
}
}  // namespace

Head::Head(Env env, std::uint32_t block_size, const HeadLimits& limits, volume::View view, Seq last_seq)
    : env_(env),
      block_size_(block_size),
      limits_(limits),
      disk_bytes_(view.disk_bytes),
      changed_(env.executor.cond_var()),
      encoding_done_(env.executor.cond_var()),
      room_(env.executor.cond_var()),
      committed_(std::move(view.changes)),
      root_(view.map),
      committed_generation_(view.generation),
      committed_state_(view.state),
      new_objects_(std::move(view.new_objects)),
      commits_since_checkpoint_(view.generation - view.checkpoint.as_of),  // guests and all: at least as many
      bytes_since_checkpoint_(volume::encoded_max(committed_.runs(), new_objects_) + inline_bytes(new_objects_)),
      last_frozen_(last_seq),
      encoded_through_(last_seq),
      stored_through_(last_seq) {
  MutexLock lock(mu_);
  open_generation();
}

void Head::open_generation() {
  auto generation = std::make_shared<PendingGeneration>();
  generation->ordinal = next_ordinal_++;
  // What follows another size has it, though it may not be stored yet.
  generation->disk_bytes = generations_.empty() ? disk_bytes_.load() : generations_.back()->disk_bytes;
  generations_.push_back(std::move(generation));
}

bool Head::end_if_full() {
  const PendingGeneration& open = *generations_.back();
  if (open.runs.size() < limits_.generation_runs && open.bytes < limits_.generation_bytes) return false;
  open_generation();
  return true;
}

Batch& Head::current() {
  if (!current_) {
    current_ = std::make_unique<Batch>(block_size_);
    current_->first_change = env_.clock.monotonic_now();
  }
  return *current_;
}

// --- users -----------------------------------------------------------------------------------------------------------------

std::uint64_t Head::runs_locked() const {
  std::uint64_t n = committed_.size() + (checkpointing_ ? checkpointing_->size() : 0);
  for (const GenerationPtr& generation : generations_) n += generation->runs.size() + generation->patches.size();
  return n;
}

bool Head::has_room(std::uint64_t bytes) const {
  std::uint64_t held = dirty_bytes_ + memory_bytes_ + (current_ ? current_->bytes() : 0);
  // One write at a time gets in whatever its size; a batch may bring as many runs as it has blocks.
  return (held == 0 || held + bytes <= limits_.dirty_max) &&
         runs_locked() + held / block_size_ < limits_.delta_runs_max;
}

Result<> Head::wait_for_room(std::uint64_t bytes, StopFlag stop) {
  bool counted = false;
  while (!stopped_ && !failure_ && !is_set(stop) && !has_room(bytes)) {
    if (!counted) counters_.writer_waits++;
    counted = true;
    freeze_locked();
    waiting_writers_++;
    changed_->notify_all();
    if (stop == nullptr) room_->wait(mu_);
    else room_->wait_until(mu_, env_.clock.monotonic_now() + kStopPoll);
    waiting_writers_--;
  }
  if (failure_) return fail(*failure_);
  if (stopped_) return fail(Code::kCancelled, "the disk is closing");
  if (is_set(stop)) return fail(Code::kCancelled, "stopped waiting for room");
  return {};
}

Result<> Head::check_inside(std::uint64_t offset, std::uint64_t length) const {
  if (offset <= disk_bytes_ && length <= disk_bytes_ - offset) return {};
  return fail(Code::kBadArgument, "beyond the end of the disk");
}

Result<> Head::write(std::uint64_t offset, ByteView data, StopFlag stop) {
  if (data.empty()) return {};
  TRY(check_inside(offset, data.size()));
  std::uint64_t first = offset / block_size_;
  std::uint64_t blocks = (offset + data.size() - 1) / block_size_ - first + 1;
  std::size_t skew = offset - first * block_size_;
  bool aligned = skew == 0 && data.size() % block_size_ == 0;
  // Zeroed only where bytes around the write must be.
  auto buffer = std::make_shared<Buffer>(blocks * block_size_, !aligned);
  std::memcpy(buffer->bytes.get() + skew, data.data(), data.size());

  MutexLock lock(mu_);
  TRY(wait_for_room(data.size(), stop));
  // Again: it may have become smaller meanwhile.
  TRY(check_inside(offset, data.size()));
  if (current_ && current_->bytes() + blocks * block_size_ > limits_.batch_bytes) freeze_locked();
  bool was_empty = !current_;
  current().write(offset, data.size(), std::move(buffer));
  if (was_empty) wake_encoder_for_alarm();
  return {};
}

// The background encoder sets its alarm by the first change of a batch. While it has one, that is early enough: it looks then at what
// there is.
void Head::wake_encoder_for_alarm() {
  if (encoder_without_alarm_) changed_->notify_all();
}

Result<> Head::discard(std::uint64_t offset, std::uint64_t length, StopFlag stop) {
  if (length == 0) return {};
  TRY(check_inside(offset, length));
  std::uint64_t end = offset + length;
  std::uint64_t from = (offset + block_size_ - 1) / block_size_;
  std::uint64_t to = end / block_size_;
  auto zeros = [&](std::uint64_t at, std::uint64_t until) REQUIRES(mu_) {
    if (at >= until) return;
    current().write(at, until - at, std::make_shared<Buffer>(block_size_, true));
  };
  MutexLock lock(mu_);
  TRY(wait_for_room(2 * block_size_, stop));
  TRY(check_inside(offset, length));
  if (current_ && current_->bytes() > limits_.batch_bytes) freeze_locked();
  bool was_empty = !current_;
  if (from > to) {  // inside one block
    zeros(offset, end);
  } else {
    zeros(offset, from * block_size_);
    current().discard(BlockIndex(from), BlockIndex(to));
    zeros(to * block_size_, end);
  }
  if (was_empty) wake_encoder_for_alarm();
  return {};
}

Seq Head::freeze_locked(Encodes who) {
  if (current_ && !current_->empty()) {
    current_->seq = last_frozen_ = last_frozen_.next();
    current_->disk_bytes = disk_bytes_;
    dirty_bytes_ += current_->bytes();
    frozen_.push_back(std::move(current_));
    if (who == Encodes::background) changed_->notify_all();
  }
  current_.reset();
  return last_frozen_;
}

Seq Head::freeze(Encodes who) {
  MutexLock lock(mu_);
  return freeze_locked(who);
}

void Head::leave_to_background() {
  MutexLock lock(mu_);
  changed_->notify_all();
}

// --- the encoder -------------------------------------------------------------------------------------------------------------

Result<std::optional<Head::Encoding>> Head::begin_encoding(Seq through) {
  MutexLock lock(mu_);
  for (;;) {
    if (encoded_through_ >= through || frozen_.empty()) return std::nullopt;
    if (stopped_) return fail(Code::kCancelled, "the disk is closing");
    if (!encoding_ && cuts_waiting_ == 0) break;
    encoding_done_->wait(mu_);
  }
  encoding_ = true;
  return Encoding{frozen_.front(), generations_.back()->ordinal};
}

void Head::end_encoding(const Encoding& encoding, EncodedBatch* encoded) {
  MutexLock lock(mu_);
  CHECK(encoding_ && frozen_.front() == encoding.batch && generations_.back()->ordinal == encoding.generation);
  encoding_ = false;
  bool is_news = true;
  if (encoded != nullptr) {
    const Batch& batch = *encoding.batch;
    PendingGeneration& open = *generations_.back();
    const bool was_empty = open.empty();
    const std::uint64_t step = std::max<std::uint64_t>(1, limits_.generation_bytes / kNewsOfAGeneration), steps = open.bytes / step;
    publish(open, *encoded);
    is_news = was_empty || open.empty() || open.bytes / step != steps;
    if (open.first == Seq(0)) open.first = encoded_through_.next();
    if (open.oldest == MonotonicTime{}) open.oldest = batch.first_change;
    open.last = encoded_through_ = batch.seq;
    is_news |= end_if_full();
    counters_.batches++;
    dirty_bytes_ -= batch.bytes();
    frozen_.pop_front();
    room_->notify_all();
  }
  encoding_done_->notify_all();
  // Who waits for more than the end of this encoding has nothing to do yet, most times: uploader, checkpointer and background encoder
  // would be woken in vain for each fsync, which cost as much as all the rest of it.
  if (is_news || !frozen_.empty() || waiting_writers_ > 0) changed_->notify_all();
}

void Head::publish(PendingGeneration& into, EncodedBatch& encoded) {
  for (auto& [segment, extent] : encoded.extents) {
    if (pending_.emplace(segment->id, segment).second) into.segments.push_back(segment);
    into.bytes += extent.length;
    if (!extent.record) into.memory += extent.length, memory_bytes_ += extent.length;
    std::uint32_t number = extent.number;
    segment->extents.emplace(number, std::move(extent));
  }
  auto put = [&](const Run& run) REQUIRES(mu_) {
    into.runs.put(run);
    auto first = into.patches.lower_bound(run.block);
    auto last = into.patches.lower_bound(run.end());
    std::uint64_t freed = static_cast<std::uint64_t>(std::distance(first, last)) * block_size_;
    into.memory -= freed, memory_bytes_ -= freed;
    into.patches.erase(first, last);
  };
  for (const Run& hole : encoded.holes) put(hole);
  for (const Run& run : encoded.runs) put(run);
  for (auto& [block, patch] : encoded.patches) {
    auto [it, fresh] = into.patches.try_emplace(block, patch);
    if (!fresh) {
      lay_over(it->second, patch, block_size_);
      continue;
    }
    into.bytes += block_size_;
    into.memory += block_size_, memory_bytes_ += block_size_;
  }
}

std::optional<Seq> Head::wait_for_batch(Duration delay) {
  MutexLock lock(mu_);
  while (!stopped_) {
    if (!frozen_.empty() && !encoding_) return frozen_.front()->seq;
    if (current_ && !current_->empty()) {
      MonotonicTime due = current_->first_change + delay;
      if (env_.clock.monotonic_now() >= due) freeze_locked();
      else changed_->wait_until(mu_, due);
    } else {
      encoder_without_alarm_ = true;
      changed_->wait(mu_);
      encoder_without_alarm_ = false;
    }
  }
  return std::nullopt;
}

bool Head::restore(Seq seq, EncodedBatch& encoded, MonotonicTime when) {
  MutexLock lock(mu_);
  PendingGeneration& open = *generations_.back();
  publish(open, encoded);
  if (open.first == Seq(0)) open.first = seq, open.oldest = when;
  open.last = encoded_through_ = last_frozen_ = seq;
  return end_if_full();
}

// --- the uploader --------------------------------------------------------------------------------------------------------------

GenerationPtr Head::cut_if(const std::function<bool(const PendingGeneration&)>& wanted) {
  MutexLock lock(mu_);
  for (;;) {
    GenerationPtr open = generations_.back();
    if (stopped_ || open->empty() || !wanted(*open)) return nullptr;
    if (!encoding_) {
      open_generation();
      return open;
    }
    encoding_done_->wait(mu_);
  }
}

void Head::complete_patches(PendingGeneration& generation, EncodedBatch& completed) {
  MutexLock lock(mu_);
  publish(generation, completed);
}

void Head::committed(const GenerationPtr& generation, s3crate::Generation number, std::span<const Run> runs,
                     std::span<const segment::ObjectInfo> objects) {
  MutexLock lock(mu_);
  CHECK(generations_.size() > 1 && generations_.front() == generation);
  for (const Run& run : runs) committed_.put(run);
  for (const PendingSegmentPtr& segment : generation->segments) pending_.erase(segment->id);
  new_objects_.insert(new_objects_.end(), objects.begin(), objects.end());
  committed_generation_ = generation->number = number;
  committed_state_ = volume::MapState{generation->place.value().epoch, generation->last, *generation->place, generation->disk_bytes};
  commits_since_checkpoint_++;
  bytes_since_checkpoint_ += volume::encoded_max(runs, objects) + inline_bytes(objects);
  memory_bytes_ -= generation->memory;
  stored_through_ = generation->last;
  if (resizing_ && resizing_->generation == generation) {
    disk_bytes_ = resizing_->to;
    resizing_.reset();
  }
  counters_.commits++;
  generations_.pop_front();
  room_->notify_all();
  changed_->notify_all();
}

bool Head::skip_empty() {
  MutexLock lock(mu_);
  if (generations_.size() > 1 || !generations_.back()->empty() || stored_through_ == encoded_through_) return false;
  stored_through_ = encoded_through_;
  generations_.back()->first = generations_.back()->last = Seq(0);
  generations_.back()->oldest = {};
  room_->notify_all();
  changed_->notify_all();
  return true;
}

void Head::note_imported(Seq seq) {
  MutexLock lock(mu_);
  CHECK(frozen_.empty() && (!current_ || current_->empty()) && !encoding_ && generations_.size() == 1);
  CHECK(seq == last_frozen_.next() && stored_through_ == last_frozen_);
  last_frozen_ = encoded_through_ = stored_through_ = seq;
  changed_->notify_all();
}

// --- the checkpointer ------------------------------------------------------------------------------------------------------------

Head::Changes Head::begin_checkpoint() {
  MutexLock lock(mu_);
  CHECK(!checkpointing_);
  checkpointing_ = std::make_shared<const volume::RunMap>(std::move(committed_));
  committed_ = {};
  commits_since_checkpoint_ = bytes_since_checkpoint_ = 0;
  return {committed_generation_, checkpointing_, std::exchange(new_objects_, {}), root_, committed_state_};
}

void Head::end_checkpoint(const MaybeRoot& root, std::span<const Run> carried,
                          std::span<const segment::ObjectInfo> objects) {
  MutexLock lock(mu_);
  root_ = root;
  carried_ = carried.size();
  if (!carried.empty()) {
    volume::RunMap changes;
    for (const Run& run : carried) changes.put(run);
    for (const Run& run : committed_.runs()) changes.put(run);
    committed_ = std::move(changes);
  }
  checkpointing_.reset();
  new_objects_.insert(new_objects_.end(), objects.begin(), objects.end());
  counters_.checkpoints++;
  room_->notify_all();
  changed_->notify_all();
}

// --- state -------------------------------------------------------------------------------------------------------------------------

void Head::fail_writes(Error why) {
  MutexLock lock(mu_);
  if (!failure_ && !(stopped_ && why.code() == Code::kCancelled)) failure_ = std::move(why);
  room_->notify_all();
  changed_->notify_all();
}

std::optional<Error> Head::failure() {
  MutexLock lock(mu_);
  return failure_;
}

void Head::stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  room_->notify_all();
  encoding_done_->notify_all();
  changed_->notify_all();
}

Seq Head::encoded_through() {
  MutexLock lock(mu_);
  return encoded_through_;
}

Seq Head::stored_through() {
  MutexLock lock(mu_);
  return stored_through_;
}

HeadCounters Head::counters() {
  MutexLock lock(mu_);
  HeadCounters out = counters_;
  out.dirty_bytes = dirty_bytes_ + (current_ ? current_->bytes() : 0);
  out.memory_bytes = memory_bytes_;
  out.unsent_bytes = out.dirty_bytes;
  out.delta_runs = runs_locked();
  auto older = [&](MonotonicTime t) {
    if (t != MonotonicTime{} && (out.oldest == MonotonicTime{} || t < out.oldest)) out.oldest = t;
  };
  for (const GenerationPtr& generation : generations_) {
    out.unsent_bytes += generation->bytes;
    if (!generation->empty()) older(generation->oldest);
  }
  for (const auto& batch : frozen_) older(batch->first_change);
  if (current_) older(current_->first_change);
  return out;
}

}  // namespace s3crate::device
