// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/chain.h"

#include <algorithm>

#include "segment/object_names.h"

namespace s3crate::volume {

using segment::commit_name;

namespace {

constexpr int kOpenTriesMax = 64;
constexpr std::uint32_t kGuestsMax = 256;  // that a checkpoint is not made for
constexpr std::size_t kBasesMax = 64;      // the same; four levels have 60
constexpr std::size_t kEventsMax = 65'536;  // some 150 bytes each; older ones are read again
constexpr int kCorruptTriesMax = 5;  // a flipped bit on the way is not the commit's
constexpr Duration kPauseFirst = std::chrono::milliseconds(100);
constexpr Duration kPauseMax = std::chrono::seconds(10);

// What only another try can resolve. The store's own retries come before this.
bool is_passing(Code code) {
  return code == Code::kTransient || code == Code::kDenied || code == Code::kIo || code == Code::kNoSpace;
}

// What the store refused, and it took commits before: somebody has changed what is allowed or offered, and may change it back.
bool is_refused(Code code) { return code == Code::kDenied || code == Code::kUnsupported || code == Code::kBadArgument; }

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

Error needs_single_writer(std::string_view what) {
  return {Code::kDenied, fmt::format("{}, so two writers could destroy each other's data: use another store, or a volume made with "
                                     "--single-writer", what)};
}

Chain::Chain(Env env, Volume& volume, const Commit& head, std::function<void(const Error&)> trouble)
    : env_(env),
      volume_(volume),
      trouble_(std::move(trouble)),
      stopping_(env.executor.cond_var()),
      head_{head.header.generation, head.hash},
      newest_(head),
      levels_(levels_above(head)),
      last_contact_(env.clock.boottime_now()) {
  note_levels();
}

Chain::~Chain() = default;

void Chain::stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  stopping_->notify_all();
}

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

Result<> Chain::pause(Duration how_long) {
  MutexLock lock(mu_);
  MonotonicTime deadline = env_.clock.monotonic_now() + how_long;
  while (!stopped_ && env_.clock.monotonic_now() < deadline) stopping_->wait_until(mu_, deadline);
  if (stopped_) return fail(Code::kCancelled, "stopped");
  return {};
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
  if (body.kind == CommitKind::checkpoint) {
    levels_.checkpoint(body.checkpoint.as_of);
    guests_ = 0;
  }
  if (is_guest(body.kind)) guests_++;
  newest_ = commit;
  newest_.body.delta_base = change;
  newest_.body.runs.clear();
  newest_.body.objects.clear();
  newest_.inline_extents.clear();
  last_contact_ = env_.clock.boottime_now();
  last_store_time_ = volume_.store().store_time();
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
  Generation generation = newest_.header.generation.next();
  commit.header = {.vid = volume_.vid(), .generation = generation, .parent = newest_.hash,
                   .keys_generation = keys_after(newest_), .ring = keys->ring(), .writer = keys->writer()};
  body.committed = std::max(body.committed, newest_.body.committed);  // never back: what is below may be gone from the journal
  body.epoch = who_.epoch;
  body.instance = who_.instance;
  body.home = who_.home;
  body.host = who_.host;
  body.journal = who_.journal;
  body.time = env_.clock.wall_now();
  body.store_time = volume_.store().store_time().value_or(WallTime{});
  bool bounds_term = body.kind == CommitKind::open || body.kind == CommitKind::close;
  body.term = bounds_term ? generation : newest_.body.term;
  if (body.kind != CommitKind::resize && body.kind != CommitKind::rollback) body.disk_bytes = newest_.body.disk_bytes;
  if (body.kind == CommitKind::checkpoint) drop_data_beyond(body, BlockIndex(body.disk_bytes / volume_.object().block_size()));
  choose_delta_base(body, generation);
  std::ranges::sort(body.objects, {}, &ObjectInfo::key);
  for (ObjectInfo& info : body.objects)
    if (info.born == Generation(0)) info.born = generation;
  if (body.kind == CommitKind::checkpoint) {
    body.checkpoint.commit = generation;
    body.checkpoint.roots_hash = crypto::blake2b(encode_roots(body.roots));
  } else {
    body.checkpoint = newest_.body.checkpoint;
  }
  hint_at_bases(body);
  return seal_commit(commit, keys->commit_sealing_key(), *keys->signer(), env_.random);
}

Result<> Chain::read_back(const std::string& name, const Bytes& bytes) {
  Bytes stored = TRY(volume_.store().get(name, kCommitBytesMax));
  if (!equal(stored, bytes)) return fail(Code::kExists, "{} holds other bytes", name);
  return {};
}

// Stored, and known to be so; or the name is somebody else's.
Result<Chain::Outcome> Chain::put_once(const Commit& commit, const Bytes& bytes) {
  std::string name = commit_name(commit.header.generation);
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

Result<Chain::Outcome> Chain::put_until_known(const Commit& commit, const Bytes& bytes, Refused refused) {
  for (Duration wait = kPauseFirst;; wait = std::min(wait * 2, kPauseMax)) {
    auto outcome = put_once(commit, bytes);
    if (outcome) return outcome;
    const Code code = outcome.error().code();
    if (is_refused(code) ? refused == Refused::final : !is_passing(code)) return outcome;
    trouble_(outcome.error());
    TRY(pause(wait));
  }
}

Result<bool> Chain::accept_next(const Commit* mine) {
  Generation next = newest_.header.generation.next();
  int corrupt = 0;
  for (Duration wait = kPauseFirst;; wait = std::min(wait * 2, kPauseMax)) {
    auto winner = volume_.load_commit(next);
    bool maybe_on_the_way = is(winner, Code::kCorrupt) && ++corrupt < kCorruptTriesMax;
    if (!winner && (is_passing(winner.error().code()) || is(winner, Code::kNotFound) || maybe_on_the_way)) {
      trouble_(winner.error());
      TRY(pause(wait));
      continue;
    }
    if (is(winner, Code::kBadKey))
      return fail(Code::kFenced, "generation {} took this key's right to write: {}", next, winner.error().message());
    if (!winner) return fail(winner.error());
    if (mine != nullptr && winner->hash == mine->hash) {
      advance(*mine);
      return true;
    }
    if (winner->header.parent != newest_.hash)
      return fail(Code::kCorrupt, "commit {} does not stand on commit {} as this writer knows it", next, newest_.header.generation);
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
}

bool Chain::was_away() {
  if (env_.clock.boottime_now() - last_contact_ > away_limit_) return true;
  const auto store_time = volume_.store().store_time();
  return last_store_time_ && store_time && *store_time - *last_store_time_ > away_limit_;
}

// Who slept may have been taken over, and what followed pruned: before anything is acknowledged or freed on the strength of
// a name being free, the store must show our own commit with nothing but guests above it.
Result<> Chain::look_after_absence() {
  for (Duration wait = kPauseFirst;; wait = std::min(wait * 2, kPauseMax)) {
    // A LIST that makes no sense says nothing of the commits.
    auto newest = volume_.newest_commit();
    if (is(newest, Code::kCancelled)) return fail(newest.error());
    if (newest && *newest) {
      while (newest_.header.generation < **newest) TRY(accept_next(nullptr));
      if (newest_.header.generation == **newest) {
        last_contact_ = env_.clock.boottime_now();
        last_store_time_ = volume_.store().store_time();
        return {};
      }
      trouble_(Error(Code::kTransient, fmt::format("the store shows generation {} as the newest, after {} was stored", **newest,
                                                   newest_.header.generation)));
    } else {
      trouble_(newest ? Error(Code::kTransient, "the store shows no commits") : newest.error());
    }
    TRY(pause(wait));
  }
}

Result<CommitRef> Chain::append(CommitBody body) {
  if (broken_) return fail(*broken_);
  auto attempt = [&]() -> Result<CommitRef> {
    if (was_away()) TRY(look_after_absence());
    for (bool away = false;;) {
      Commit commit;
      commit.body = body;
      Bytes bytes = TRY(seal(commit));
      bool stored = TRY(put_until_known(commit, bytes, Refused::passing)) == Outcome::stored;
      away = away || was_away();  // as the answer tells, and before it counts as a contact
      if (stored) advance(commit);
      else stored = TRY(accept_next(&commit));
      if (stored && away) TRY(look_after_absence());
      if (stored) return CommitRef{commit.header.generation, commit.hash};
    }
  };
  auto done = attempt();
  // After a commit whose outcome is not known nothing else may follow: it may land yet.
  if (!done && !is_passing(done.error().code())) broken_ = done.error();
  return done;
}

Result<> Chain::prove_conditions() { return prove_conditions(std::string(segment::kVolumeName), volume_.object_bytes()); }

Result<> Chain::prove_conditions(const std::string& name, const Bytes& stored) {
  if (volume_.object().single_writer) return {};
  for (Duration wait = kPauseFirst;; wait = std::min(wait * 2, kPauseMax)) {
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
    if (TRY(put_until_known(commit, bytes, Refused::final)) == Outcome::stored) {
      TRY(prove_conditions(commit_name(commit.header.generation), bytes));
      advance(commit);
      return below;
    }
    Commit head = TRY(volume_.load_head());
    if (head.hash == commit.hash) {  // ours after all
      TRY(prove_conditions(commit_name(commit.header.generation), bytes));
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
