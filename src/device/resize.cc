// SPDX-License-Identifier: GPL-3.0-or-later
// Another size of the disk: a generation of its own, queued behind all that was acknowledged before. It needs no record in the
// journal:
//
// - what shrinks takes no writes beyond the new end from the moment on that ends the batches before it. Its commit says that those
//   are stored; so after a crash, batches that reach beyond the end are played back only if the disk still has its old size;
// - what grows takes writes beyond the old end only once its commit is stored.
//
// Batches that come meanwhile fit both sizes. The hole where the tail was stands in the same commit, so nothing of it ever comes
// back, and in the index of a segment, for a repair without commits.
#include "base/time_text.h"
#include "device/disk_impl.h"
#include "device/occupancy.h"
#include "volume/create.h"

namespace s3crate::device {

using volume::CommitKind;
using volume::Run;

// --- the head ----------------------------------------------------------------------------------------------------------------

Result<Head::BegunResize> Head::begin_resize(std::uint64_t bytes) {
  MutexLock lock(mu_);
  if (failure_) return fail(*failure_);
  if (resizing_) return fail(Code::kExists, "another change of the size is under way");
  const BegunResize begun{disk_bytes_, freeze_locked()};
  resizing_ = Resizing{begun.from, bytes, nullptr};
  if (bytes < begun.from) disk_bytes_ = bytes;
  return begun;
}

void Head::give_up_resize() {
  MutexLock lock(mu_);
  CHECK(resizing_ && !resizing_->generation);
  disk_bytes_ = resizing_->from;
  resizing_.reset();
  changed_->notify_all();
}

Result<> Head::queue_resize() {
  MutexLock lock(mu_);
  CHECK(resizing_ && !resizing_->generation);
  while (encoding_ && !stopped_) encoding_done_->wait(mu_);
  if (stopped_) return fail(Code::kCancelled, "the disk is closing");
  if (!generations_.back()->empty()) open_generation();
  const GenerationPtr generation = generations_.back();
  generation->resizes = true;
  generation->disk_bytes = resizing_->to;
  generation->oldest = env_.clock.monotonic_now();
  // It may be of no batch at all.
  if (generation->first == Seq(0)) {
    generation->first = encoded_through_.next();
    generation->last = encoded_through_;
  }
  const BlockIndex from(resizing_->to / block_size_), to(resizing_->from / block_size_);
  if (from < to) generation->runs.put({.block = from, .count = to - from, .hole = true, .first = 0, .extent = {}});
  resizing_->generation = generation;
  open_generation();
  changed_->notify_all();
  return {};
}

// --- the disk ----------------------------------------------------------------------------------------------------------------

Result<> DiskImpl::refuse_data(std::uint64_t from, std::uint64_t to) {
  const std::uint64_t data = TRY(seek_in(*head_, volume_.pages(), from, to, false));
  if (data >= to) return {};
  return fail(Code::kExists, "there is data beyond {} (the first at {}): make the filesystem smaller first, or trim what it does not "
              "use there (fstrim, blkdiscard); --discard-tail gives it up", format_bytes(from), data);
}

Result<> DiskImpl::queue_resize(const Head::BegunResize& begun, std::uint64_t bytes, DiscardTail tail, StopFlag stop) {
  TRY(writer_.encoder->encode_through(begun.through, stop));
  // Again: what was written between the first look and the end of writes beyond the new end.
  if (bytes < begun.from && tail == DiscardTail::no) TRY(refuse_data(bytes, begun.from));
  return head_->queue_resize();
}

Result<> DiskImpl::wait_resized(StopFlag stop) {
  MutexLock lock(head_->mutex());
  while (head_->resizing_locked()) {
    if (head_->failure_locked()) return fail(*head_->failure_locked());
    if (head_->stopped_locked()) return fail(Code::kCancelled, "the disk is closing");
    if (is_set(stop)) return fail(Code::kCancelled, "stopped waiting for the store: the new size comes when that has everything");
    if (stop == nullptr) head_->changed().wait(head_->mutex());
    else head_->changed().wait_until(head_->mutex(), env_.clock.monotonic_now() + kStopPoll);
  }
  return {};
}

Result<Generation> DiskImpl::resize(std::uint64_t bytes, DiscardTail tail, StopFlag stop) {
  if (options_.read_only) return fail(Code::kUnsupported, "the disk is mounted read-only");
  TRY(volume::validate_size(bytes, block_size()));
  const auto keys = volume_.keys();
  if (keys->signer() == nullptr || !keys->may_sign(CommitKind::resize))
    return fail(Code::kBadKey, "this key may not change the size of the disk: an owner's or a writer's may");
  const std::uint64_t before = size();
  if (bytes == before) {
    TRY(wait_resized(stop));  // one that shrinks has it before the store has
    if (size() != bytes) return fail(Code::kExists, "the disk was given another size meanwhile: {} bytes", size());
    return writer_.chain->head();
  }
  if (bytes < before && tail == DiscardTail::no) {
    // Zeros turn out to be holes when they are encoded.
    TRY(writer_.encoder->encode_through(head_->freeze(), stop));
    TRY(refuse_data(bytes, before));
  }
  const Head::BegunResize begun = TRY(head_->begin_resize(bytes));
  if (auto queued = queue_resize(begun, bytes, tail, stop); !queued) {
    head_->give_up_resize();
    return fail(queued.error());
  }
  TRY(wait_resized(stop));
  return writer_.chain->head();
}

}  // namespace s3crate::device
