// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/commit_put.h"

#include <algorithm>

#include "segment/object_names.h"
#include "volume/line_place.h"
#include "volume/rollback.h"

namespace s3crate::volume {

using segment::commit_name;

namespace {

constexpr int kCorruptTriesMax = 5;  // a flipped bit on the way is not the commit's

// What the store refused, and it took commits before: somebody has changed what is allowed or
// offered, and may change it back.
bool is_refused(Code code) {
  return code == Code::kDenied || code == Code::kUnsupported || code == Code::kBadArgument;
}

}  // namespace

bool may_pass(Code code) {
  return code == Code::kTransient || code == Code::kDenied || code == Code::kIo || code == Code::kNoSpace;
}

Error needs_single_writer(std::string_view what) {
  return {Code::kDenied, fmt::format("{}, so two writers could destroy each other's data: use another store, or a volume made with "
                                     "--single-writer", what)};
}

CommitPut::CommitPut(Env env, Volume& volume, std::function<void(const Error&)> trouble)
    : env_(env), volume_(volume), trouble_(std::move(trouble)), last_contact_(env.clock.boottime_now()),
      last_store_time_(volume.store().store_time()),
      stopping_(env.executor.cond_var()) {}

CommitPut::~CommitPut() = default;

void CommitPut::stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  stopping_->notify_all();
}

Result<> CommitPut::pause(Duration how_long) {
  MutexLock lock(mu_);
  MonotonicTime deadline = env_.clock.monotonic_now() + how_long;
  if (give_up_at_) deadline = std::min(deadline, *give_up_at_);
  while (!stopped_ && env_.clock.monotonic_now() < deadline) stopping_->wait_until(mu_, deadline);
  if (stopped_) return fail(Code::kCancelled, "stopped");
  if (give_up_at_ && env_.clock.monotonic_now() >= *give_up_at_) return fail(Code::kTransient, "no more time");
  return {};
}

Result<> CommitPut::prove_conditions() {
  return prove_conditions(std::string(segment::kVolumeName), volume_.object_bytes());
}

Result<> CommitPut::prove_conditions(const std::string& name, const Bytes& stored) {
  if (volume_.object().single_writer) return {};
  for (Duration wait = kCommitPauseFirst;; wait = std::min(wait * 2, kCommitPauseMax)) {
    auto again = volume_.store().put(name, stored);
    if (is(again, Code::kExists)) return {};
    if (again) return fail(needs_single_writer(fmt::format("{} does not refuse to overwrite an object", volume_.store().describe())));
    if (is(again, Code::kUnsupported)) return fail(needs_single_writer(again.error().message()));
    // What makes no sense proves nothing.
    const Code code = again.error().code();
    if (code != Code::kTransient && code != Code::kCorrupt && code != Code::kNotFound) return fail(again.error());
    trouble_(again.error());
    TRY(pause(wait));
  }
}

bool CommitPut::was_away() {
  if (env_.clock.boottime_now() - last_contact_ > away_limit_) return true;
  const auto store_time = volume_.store().store_time();
  return last_store_time_ && store_time && *store_time - *last_store_time_ > away_limit_;
}

void CommitPut::note_contact() {
  last_contact_ = env_.clock.boottime_now();
  last_store_time_ = volume_.store().store_time();
}

Result<> CommitPut::read_back(const std::string& name, const Bytes& bytes) {
  Bytes stored = TRY(volume_.store().get(name, kCommitBytesMax));
  if (!equal(stored, bytes)) return fail(Code::kExists, "{} holds other bytes", name);
  return {};
}

// Stored, and known to be so; or the name is somebody else's.
Result<CommitPut::Outcome> CommitPut::once(const std::string& name, const Bytes& bytes) {
  store::ObjectStore& store = volume_.store();
  auto put = store.put(name, bytes);
  // Without conditions another writer may have put its own over ours, or ours over its.
  if (put && store.caps().verifies_puts && store.caps().put_if_absent) return Outcome::stored;
  // What makes no sense as an answer to a put (a gateway's own 404) says nothing of the outcome.
  if (is(put, Code::kNotFound) || is(put, Code::kCorrupt)) return fail(Code::kTransient, "{}", put.error().message());
  if (!put && !is(put, Code::kExists)) return fail(put.error());
  auto own = read_back(name, bytes);
  if (own) return Outcome::stored;
  // Who looks at the winner tells damage on the way from damage.
  if (is(own, Code::kExists) || is(own, Code::kCorrupt)) return Outcome::taken;
  // Taken, but not there: a stale answer. Look again.
  if (is(own, Code::kNotFound)) return fail(Code::kTransient, "{} is taken, yet not to be read", name);
  return fail(own.error());
}

Result<CommitPut::Outcome> CommitPut::until_known(Generation generation, const Bytes& bytes, Refused refused) {
  for (Duration wait = kCommitPauseFirst;; wait = std::min(wait * 2, kCommitPauseMax)) {
    auto outcome = once(commit_name(generation), bytes);
    if (outcome) return outcome;
    const Code code = outcome.error().code();
    if (is_refused(code) ? refused == Refused::final : !may_pass(code)) return outcome;
    trouble_(outcome.error());
    TRY(pause(wait));
  }
}

Result<Commit> CommitPut::load_winner(const Commit& below) {
  const Generation next = below.header.generation.next();
  int corrupt = 0;
  for (Duration wait = kCommitPauseFirst;; wait = std::min(wait * 2, kCommitPauseMax)) {
    auto winner = volume_.load_commit(next);
    const bool maybe_on_the_way = is(winner, Code::kCorrupt) && ++corrupt < kCorruptTriesMax;
    if (!winner && (may_pass(winner.error().code()) || is(winner, Code::kNotFound) || maybe_on_the_way)) {
      trouble_(winner.error());
      TRY(pause(wait));
      continue;
    }
    if (winner && winner->header.parent != below.hash)
      return fail(Code::kCorrupt, "commit {} does not stand on commit {} as this writer knows it", next, below.header.generation);
    return winner;
  }
}

void stand_on(const Commit& parent, Env env, const Volume& volume, Commit& commit) {
  const std::shared_ptr<const KeyRing> keys = volume.keys();
  commit.header = {.vid = volume.vid(), .generation = parent.header.generation.next(), .parent = parent.hash,
                   .keys_generation = keys_after(parent), .ring = keys->ring(), .writer = keys->writer()};
  CommitBody& body = commit.body;
  body.committed = std::max(body.committed, parent.body.committed);  // never back: what is below may be gone from the journal
  body.time = env.clock.wall_now();
  body.store_time = volume.store().store_time().value_or(WallTime{});
  const bool bounds_term = body.kind == CommitKind::open || body.kind == CommitKind::close;
  body.term = bounds_term ? commit.header.generation : parent.body.term;
  if (body.kind != CommitKind::resize && body.kind != CommitKind::rollback) body.disk_bytes = parent.body.disk_bytes;
  body.checkpoint = parent.body.checkpoint;
  if (const auto rollback = newest_rollback(parent)) put_rollback_below(body, *rollback);
  if (const auto place = line_place(parent.body); place && !line_place(body)) put_line_place(body, *place);
}

}  // namespace s3crate::volume
