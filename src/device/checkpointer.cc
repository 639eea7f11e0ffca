// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/checkpointer.h"

#include <algorithm>

namespace s3crate::device {

using segment::ObjectInfo;
using volume::CommitBody;
using volume::CommitKind;
using volume::TreeChange;

namespace {
// Each try puts its pages anew, so one that keeps failing (over a damaged page, say) must not be tried often.
constexpr Duration kTroublePauseFirst = std::chrono::seconds(5);
constexpr Duration kTroublePauseMax = std::chrono::minutes(5);
// Changes that one checkpoint hands on to the next, over pages that cannot be read. Its commit names its own objects as well, and
// takes 65,536 of all together.
constexpr std::size_t kCarriedMax = 50'000;
// Of subtrees that were dropped unread, so many pages are walked each time; and so many notes of them, some 90 bytes each, fit in a
// commit beside the rest that is left to be noted.
constexpr std::size_t kWalkedPagesMax = 512;
constexpr std::size_t kDroppedNotesMax = 400;

// Moves those objects that `rows` are of out of `objects`.
std::vector<ObjectInfo> take_rows(std::vector<ObjectInfo>& objects, const std::vector<TreeChange>& rows) {
  std::vector<ObjectInfo> taken;
  auto row = rows.begin();
  std::erase_if(objects, [&](const ObjectInfo& info) {
    if (row == rows.end() || volume::encode_object_info(info).key != row->key) return false;
    taken.push_back(info);
    ++row;
    return true;
  });
  return taken;
}

}  // namespace

Checkpointer::Checkpointer(Env env, Head& head, volume::Volume& volume, volume::Chain& chain, volume::ObjectTable& objects,
                           CheckpointState state, Uploader& uploader, const CheckpointerOptions& options,
                           std::function<void(const Error&)> trouble)
    : env_(env),
      head_(head),
      volume_(volume),
      chain_(chain),
      objects_(objects),
      state_(std::move(state)),
      uploader_(uploader),
      options_(options),
      trouble_(std::move(trouble)) {}

Checkpointer::~Checkpointer() = default;

void Checkpointer::start() {
  task_ = env_.executor.spawn("checkpointer", [this] { run(); });
}

void Checkpointer::join() { task_.reset(); }

void Checkpointer::end() {
  {
    MutexLock lock(head_.mutex());
    ended_ = true;
    head_.changed().notify_all();
  }
  join();
}

bool Checkpointer::due() {
  if (head_.failure_locked()) return false;
  if (rollback_ != nullptr) return true;
  if (wanted_) return true;
  std::uint64_t runs = head_.committed_runs_locked();
  runs -= std::min<std::uint64_t>(runs, head_.carried_runs_locked());
  // Writers that wait for runs get room by a checkpoint only once their generations are committed.
  const bool many = head_.commits_since_checkpoint_locked() >= options_.commits ||
                    head_.bytes_since_checkpoint_locked() >= options_.bytes;
  return runs >= options_.runs || (many && head_.committed_runs_locked() > 0) || chain_.wants_checkpoint() ||
         (head_.pressed_locked() && runs >= options_.delta_runs_max / 4);
}

bool Checkpointer::wait_until_due() {
  MutexLock lock(head_.mutex());
  while (!head_.stopped_locked() && !ended_ && !due()) head_.changed().wait(head_.mutex());
  return !head_.stopped_locked() && !ended_;
}

Result<> Checkpointer::pause(Duration how_long) {
  MutexLock lock(head_.mutex());
  MonotonicTime deadline = env_.clock.monotonic_now() + how_long;
  const auto over = [&]() REQUIRES(head_.mutex()) { return head_.stopped_locked() || head_.failure_locked() || ended_; };
  while (!over() && env_.clock.monotonic_now() < deadline) head_.changed().wait_until(head_.mutex(), deadline);
  if (over()) return fail(Code::kCancelled, "the disk is closing");
  return {};
}

bool Checkpointer::stopped() {
  MutexLock lock(head_.mutex());
  return head_.stopped_locked();
}

void Checkpointer::run() {
  make_checkpoints();
  MutexLock lock(head_.mutex());
  over_ = true;
  head_.changed().notify_all();
}

void Checkpointer::make_checkpoints() {
  while (wait_until_due()) {
    Head::Changes changes = head_.begin_checkpoint();
    if (serve_rollback(changes)) continue;
    for (Duration wait = kTroublePauseFirst;; wait = std::min(wait * 2, kTroublePauseMax)) {
      auto stored = store(changes);
      note(stored);
      if (stored) break;
      if (is(stored, Code::kCancelled) || is(stored, Code::kFenced)) return;
      trouble_(stored.error().within("checkpoint"));
      if (!pause(wait)) return;
    }
  }
}

void Checkpointer::note(const Result<>& stored) {
  MutexLock lock(head_.mutex());
  last_ = stored;
  wanted_ = false;
  head_.changed().notify_all();
}

Result<> Checkpointer::make_one(StopFlag stop) {
  MutexLock lock(head_.mutex());
  wanted_ = !last_.has_value();
  head_.changed().notify_all();
  while (!last_ && !head_.stopped_locked() && !head_.failure_locked() && !is_set(stop))
    head_.changed().wait_until(head_.mutex(), env_.clock.monotonic_now() + kStopPoll);
  if (last_) return *last_;
  return fail(head_.failure_locked().value_or(Error(Code::kCancelled, "stopped")));
}

Result<> Checkpointer::check_carried(std::size_t runs, std::size_t rows) {
  if (runs == 0 && rows == 0) return {};
  Error damage(Code::kCorrupt, fmt::format("pages of the map are damaged or gone: {} changes to them stay beside it; what it alone "
                                           "knew cannot be read (see check)", runs + rows));
  trouble_(damage);
  if (std::max(runs, rows) <= std::min<std::uint64_t>(kCarriedMax, options_.delta_runs_max / 4)) return {};
  // What is carried is in memory, and in every checkpoint: there must be an end to it.
  damage = Error(Code::kCorrupt, "too much was written over damaged pages of the map: no more writes (see check)");
  head_.fail_writes(damage);
  return fail(damage);
}

// The generations since the last checkpoint. Most of them the chain has seen; the others (of before this mount) are loaded; one
// that is damaged is passed over.
Result<std::vector<volume::Event>> Checkpointer::events(Generation as_of) {
  std::vector<volume::Event> seen = chain_.events(as_of);
  std::vector<volume::Event> out;
  const Generation to = seen.empty() ? as_of : Generation(seen.front().entry.generation.value - 1);
  for (Generation at = state_.ref.as_of.next(); at <= to; at = at.next()) {
    if (stopped()) return fail(Code::kCancelled, "the disk is closing");
    auto commit = volume_.load_commit(at);
    if (commit) out.push_back(volume::event_of(*commit));
    else if (!is(commit, Code::kCorrupt) && !is(commit, Code::kNotFound)) return fail(commit.error());
  }
  out.insert(out.end(), std::move_iterator(seen.begin()), std::move_iterator(seen.end()));
  return out;
}

// Puts the pages of `runs` over `base`, and of the companions that follow; `companions.late` holds what was noted before. What is not
// referred to any more dies in `deaths_in`: P, which does not need it; or a rollback, since what was before that does.
Result<Checkpointer::Laid> Checkpointer::lay(const volume::MaybeRoot& base, std::span<const volume::Run> runs,
                                             volume::Companions companions, const Head::Changes& changes,
                                             Generation deaths_in) {
  std::shared_ptr<const volume::KeyRing> keys = volume_.keys();
  volume::PageWriter writer({.store = volume_.store(), .random = env_.random, .loader = volume_.pages(), .vid = keys->vid(),
                             .ring = keys->ring(), .page_key = keys->page_sealing_key(),
                             .new_id = [this] { return chain_.new_object_id(); },
                             .page_bytes = options_.page_bytes,
                             .stopped = [this] { return stopped(); }});
  Laid laid;
  // Another map than before must be whole.
  std::vector<volume::Run>* carried = deaths_in == changes.as_of ? &laid.carried : nullptr;
  laid.map = TRY(volume::map_update(volume_.pages(), writer, base, runs, companions.late, carried));
  // Over a page that is gone they stand in the commit instead; as they do so each time, they count too long.
  for (const volume::Run& run : laid.carried) companions.late.add(run);
  TRY(companions.late.walk(volume_.pages(), kWalkedPagesMax, kDroppedNotesMax, [this] { return stopped(); }));

  laid.objects = changes.objects;
  std::ranges::sort(laid.objects, {}, &ObjectInfo::key);
  const std::vector<volume::Event> events = TRY(this->events(changes.as_of));
  std::vector<TreeChange> rows_left;
  laid.companions = TRY(volume::update_companions(volume_.pages(), writer, std::move(companions),
                                                  {.as_of = deaths_in, .previous = state_.ref, .objects = laid.objects,
                                                   .events = events}, rows_left));
  TRY(check_carried(laid.carried.size(), rows_left.size()));
  laid.left = take_rows(laid.objects, rows_left);
  laid.own = TRY(writer.finish());
  return laid;
}

CommitBody Checkpointer::body_of(const Laid& laid, Generation as_of) {
  CommitBody body;
  body.kind = CommitKind::checkpoint;
  body.unsent_bytes = head_.counters().unsent_bytes;  // whoever finds the volume open reads it in the newest commit
  body.checkpoint.as_of = as_of;
  if (laid.map) body.roots.push_back(*laid.map);
  put_companions(laid.companions, body);
  body.objects = laid.own;
  body.objects.insert(body.objects.end(), laid.left.begin(), laid.left.end());
  body.runs = laid.carried;
  return body;
}

// Its commit is stored. Answers the objects that the next checkpoint's table has to take.
std::vector<ObjectInfo> Checkpointer::stored(Laid laid, const volume::CommitRef& ref, Generation as_of) {
  std::vector<ObjectInfo> own = std::move(laid.own);
  for (ObjectInfo& info : own) info.born = ref.generation;
  own.insert(own.end(), laid.left.begin(), laid.left.end());
  objects_.rebase(laid.companions.objects, laid.objects);
  chain_.forget_events(as_of);
  state_ = {std::move(laid.companions), {ref.generation, as_of, {}}};
  return own;
}

Result<> Checkpointer::store(const Head::Changes& changes) {
  Laid laid = TRY(lay(changes.root, changes.runs->runs(), state_.companions, changes, changes.as_of));
  const volume::CommitRef ref = TRY(uploader_.append(body_of(laid, changes.as_of)));
  const auto map = laid.map;
  const auto carried = laid.carried;
  head_.end_checkpoint(map, carried, stored(std::move(laid), ref, changes.as_of));
  return {};
}

}  // namespace s3crate::device
