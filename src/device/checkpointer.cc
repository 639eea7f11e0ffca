// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/checkpointer.h"

#include <algorithm>

namespace s3crate::device {

using segment::ObjectInfo;
using volume::CommitBody;
using volume::CommitKind;

namespace {
// Each try puts its pages anew, so one that keeps failing (over a damaged page, say) must not be tried often.
constexpr Duration kTroublePauseFirst = std::chrono::seconds(5);
constexpr Duration kTroublePauseMax = std::chrono::minutes(5);
// Changes that one checkpoint hands on to the next, over pages that cannot be read. Its commit names its own objects as well, and
// takes 65,536 of all together.
constexpr std::size_t kCarriedMax = 50'000;
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

// Puts the pages of `runs` over `base`, and of the companions that follow; `companions.late` holds what was noted before. What is not
// referred to any more dies in `deaths_in`: P, which does not need it; or a rollback, since what was before that does.
Result<Laid> Checkpointer::lay(const volume::MaybeRoot& base, std::span<const volume::Run> runs, volume::Companions companions,
                               const Head::Changes& changes, Generation deaths_in) {
  const LayContext context{env_, volume_, chain_, options_.page_bytes, [this] { return stopped(); }};
  std::shared_ptr<const volume::KeyRing> keys = volume_.keys();
  volume::PageWriter writer = page_writer(context, *keys);
  Laid laid;
  laid.companions = std::move(companions);
  laid.objects = changes.objects;
  // Another map than before must be whole.
  std::vector<volume::Run>* carried = deaths_in == changes.as_of ? &laid.carried : nullptr;
  laid.map = TRY(volume::map_update(volume_.pages(), writer, base, runs, laid.companions.late, carried));
  TRY(lay_companions(context, writer, laid, state_.ref, changes.as_of, deaths_in));
  TRY(check_carried(laid.carried.size(), laid.left.size()));
  laid.own = TRY(writer.finish());
  return laid;
}

CommitBody Checkpointer::body_of(const Laid& laid, Generation as_of, const std::optional<volume::MapState>& state) {
  CommitBody body = device::body_of(laid, as_of, state);
  body.unsent_bytes = head_.counters().unsent_bytes;  // whoever finds the volume open reads it in the newest commit
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
  CommitBody body = body_of(laid, changes.as_of, changes.state);
  auto mark = volume::mark_of(Generation(0), body);
  const volume::CommitRef ref = TRY(uploader_.append(std::move(body)));
  if (mark) {
    mark->commit = ref.generation;
    uploader_.tell(std::move(*mark));
  }
  const auto map = laid.map;
  const auto carried = laid.carried;
  head_.end_checkpoint(map, carried, stored(std::move(laid), ref, changes.as_of));
  return {};
}

}  // namespace s3crate::device
