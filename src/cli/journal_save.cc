// SPDX-License-Identifier: GPL-3.0-or-later
// journal save: a fork that has what a journal on this machine holds and the volume never got, because another writer has moved it on.
//
// While it fills the fork, the disk of that has a state directory of its own, which is there until all is done and nobody mounts with. So
// a fork that stands on the very generation, and that nobody but the journal in that directory has written to, is one that a save has
// left; and since to write what the journal holds once more changes nothing, the next one does that.
#include "device/journal_save.h"

#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/brief_writer.h"
#include "cli/command.h"
#include "cli/files.h"
#include "cli/fork.h"
#include "cli/guest_session.h"
#include "cli/keys.h"
#include "cli/process.h"
#include "cli/save_directory.h"
#include "device/seen.h"
#include "io/file_io.h"
#include "segment/object_names.h"
#include "volume/fork.h"
#include "volume/new_volume.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 64 << 20, kJournalBytes = 256 << 20;
constexpr auto kCloseTime = std::chrono::seconds(30);
constexpr Generation kForkedIn(2);  // holds what a fork begins as

Result<std::unique_ptr<journal::Journal>> open_journal(Env env, const std::string& directory, std::uint32_t block_size, const std::string& url) {
  journal::Options options;
  options.path = directory + "/journal";
  options.block_size = block_size;
  auto journal = journal::Journal::open(env, io::posix_file_io(), options);
  if (is(journal, Code::kNotFound)) return fail(Code::kNotFound, "there is no journal of {} in {} (s3crate-blk journal list shows those that there are)", url, directory);
  if (is(journal, Code::kExists)) return fail(Code::kFenced, "the journal of {} is in use by a mount: unmount it first", url);
  return journal;
}

// What opens the fork, and is going to.
volume::KeySource source_of(const volume::SlotRequest& slot) {
  volume::KeySource source;
  if (slot.key_file) source.key_file = slot.key_file->clone();
  if (slot.passphrase) source.passphrase = [passphrase = *slot.passphrase]() -> Result<std::optional<Bytes>> { return passphrase; };
  return source;
}

class Saver {
 public:
  Saver(Context& context, const Url& url, const Url& fork_url, Stack& target, GuestSession& session)
      : context_(context), url_(url), fork_url_(fork_url), target_(target), session_(session), origin_(session.volume()) {}

  CommandResult run();

 private:
  [[nodiscard]] Result<volume::Commit> point(journal::Journal& journal);
  // The fork that an earlier save has left; nullopt: nothing is there.
  [[nodiscard]] Result<std::optional<volume::Forked>> begun(const volume::Commit& point, const volume::SlotRequest& slot);
  [[nodiscard]] Result<bool> is_only_ours(volume::Volume& fork, const volume::Commit& head);
  [[nodiscard]] Result<volume::Forked> fork(const volume::Commit& point, std::span<const volume::SlotRequest> slots);
  [[nodiscard]] Result<device::PlayedJournal> play(journal::Journal& journal, Seq committed, const volume::Forked& made,
                                                   const volume::SlotRequest& slot);
  [[nodiscard]] Result<> end(const volume::Forked& made, const volume::SlotRequest& slot);
  void print(const volume::Forked& made, const device::PlayedJournal& played) const;

  Context& context_;
  const Url url_, fork_url_;
  Stack& target_;
  GuestSession& session_;
  volume::Volume& origin_;
  std::string state_dir_, own_state_dir_;  // and that of the fork's disk until all is done
};

Result<bool> Saver::is_only_ours(volume::Volume& fork, const volume::Commit& head) {
  if (head.header.generation <= kForkedIn) return true;
  journal::Options options;
  options.path = fmt::format("{}/{}/journal", own_state_dir_, to_hex(fork.vid()));
  options.block_size = fork.object().block_size();
  const auto journal = journal::Journal::open(context_.env, io::posix_file_io(), options);
  if (is(journal, Code::kNotFound)) return false;
  if (!journal) return fail(journal.error());
  return device::is_ours(fork, head, TRY(device::find_term(fork, head)), (*journal)->superblock());
}

