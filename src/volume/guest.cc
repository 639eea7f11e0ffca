// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/guest.h"

#include "base/time_text.h"
#include "segment/object_names.h"
#include "volume/history.h"

namespace s3crate::volume {

namespace {
constexpr std::size_t kLookedAtTogether = 8;
}  // namespace

Guest::Guest(Env env, Volume& volume, GuestIdentity who, std::function<void(const Error&)> trouble, GuestLimits limits)
    : env_(env),
      volume_(volume),
      who_(std::move(who)),
      instance_(env.random.array<16>()),
      limits_(limits),
      put_(env, volume, std::move(trouble)) {}

// A guest says of the writer what its parent says: whose batches are in the store, and how many are not.
Result<Bytes> Guest::seal(const Commit& head, Commit& commit) {
  const std::shared_ptr<const KeyRing> keys = volume_.keys();
  CommitBody& body = commit.body;
  if (keys->signer() == nullptr || !keys->may_sign(body.kind))
    return fail(Code::kBadKey, "this key may not put a commit of kind {} into the volume", kind_name(body.kind));
  stand_on(head, env_, volume_, commit);
  body.epoch = head.body.epoch;
  body.instance = instance_;
  body.home = who_.home;
  body.host = who_.host;
  body.journal = head.body.journal;
  body.unsent_bytes = head.body.unsent_bytes;
  body.unsent_age_ns = head.body.unsent_age_ns;
  body.delta_base = newest_change(head);
  const Generation as_of = body.checkpoint.as_of;
  put_bases_hint(body, has_changes(head.body) ? bases_above(head.body, as_of) : bases_hint(head.body));
  return seal_commit(commit, keys->commit_sealing_key(), *keys->signer(), env_.random);
}

Result<> Guest::accept(const Commit& head, const Commit& winner) {
  const Generation at = winner.header.generation;
  if (winner.header.parent != head.hash)
    return fail(Code::kCorrupt, "commit {} does not stand on commit {} as this program knows it", at, head.header.generation);
  if (winner.header.keys_generation != keys_after(head))
    return fail(Code::kCorrupt, "commit {} does not stand on the keys in force", at);
  const bool opens = winner.body.kind == CommitKind::open && winner.body.epoch > head.body.epoch;
  if (winner.body.epoch != head.body.epoch && !opens)
    return fail(Code::kCorrupt, "commit {} is of epoch {}, above one of epoch {}", at, winner.body.epoch, head.body.epoch);
  if (winner.keys) TRY(volume_.use_keys(at));
  return {};
}

// Several at a time: who looks at one after the other falls behind a writer that never pauses, further with each.
Result<bool> Guest::catch_up(Commit& head, const Commit& own, const Moved& moved) {
  put_.note_contact();  // that the number is taken was just answered
  std::vector<WantedObject> wanted;
  for (Generation g = head.header.generation.next(); wanted.size() < kLookedAtTogether; g = g.next())
    wanted.push_back({segment::commit_name(g), kCommitBytesMax});
  auto got = get_together(env_.executor, volume_.store(), wanted);
  for (std::size_t i = 0; i < got.size(); ++i) {
    auto winner = got[i] ? volume_.open_commit_object(std::move(*got[i]), head.header.generation.next()) : fail(got[i].error());
    if (!winner && i > 0) break;  // it is not there, or is looked at again when its number turns out to be taken
    if (!winner) winner = put_.load_winner(head);
    TRY(winner);
    TRY(accept(head, *winner));
    if (winner->hash == own.hash) return true;
    TRY(moved(*winner));
    head = std::move(*winner);
  }
  return false;
}

// Who slept before the PUT may have got a name that was taken meanwhile, and is free again since a prune: such a commit is
// no part of the history.
Result<CommitRef> Guest::stored(const Commit& commit) {
  const CommitRef ref{commit.header.generation, commit.hash};
  if (!put_.was_away()) return ref;
  const Commit newest = TRY(volume_.load_head());
  if (newest.header.generation == ref.generation && newest.hash == ref.hash) return ref;
  if (newest.header.generation > ref.generation && TRY(hash_below(volume_, newest, ref.generation)) == ref.hash) return ref;
  return fail(Code::kTransient, "this machine was halted while it put generation {}, and the history has gone on without that: "
              "do it again", ref.generation);
}

Result<CommitRef> Guest::append(Commit head, const CommitBody& wanted, const std::function<Result<>(const Commit&)>& moved) {
  CHECK(is_guest(wanted.kind));
  const MonotonicTime give_up = env_.clock.monotonic_now() + limits_.time;
  put_.give_up_at(give_up);
  TRY(put_.prove_conditions());
  const auto out_of_time = [&] { return env_.clock.monotonic_now() >= give_up; };
  for (int i = 0; i < limits_.tries && !out_of_time(); ++i) {
    Commit commit;
    commit.body = wanted;
    const Bytes bytes = TRY(seal(head, commit));
    const auto outcome = put_.until_known(commit.header.generation, bytes, CommitPut::Refused::final);
    if (!outcome && out_of_time())
      return fail(Code::kTransient, "the store did not say within {} whether generation {} is stored: see `s3crate-blk history`, or do "
                  "it again", format_duration(limits_.time), commit.header.generation);
    if (TRY(outcome) == CommitPut::Outcome::stored) return stored(commit);
    if (TRY(catch_up(head, commit, moved))) return stored(commit);
  }
  return fail(Code::kTransient, "others commit to the volume faster than this could be put between: try again");
}

}  // namespace s3crate::volume
