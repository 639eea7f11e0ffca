// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/term.h"

#include <algorithm>

#include "base/time_text.h"
#include "base/wire.h"
#include "device/journal_save.h"
#include "volume/history.h"
#include "volume/noted.h"

namespace s3crate::device {

using volume::Commit;
using volume::CommitKind;
using volume::CommitRef;

namespace {

constexpr int kTermsMax = 64;    // looked back through for a journal's last word
constexpr int kGuestsMax = 512;  // in a row; a checkpoint comes with every 256th

std::string refusal(Env env, const Commit& term, const Commit& head) {
  Duration ago = env.clock.wall_now() - head.body.time;
  return fmt::format("the volume is open since {} on {} (last commit {} ago); if {} is gone, add --take-over: what it had not "
                     "sent is lost (it last reported {}); if it still runs, stop it there",
                     format_time(term.body.time), term.body.host, format_duration(ago), term.body.host,
                     format_bytes(head.body.unsent_bytes));
}

}  // namespace

namespace {

// The newest at or below `at` that is no guest.
Result<Commit> below_guests(volume::Volume& volume, Commit at) {
  for (int guests = 0; guests < kGuestsMax && volume::is_guest(at.body.kind) && at.header.generation > Generation(1); ++guests)
    at = TRY(volume.load_commit({Generation(at.header.generation.value - 1), at.header.parent}));
  return at;
}

// Where a copy of the machine that has this journal went on alone: the newest commit that both have put.
Result<std::optional<Commit>> fork_point(volume::Volume& volume, const Commit& head, const journal::Superblock& journal) {
  const auto noted = journal::noted_commits(journal);
  if (!noted) {
    const Term term = TRY(find_term(volume, head));
    return term.open ? std::optional(term.commit) : std::nullopt;
  }
  for (const CommitRef& ref : {CommitRef{noted->sent, noted->sent_hash}, CommitRef{noted->stored, noted->stored_hash}}) {
    if (ref.generation >= head.header.generation || TRY(volume::hash_below(volume, head, ref.generation)) != ref.hash) continue;
    return TRY(volume.load_commit(ref));
  }
  return std::nullopt;
}

}  // namespace

bool was_put_by(const journal::Superblock& journal, const Commit& commit) {
  if (!is_own(journal, commit.body)) return false;
  if (commit.body.kind == CommitKind::open || !volume::is_noted(commit.body)) return true;
  const auto noted = journal::noted_commits(journal);
  const CommitRef ref{commit.header.generation, commit.hash};
  // Below what it knows to be stored all is ours; why that is the newest is another question (check_seen).
  return noted && (ref.generation < noted->stored || ref == CommitRef{noted->stored, noted->stored_hash} || ref == CommitRef{noted->sent, noted->sent_hash});
}

Result<bool> is_ours(volume::Volume& volume, const Commit& head, const Term& term, const journal::Superblock& journal) {
  return is_own(journal, term.commit.body) && was_put_by(journal, TRY(below_guests(volume, head)));
}

Result<std::optional<Commit>> journal_point(volume::Volume& volume, const Commit& head, const journal::Superblock& journal) {
  Commit at = head;
  for (int i = 0; i < kTermsMax; ++i) {
    at = TRY(below_guests(volume, std::move(at)));
    if (was_put_by(journal, at)) return at;
    if (is_own(journal, at.body)) return fork_point(volume, at, journal);
    Term term = TRY(find_term(volume, at));
    Generation begin = term.commit.header.generation;
    if (begin <= Generation(1)) return std::nullopt;
    at = TRY(volume.load_commit({Generation(begin.value - 1), term.commit.header.parent}));
  }
  return std::nullopt;
}

namespace {

// The process that made it died before it heard of its `open`, which may land until another one is won. Without the journal it would look
// like somebody else's, and the volume would be open for good.
bool has_claim(const journal::Journal& journal, const Commit& head, const DiskOptions& options) {
  const journal::Superblock& found = journal.superblock();
  return found.incarnations.empty() && found.intended_epoch > head.body.epoch && !journal.was_copied() &&
         found.home == home_hash(options.home);
}

// A journal that is not the newest term's: of no use, unless it holds what the store never got.
Result<JournalUse> decide_foreign(volume::Volume& volume, const Commit& head, journal::Journal& journal) {
  const auto point = TRY(journal_point(volume, head, journal.superblock()));
  std::uint64_t pending = TRY(journal.pending_bytes(point ? point->body.committed : Seq(0)));
  if (pending == 0) return JournalUse::none;
  return fail(Code::kFenced, "a journal here holds {} that never reached the volume, and another writer has moved the volume "
              "on since: make a fork of it with `s3crate-blk journal save`, give it up with `s3crate-blk journal discard`, or mount "
              "with another --state-dir", format_bytes(pending));
}

}  // namespace

bool is_own(const journal::Superblock& journal, const volume::CommitBody& commit) {
  if (commit.journal != journal.journal || commit.epoch > journal.intended_epoch) return false;
  if (commit.epoch < journal.intended_epoch || commit.instance == journal.intended_instance) return true;
  const auto tried = journal::tried_instances(journal);
  return std::ranges::find(tried, commit.instance) != tried.end();
}

segment::Hash home_hash(const std::vector<std::string>& home) {
  Bytes joined;
  ByteWriter writer(joined);
  for (const std::string& part : home) writer.bytes32(as_bytes(part));
  return crypto::blake2b(joined);
}

Result<Term> find_term(volume::Volume& volume, const Commit& head) {
  auto is_bound = [](const Commit& c) { return c.body.kind == CommitKind::open || c.body.kind == CommitKind::close; };
  Term term;
  term.commit = head;
  if (!is_bound(head) && head.body.term > Generation(0)) {
    auto bound = volume.load_commit(head.body.term);
    if (is(bound, Code::kNotFound)) return fail(Code::kCorrupt, "commit {} is missing", head.body.term);
    term.commit = TRY(std::move(bound));
    if (!is_bound(term.commit))
      return fail(Code::kCorrupt, "commit {} neither opens nor closes the volume, as commit {} says", head.body.term,
                  head.header.generation);
  }
  term.open = term.commit.body.kind == CommitKind::open;
  return term;
}

Result<> check_seen(volume::Volume& volume, const Commit& head, const std::optional<CommitRef>& seen, const DiskOptions& options) {
  if (seen && !options.accept_rollback) {
    const CommitRef& known = *seen;
    auto refuse = [&](std::string_view what) {
      return fail(Code::kCorrupt, "{}: {} (this machine has seen generation {}). If you put an older copy there on purpose, "
                  "add --accept-rollback: what came after it is lost", options.url, what, known.generation);
    };
    if (known.generation > head.header.generation) return refuse("the store shows an older state of the volume");
    if (known.generation == head.header.generation && known.hash != head.hash)
      return refuse("another history stands in the store");
    if (known.generation < head.header.generation) {
      const auto below = volume::hash_below(volume, head, known.generation);
      if (below && *below != known.hash) return refuse("another history stands in the store");
      // Damage to the past proves no other history, and no read needs it; least of all if the commit that was seen stands where it stood.
      // But if that is gone as well, whoever writes would build on what may be another history, and note it as the one seen.
      if (is(below, Code::kCorrupt) || is(below, Code::kNotFound)) {
        const auto there = volume.load_commit(known.generation);
        if (there && there->hash != known.hash) return refuse("another history stands in the store");
        const std::string what = fmt::format("whether the store shows the history that this machine has seen cannot be told: {}", below.error().message());
        if (!there && !options.read_only)
          return fail(Code::kCorrupt, "{}: {} (it has seen generation {}). Mount it with --read-only to look; to write to it, add --accept-rollback: "
                      "what was stored from here may not be in it", options.url, what, known.generation);
        if (options.log) options.log(what);
      } else if (!below) {
        return fail(below.error());
      }
    }
  }
  return {};
}

Result<> check_home(volume::Volume& volume, const Commit& head, const DiskOptions& options) {
  std::array<std::uint8_t, 16> unknown{};
  if (options.moved || head.body.home == unknown || head.body.home == volume.keys()->home(options.home)) return {};
  return fail(Code::kBadArgument, "{} is a copy: the volume was last written in another place, on {}. Mount it with --read-only; "
              "or, if the other place is gone for good, with --moved", options.url, head.body.host);
}

Result<JournalUse> decide(Env env, volume::Volume& volume, const Commit& head, const Term& term, journal::Journal* journal,
                          const DiskOptions& options) {
  const Commit& bound = term.commit;
  TRY(check_home(volume, bound, options));  // not the head's: a guest may live elsewhere
  if (journal != nullptr) {
    const journal::Superblock& found = journal->superblock();
    if (found.vid != volume.vid())
      return fail(Code::kBadArgument, "the journal in {} is of another volume ({}): give this one another --state-dir",
                  options.state_dir, volume::fingerprint(found.vid));
    const bool ours = TRY(is_ours(volume, head, term, found));
    if (ours && found.home != home_hash(options.home) && !options.moved)
      return fail(Code::kBadArgument, "the journal here was written for the volume in another place: add --moved if that place "
                  "is gone for good");
    if (ours && journal->was_copied() && !options.take_over)
      return fail(Code::kFenced, "the state directory was copied, so the journal here may be played back on another machine as "
                  "well: if this is the only one, add --take-over");
    if (ours) return JournalUse::replay;
  }
  if (term.open && !options.take_over) return fail(Code::kFenced, "{}", refusal(env, bound, head));
  if (!term.open && bound.body.pending && !options.take_over)
    return fail(Code::kFenced, "the volume was closed on {} at {} with {} still in its journal there: mount it there once more, or "
                "add --take-over to lose them", bound.body.host, format_time(bound.body.time),
                format_bytes(bound.body.pending->bytes));
  if (journal == nullptr) return JournalUse::none;
  return has_claim(*journal, head, options) ? JournalUse::keep : decide_foreign(volume, head, *journal);
}

}  // namespace s3crate::device