Result<std::optional<volume::Forked>> Saver::begun(const volume::Commit& point, const volume::SlotRequest& slot) {
  const auto there = target_.store().head(std::string(segment::kVolumeName));
  if (is(there, Code::kNotFound) || !io::posix_file_io().identity(own_state_dir_)) {
    TRY(volume::refuse_if_taken(target_.store()));
    return std::nullopt;
  }
  TRY(there);
  const auto fork = TRY(volume::Volume::open(context_.env, target_.store(), source_of(slot), {.expected = {}, .page_cache_bytes = kPageCache}));
  const volume::Commit head = TRY(fork->load_head());
  const auto first = head.header.generation >= kForkedIn ? TRY(fork->load_commit(kForkedIn)) : head;
  const auto& origins = fork->object().origins;
  const bool of_point = !origins.empty() && origins[0].vid == origin_.vid() &&
                        volume::fork_point(first.body) == volume::CommitRef{point.header.generation, point.hash};
  if (!of_point || !TRY(is_only_ours(*fork, head)))
    return fail(Code::kExists, "there is a volume at {} already, which is not as an earlier save from this machine left it: nothing was changed. Name another "
                "place; or, if you do not need that volume, delete all that is there", fork_url_.text());
  return volume::Forked{.vid = fork->vid(), .origin_generation = point.header.generation, .disk_bytes = head.body.disk_bytes, .bytes_put = 0};
}

Result<volume::Commit> Saver::point(journal::Journal& journal) {
  const auto term = TRY(device::find_term(origin_, session_.head()));
  if (TRY(device::is_ours(origin_, session_.head(), term, journal.superblock())))
    return fail(Code::kExists, "nobody else has written to {} since: mount it, and what the journal here holds is sent", url_.text());
  auto at = TRY(device::journal_point(origin_, session_.head(), journal.superblock()));
  if (!at) return fail(Code::kCorrupt, "the history of {} does not tell which generation the journal here goes on from", url_.text());
  if (TRY(journal.pending_bytes(at->body.committed)) == 0)
    return fail(Code::kExists, "{} has all that the journal here holds: there is nothing to save; s3crate-blk journal discard {} gets rid of it", url_.text(),
                volume::fingerprint(origin_.vid()));
  return std::move(*at);
}

Result<volume::Forked> Saver::fork(const volume::Commit& point, std::span<const volume::SlotRequest> slots) {
  TRY(io::posix_file_io().make_directories(own_state_dir_));
  volume::ForkOptions options;
  options.origin_url = url_.text();
  options.note = fork_url_.text();
  options.host = host_name();
  options.single_writer = context_.arguments.flag("single-writer");
  const auto put_guest = [&](const volume::CommitBody& body) -> Result<> {
    TRY(session_.guest().append(TRY(origin_.load_head()), body, [](const volume::Commit&) -> Result<> { return {}; }));
    return {};
  };
  auto made = volume::fork(context_.env, origin_, point, target_.store(), options, slots, put_guest);
  if (!made) return fail(target_.given_up().value_or(session_.reason(made.error())));
  return made;
}

Result<device::PlayedJournal> Saver::play(journal::Journal& journal, Seq committed, const volume::Forked& made, const volume::SlotRequest& slot) {
  const auto source = source_of(slot);
  const auto volume = TRY(volume::Volume::open(context_.env, target_.store(), source, {.expected = made.vid, .page_cache_bytes = kPageCache}));
  MountPlan plan;
  plan.disk.state_dir = own_state_dir_;
  plan.disk.host = host_name();
  plan.disk.url = fork_url_.text();
  plan.disk.journal_bytes = kJournalBytes;
  complete_for_command(plan, target_);
  const auto disk = TRY(device::Disk::open(context_.env, io::uring_file_io(), *volume, plan.disk));
  auto played = device::play_into(journal, committed, *origin_.keys(), *disk, nullptr);
  auto stored = played ? disk->sync() : fail(played.error());
  auto closed = disk->close(stored ? Duration(kCloseTime) : Duration::zero());
  if (!stored) return fail(stored.error());
  TRY(closed);
  return played;
}

