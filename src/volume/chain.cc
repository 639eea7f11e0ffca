// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/chain.h"

#include <algorithm>

#include "segment/object_names.h"
#include "volume/noted.h"
#include "volume/rollback.h"

namespace s3crate::volume {

using segment::commit_name;
using Outcome = CommitPut::Outcome;
using Refused = CommitPut::Refused;

namespace {

constexpr int kOpenTriesMax = 64;
constexpr std::uint32_t kGuestsMax = 256;  // that a checkpoint is not made for
constexpr std::size_t kBasesMax = 64;      // the same; four levels have 60
// The pauses that guests need between commits, some round trips of theirs long. A guest's line may be slower than the writer's, so
// each is twice as long as the one before, kGapSteps times; they take one part of so many of the writer's time.
constexpr int kGapInPuts = 4, kGapSteps = 4, kGapShare = 25;
constexpr Duration kGapMin = std::chrono::milliseconds(50), kGapMax = std::chrono::seconds(2);
constexpr std::size_t kEventsMax = 65'536;  // some 150 bytes each; older ones are read again

// What a checkpoint carries is as of P: if the disk was made smaller since then, a later change holes what lies beyond its end.
void drop_data_beyond(CommitBody& body, BlockIndex end) {
  std::erase_if(body.runs, [&](const Run& run) { return !run.hole && run.block >= end; });
  for (Run& run : body.runs)
    if (!run.hole && run.end() > end) run = clip(run, BlockIndex(0), end);
}

// On top of a commit of which only itself is known.
DeltaLevels levels_above(const Commit& head) {
  std::vector<Generation> bases = bases_above(head.body, head.body.checkpoint.as_of);
  std::ranges::reverse(bases);
  const CommitRef change = newest_change(head);
  if (change.generation == head.header.generation) bases.push_back(change.generation);
  return DeltaLevels(change, std::move(bases));
}

}  // namespace

Chain::Chain(Env env, Volume& volume, const Commit& head, std::function<void(const Error&)> trouble)
    : env_(env),
      volume_(volume),
      trouble_(std::move(trouble)),
      put_(env, volume, trouble_),
      head_{head.header.generation, head.hash},
      newest_(head),
      levels_(levels_above(head)) {
  note_levels();
}

Chain::~Chain() = default;

void Chain::stop() { put_.stop(); }

Generation Chain::head() const {
  MutexLock lock(mu_);
  return head_.generation;
}

std::vector<Event> Chain::events(Generation through) const {
  MutexLock lock(mu_);
  std::vector<Event> out;
  for (const Event& event : events_)
    if (event.entry.generation <= through) out.push_back(event);
  return out;
}

void Chain::forget_events(Generation through) {
  MutexLock lock(mu_);
  while (!events_.empty() && events_.front().entry.generation <= through) events_.pop_front();
}

Result<ObjectId> Chain::new_object_id() {
  MutexLock lock(mu_);
  if (next_counter_ > ObjectId::kCounterMax) return fail(Code::kNoSpace, "this epoch has used up its object ids: mount again");
  return ObjectId::of(who_.epoch, next_counter_++);
}

std::size_t Chain::bases() const {
  MutexLock lock(mu_);
  return bases_;
}

bool Chain::wants_checkpoint() const {
  MutexLock lock(mu_);
  return wants_checkpoint_;
}

void Chain::note_levels() {
  MutexLock lock(mu_);
  bases_ = levels_.chain().size();
  wants_checkpoint_ = guests_ >= kGuestsMax || bases_ > kBasesMax || levels_.passed_over() > newest_.body.checkpoint.as_of;
}

void Chain::continue_from(DeltaLevels levels) {
  // They were read, which is the better word: a commit of another program may name one without changes as the newest with.
  CHECK(levels.newest().generation <= newest_change(newest_).generation);
  newest_.body.delta_base = levels.newest();
  levels_ = std::move(levels);
  note_levels();
}

void Chain::advance(const Commit& commit) {
  const CommitBody& body = commit.body;
  const CommitRef ref{commit.header.generation, commit.hash};
  const CommitRef change = newest_change(commit);
  if (change == ref) levels_.committed(ref, body.delta_base, body.runs, body.objects);
  if (has_checkpoint(body)) {
    levels_.checkpoint(body.checkpoint.as_of);
    guests_ = 0;
  }
  if (is_guest(body.kind)) guests_++;
  else newest_own_ = ref;
  newest_ = commit;
  newest_.body.delta_base = change;
  newest_.body.runs.clear();
  newest_.body.objects.clear();
  newest_.inline_extents.clear();
  put_.note_contact();
  note_levels();
  Event event = event_of(commit);
  MutexLock lock(mu_);
  head_ = ref;
  if (!events_.empty() && events_.back().entry.generation.next() != event.entry.generation) events_.clear();
  events_.push_back(std::move(event));
  if (events_.size() > kEventsMax) events_.pop_front();
}

// The number of a commit decides, so a guest that takes it makes this be done again.
void Chain::choose_delta_base(CommitBody& body, Generation generation) {
  body.delta_base = levels_.newest();
  if (!has_changes(body)) return;
  DeltaLevels::Plan plan = levels_.plan(generation, {std::move(body.runs), std::move(body.objects)});
  body.delta_base = plan.base;
  body.runs = std::move(plan.changes.runs);
  body.objects = std::move(plan.changes.objects);
}

void Chain::hint_at_bases(CommitBody& body) {
  std::vector<Generation> below;
  for (Generation base : levels_.chain())
    if (base < body.delta_base.generation && base > body.checkpoint.as_of) below.push_back(base);
  std::ranges::reverse(below);
  put_bases_hint(body, below);
}

Result<Bytes> Chain::seal(Commit& commit) {
  std::shared_ptr<const KeyRing> keys = volume_.keys();
  if (keys->signer() == nullptr || !keys->may_sign(commit.body.kind))
    return fail(Code::kFenced, "this key may not write to the volume (any more)");
  CommitBody& body = commit.body;
  const Generation as_of = body.checkpoint.as_of;
  stand_on(newest_, env_, volume_, commit);
  const Generation generation = commit.header.generation;
  body.epoch = who_.epoch;
  body.instance = who_.instance;
  body.home = who_.home;
  body.host = who_.host;
  body.journal = who_.journal;
  if (has_checkpoint(body)) drop_data_beyond(body, BlockIndex(body.disk_bytes / volume_.object().block_size()));
  choose_delta_base(body, generation);
  std::ranges::sort(body.objects, {}, &ObjectInfo::key);
  for (ObjectInfo& info : body.objects)
    if (info.born == Generation(0)) info.born = generation;
  if (has_checkpoint(body)) body.checkpoint = {generation, as_of, crypto::blake2b(encode_roots(body.roots))};
  hint_at_bases(body);
  return seal_commit(commit, keys->commit_sealing_key(), *keys->signer(), env_.random);
}

// Noted is what is put, so it has to be sealed before; and once more, if it could not be.
Result<Bytes> Chain::seal_noted(const std::function<Commit()>& make, Commit& commit) {
  if (note_) {
    commit = make();
    put_noted(commit.body);
    Bytes bytes = TRY(seal(commit));
    auto noted = note_(newest_own_, newest_.body.committed, {commit.header.generation, commit.hash});
    if (noted) return bytes;
    trouble_(noted.error());
  }
  commit = make();
  return seal(commit);
}

Result<bool> Chain::accept_next(const Commit* mine) {
  auto winner = put_.load_winner(newest_);
  const Generation next = newest_.header.generation.next();
  if (is(winner, Code::kBadKey))
    return fail(Code::kFenced, "generation {} took this key's right to write: {}", next, winner.error().message());
  if (!winner) return fail(winner.error());
  if (mine != nullptr && winner->hash == mine->hash) {
    advance(*mine);
    return true;
  }
  if (winner->body.epoch > who_.epoch || !is_guest(winner->body.kind))
    return fail(Code::kFenced, "another writer ({}) took the volume over with generation {}", winner->body.host, next);
  if (winner->header.keys_generation != keys_after(newest_))
    return fail(Code::kCorrupt, "commit {} does not stand on the keys in force", next);
  if (winner->body.disk_bytes != newest_.body.disk_bytes)
    return fail(Code::kCorrupt, "commit {} gives the disk another size, which its kind may not", next);
  if (winner->keys) TRY(volume_.use_keys(next));
  advance(*winner);
  return false;
}

// Who slept may have been taken over, and what followed pruned: before anything is acknowledged or freed on the strength of
// a name being free, the store must show our own commit with nothing but guests above it.
Result<> Chain::look_after_absence() {
  for (Duration wait = kCommitPauseFirst;; wait = std::min(wait * 2, kCommitPauseMax)) {
    // A LIST that makes no sense says nothing of the commits.
    auto newest = volume_.newest_commit();
    if (is(newest, Code::kCancelled)) return fail(newest.error());
    if (newest && *newest) {
      while (newest_.header.generation < **newest) TRY(accept_next(nullptr));
      if (newest_.header.generation == **newest) {
        put_.note_contact();
        return {};
      }
      trouble_(Error(Code::kTransient, fmt::format("the store shows generation {} as the newest, after {} was stored", **newest,
                                                   newest_.header.generation)));
    } else {
      trouble_(newest ? Error(Code::kTransient, "the store shows no commits") : newest.error());
    }
    TRY(put_.pause(wait));
  }
}

// A guest must look at the newest commit before it can stand on it: without a gap it would come too late each time.
Result<> Chain::leave_gap() {
  const Duration gap = std::min(kGapMax, std::max(kGapMin, kGapInPuts * last_put_) * (1 << gap_step_));
  const MonotonicTime now = env_.clock.monotonic_now();
  const bool left = now - last_end_ >= gap;  // without being asked to
  if (!left && now - last_gap_ < gap * kGapShare) return {};
  gap_step_ = (gap_step_ + 1) % kGapSteps;
  last_gap_ = left ? now : now + gap;
  return left ? Result<>() : put_.pause(gap);
}

Result<CommitRef> Chain::append(CommitBody body, std::optional<Generation> only_as, ByteView inline_extents) {
  if (broken_) return fail(*broken_);
  bool other_number = false;
  auto attempt = [&]() -> Result<CommitRef> {
    TRY(leave_gap());
    if (put_.was_away()) TRY(look_after_absence());
    for (bool away = false;;) {
      other_number = only_as && newest_.header.generation.next() != *only_as;
      if (other_number) return fail(Code::kExists, "generation {} is a guest", *only_as);
      Commit commit;
      const auto make = [&] {
        Commit fresh;
        fresh.body = body;
        fresh.inline_extents.assign(inline_extents.begin(), inline_extents.end());
        return fresh;
      };
      Bytes bytes = TRY(seal_noted(make, commit));
      const MonotonicTime begin = env_.clock.monotonic_now();
      bool stored = TRY(put_.until_known(commit.header.generation, bytes, Refused::passing)) == Outcome::stored;
      last_end_ = env_.clock.monotonic_now();
      last_put_ = last_end_ - begin;
      away = away || put_.was_away();  // as the answer tells, and before it counts as a contact
      if (stored) advance(commit);
      else stored = TRY(accept_next(&commit));
      if (stored && away) TRY(look_after_absence());
      if (stored) return CommitRef{commit.header.generation, commit.hash};
    }
  };
  auto done = attempt();
  // After a commit whose outcome is not known nothing else may follow: it may land yet.
  if (!done && !other_number && !may_pass(done.error().code())) broken_ = done.error();
  return done;
}

Result<> Chain::prove_conditions() { return put_.prove_conditions(); }

Result<Commit> Chain::open_term(WriterIdentity who, const std::function<Result<>(const Commit&)>& head_moved) {
  who_ = std::move(who);
  for (int i = 0; i < kOpenTriesMax; ++i) {
    if (newest_.body.epoch >= ObjectId::kEpochMax) return fail(Code::kNoSpace, "the volume has used up its epochs");
    who_.epoch = newest_.body.epoch + 1;
    Commit below = newest_;
    Commit commit;
    commit.body.kind = CommitKind::open;
    commit.body.committed = below.body.committed;
    Bytes bytes = TRY(seal(commit));
    if (TRY(put_.until_known(commit.header.generation, bytes, Refused::final)) == Outcome::stored) {
      TRY(put_.prove_conditions(commit_name(commit.header.generation), bytes));
      advance(commit);
      return below;
    }
    Commit head = TRY(volume_.load_head());
    if (head.hash == commit.hash) {  // ours after all
      TRY(put_.prove_conditions(commit_name(commit.header.generation), bytes));
      advance(commit);
      return below;
    }
    TRY(head_moved(head));
    newest_ = std::move(head);
    levels_ = levels_above(newest_);
  }
  return fail(Code::kFenced, "others commit to the volume faster than it can be opened");
}

}  // namespace s3crate::volume