// From now on it is a volume like any other.
Result<> Saver::end(const volume::Forked& made, const volume::SlotRequest& slot) {
  const auto fork = TRY(volume::Volume::open(context_.env, target_.store(), source_of(slot), {.expected = made.vid, .page_cache_bytes = kPageCache}));
  const volume::Commit head = TRY(fork->load_head());
  const std::string directory = fmt::format("{}/{}", state_dir_, to_hex(made.vid));
  TRY(io::posix_file_io().make_directories(directory));
  TRY(TRY(device::Seen::open(io::posix_file_io(), directory + "/seen", made.vid))->note({head.header.generation, head.hash}, io::Sync::yes));
  return remove_save_directory(own_state_dir_);
}

void Saver::print(const volume::Forked& made, const device::PlayedJournal& played) const {
  const auto fingerprint = volume::fingerprint(made.vid);
  const auto origin = volume::fingerprint(origin_.vid());
  context_.out.print(fmt::format("{} is a fork of generation {} of {}, with all that the journal holds: {} of writes; fingerprint {}\n"
                                 "It needs that volume, which has noted this: keep it.\n"
                                 "The journal is still there. Once you have seen that nothing is missing: s3crate-blk journal discard {}\n"
                                 "next: s3crate-blk mount {} MOUNTPOINT", fork_url_.text(), made.origin_generation, url_.text(), format_bytes(played.bytes),
                                 fingerprint, origin, fork_url_.text()));
  context_.out.print_json({{"url", fork_url_.text()}, {"vid", to_hex(made.vid)}, {"fingerprint", fingerprint}, {"origin_url", url_.text()},
                           {"origin_vid", to_hex(origin_.vid())}, {"origin_generation", made.origin_generation.value},
                           {"batches", played.batches}, {"bytes", played.bytes}, {"disk_bytes", made.disk_bytes}});
}

CommandResult Saver::run() {
  state_dir_ = TRY(state_directory(context_.arguments));
  const auto directory = fmt::format("{}/{}", state_dir_, to_hex(origin_.vid()));
  own_state_dir_ = save_directory(directory, fork_url_.text());
  const auto journal = TRY(open_journal(context_.env, directory, origin_.object().block_size(), url_.text()));
  const volume::Commit at = TRY(point(*journal));
  auto slots = TRY(fork_slots(context_.arguments, fork_url_.text()));
  target_.store().attach_all_of(session_.stack().store(), url_.text());
  const auto left = begun(at, slots.at(0));
  const auto made = !left ? fail(left.error()) : *left ? Result<volume::Forked>(**left) : fork(at, slots);
  auto played = made ? play(*journal, at.body.committed, *made, slots.at(0)) : fail(made.error());
  if (played) (void)end(*made, slots.at(0));  // else another save to that place does once more what is done
  for (auto& slot : slots) {
    if (slot.passphrase) crypto::wipe(*slot.passphrase);
  }
  if (!made) return fail(made.error());
  if (!played)
    return fail(target_.given_up().value_or(session_.reason(played.error().within(fmt::format(
        "{} is made, but has not all of the journal, which is as it was: the same command goes on", fork_url_.text())))));
  print(*made, *played);
  return kDone;
}

}  // namespace

CommandResult run_journal_save(Context& context) {
  const Url url = TRY(url_argument(context.arguments));
  const Url fork_url = TRY(place_of_fork(TRY(url_argument(context.arguments, TakesPoint::no, 1)), url));
  const auto target = TRY(Stack::make(context.env, fork_url, context.arguments, Outage::kEnd));
  const auto session = TRY(GuestSession::open(context, url, volume::CommitKind::pin));
  session->cancel_too(*target);
  return Saver(context, url, fork_url, *target, *session).run();
}

}  // namespace s3crate::cli
