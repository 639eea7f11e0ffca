// SPDX-License-Identifier: GPL-3.0-or-later
// How a disk comes to be. Each step may crash and be done again:
//
//   1. the newest generation is found and verified, and held against the newest one ever seen here (device/seen.h), as that was
//      before: a writer beside us may go on meanwhile;
//   2. the journal in the state directory, if any, is opened and locked, and device/term.h decides;
//   3. the store shows that it refuses to overwrite; the map is opened; the journal notes, durably, the epoch that is about to be
//      claimed;
//   4. `open` is won: from here on no other writer commits. It carries the journal's id, so a crash after it finds it ours again.
//      What was found is noted as seen. If others committed in between, the map is opened again;
//   5. the committed batch is read from the chain *below* the open that was won, and the journal is replayed from there:
//      its extents are put again under fresh names, what was uploaded but not committed is never adopted;
//   6. a new incarnation of the journal begins, and writers are let in.
#include <algorithm>

#include "base/time_text.h"
#include "device/disk_impl.h"
#include "device/term.h"

namespace s3crate::device {

using journal::Journal;
using volume::Commit;
using volume::CommitRef;

namespace {

constexpr Duration kLockPatience = std::chrono::seconds(3);
constexpr Duration kLockPause = std::chrono::milliseconds(50);

class Opener {
 public:
  Opener(Env env, io::FileIo& files, volume::Volume& volume, const DiskOptions& options)
      : env_(env), files_(files), volume_(volume), options_(options),
        state_dir_(options.state_dir + "/" + to_hex(volume.vid())) {}

  Result<std::unique_ptr<Disk>> open() {
    disk_ = std::make_unique<DiskImpl>(env_, volume_, options_);
    const auto known = TRY(Seen::look(files_, state_dir_ + "/seen", volume_.vid()));
    Commit head = TRY(volume_.load_head());
    if (!options_.blind && !volume_.keys()->reads_data())
      return fail(Code::kBadKey, "{}: this key may not read the disk: an owner's, a writer's or a reader's key can", options_.url);
    // It is as of a moment ago: a writer beside us may have noted more since then.
    if (known && known->generation > head.header.generation) head = TRY(volume_.load_head());
    TRY(get_ahead(head, known));
    TRY(check_seen(volume_, head, known, options_));
    if (options_.read_only) return open_reader(head);
    if (auto unknown = volume_.object().features.read_only_compatible & ~volume::kKnownFeatures.read_only_compatible; unknown != 0)
      return fail(Code::kUnsupported, "{} uses features ({:#x}) that this program does not know: it can mount it with --read-only; "
                  "to write, a newer version of it is needed", options_.url, unknown);
    TRY(make_state_directory());
    auto seen = TRY(Seen::open(files_, state_dir_ + "/seen", volume_.vid()));
    seen_ = seen.get();
    disk_->keep_seen(std::move(seen));
    auto done = open_writer(std::move(head));
    if (!done) return fail(done.error());
    return std::move(disk_);
  }

 private:
  Result<std::unique_ptr<Disk>> open_reader(const Commit& head) {
    disk_->attach_cache_file(files_, state_dir_);
    auto shown = options_.point ? volume::resolve(volume_, head, *options_.point) : head;
    if (!shown) return fail(shown.error().within(options_.url));
    volume::View view = TRY(volume_.load_view(*shown));
    tell_of_journal();
    disk_->attach_reader(std::move(view), Seq(0));
    disk_->attach_history(head);
    disk_->wait_for_cache_file();
    return std::move(disk_);
  }

  [[nodiscard]] tl::unexpected<Error> in_use() const {
    return fail(Code::kFenced, "the volume is in use by another process on this machine (it has {} locked)", state_dir_);
  }
  Result<> make_state_directory();
  Result<> get_ahead(const Commit& head, const std::optional<CommitRef>& seen);
  void tell_of_journal();
  Result<std::unique_ptr<Journal>> open_journal();
  Result<std::unique_ptr<Journal>> fresh_journal(std::unique_ptr<Journal> old);
  static Result<JournalUse> use_unread(Journal& journal, const Commit& head, const Term& term);
  Result<Commit> win(volume::Chain& chain, const Commit& head, Journal* journal, JournalUse use);
  Result<volume::View> load_view(const Commit& head, volume::DeltaLevels& levels);
  Result<> open_writer(Commit head);
  Result<> replay(Journal& journal, Seq committed);
  Result<> begin_incarnation(Journal& journal);
  journal::Options journal_options() const {
    journal::Options out;
    out.path = state_dir_ + "/journal";
    out.file_bytes = options_.journal_bytes;
    out.slot_bytes = options_.journal_slot_bytes;
    out.block_size = volume_.object().block_size();
    out.boot = options_.boot;
    out.home = home_hash(options_.home);
    out.url = options_.url;
    return out;
  }
  void log(const std::string& line) const {
    if (options_.log) options_.log(line);
  }

  Env env_;
  io::FileIo& files_;
  volume::Volume& volume_;
  const DiskOptions& options_;
  const std::string state_dir_;
  std::unique_ptr<DiskImpl> disk_;
  Seen* seen_ = nullptr;  // the disk's
};

// A process that died at this very point may have made some of the directories and not synced their names: the journal would
// go with them in the next power cut.
Result<> Opener::make_state_directory() {
  TRY(files_.make_directories(state_dir_));
  for (std::size_t end = state_dir_.find('/'); end != std::string::npos; end = state_dir_.find('/', end + 1)) {
    auto synced = files_.sync_directory(end == 0 ? "/" : state_dir_.substr(0, end));
    if (!synced && !is(synced, Code::kDenied)) return synced;  // what we may not read, we have not made
  }
  return {};
}

// All that is read next, in one round trip.
Result<> Opener::get_ahead(const Commit& head, const std::optional<CommitRef>& seen) {
  std::vector<Generation> also;
  if (seen && !options_.accept_rollback && seen->generation < head.header.generation) {
    // What volume::hash_below() begins with.
    const volume::CheckpointRef& checkpoint = head.body.checkpoint;
    Generation g = seen->generation <= checkpoint.as_of ? checkpoint.commit : Generation(head.header.generation.value - 1);
    const Generation end = seen->generation <= checkpoint.as_of ? Generation(g.value - 1) : seen->generation;
    for (; g > end && also.size() < volume::kGetTogetherMax; g = Generation(g.value - 1)) also.push_back(g);
  }
  if (!options_.read_only && head.body.term < head.header.generation) also.push_back(head.body.term);
  return volume_.get_ahead_of_view(head, also);
}

// A read-only disk does without it. What it says of the store is as of its writer's last commit.
void Opener::tell_of_journal() {
  const auto journal = Journal::open(env_, files_, journal_options());
  if (is(journal, Code::kNotFound)) return;
  if (is(journal, Code::kExists)) {
    log("the volume is in use by another process on this machine: what that has not sent yet is not shown by a read-only mount");
    return;
  }
  const auto pending = journal ? (*journal)->pending_bytes(journal::stored_through((*journal)->superblock())) : fail(journal.error());
  if (!pending) log(fmt::format("there is a journal in {}, which cannot be read ({}): what it holds is not shown", state_dir_, pending.error().message()));
  else if (*pending > 0) log(fmt::format("a journal waits in {}: of {} in it, what the store lacks is not shown by a read-only mount", state_dir_, format_bytes(*pending)));
}

// A process that was killed a moment ago holds its lock until the kernel has taken it apart.
Result<std::unique_ptr<Journal>> Opener::open_journal() {
  auto journal = Journal::open(env_, files_, journal_options());
  const MonotonicTime give_up = env_.clock.monotonic_now() + kLockPatience;
  while (is(journal, Code::kExists) && env_.clock.monotonic_now() < give_up) {
    nap(env_.clock, env_.executor, kLockPause);
    journal = Journal::open(env_, files_, journal_options());
  }
  if (is(journal, Code::kNotFound)) return std::unique_ptr<Journal>();
  if (is(journal, Code::kExists)) return in_use();
  return journal;
}

Result<std::unique_ptr<Journal>> Opener::fresh_journal(std::unique_ptr<Journal> old) {
  // The old one stays locked until the new one is, so that nobody takes that one for it.
  if (old) TRY(files_.remove(journal_options().path));
  // In store mode nothing goes in, but its id tells, after a crash, that the volume is open here and nowhere else.
  auto fresh = Journal::create(env_, files_, journal_options(), volume_.vid(), home_hash(options_.home));
  if (is(fresh, Code::kExists)) return in_use();
  return fresh;
}

// Who may not read data cannot play a journal back, and need not if the store has all that is in it. While the volume is open it stays
// the one by which whoever has it open is known; nothing is in it then but what an import puts there, which is nothing.
Result<JournalUse> Opener::use_unread(Journal& journal, const Commit& head, const Term& term) {
  const std::uint64_t pending = TRY(journal.pending_bytes(head.body.committed));
  if (pending > 0)
    return fail(Code::kBadKey, "a journal here holds {} that never reached the volume, and this key may not read it: mount the volume once with a key that may",
                format_bytes(pending));
  return term.open ? JournalUse::replay : JournalUse::none;
}

Result<Commit> Opener::win(volume::Chain& chain, const Commit& head, Journal* journal, JournalUse use) {
  volume::WriterIdentity who;
  who.instance = env_.random.array<16>();
  who.home = volume_.keys()->home(options_.home);
  who.host = options_.host;
  if (journal != nullptr) {
    who.journal = journal->superblock().journal;
    TRY(journal->note_intent(head.body.epoch + 1, who.instance, head.header.generation, head.hash));
  }
  return chain.open_term(who, [&, who](const Commit& moved) -> Result<> {
    // A commit of our own that was still under way when the last process died changes nothing.
    if (volume::is_guest(moved.body.kind)) return {};
    if (use != JournalUse::none && was_put_by(journal->superblock(), moved)) {
      if (moved.body.epoch < journal->superblock().intended_epoch) return {};
      return journal->note_intent(moved.body.epoch + 1, who.instance, moved.header.generation, moved.hash);
    }
    // What the term that is taken over commits until then is part of what is taken over.
    if (use != JournalUse::replay && options_.take_over && moved.body.epoch == head.body.epoch) {
      if (journal == nullptr) return {};
      return journal->note_intent(head.body.epoch + 1, who.instance, moved.header.generation, moved.hash);
    }
    return fail(Code::kFenced, "another mount on {} took the volume at the same moment", moved.body.host);
  });
}

Result<volume::View> Opener::load_view(const Commit& head, volume::DeltaLevels& levels) {
  if (!options_.load_view) return volume_.load_view(head, &levels);
  volume::View view;
  TRY(options_.load_view(head, view, levels));
  return view;
}

Result<> Opener::open_writer(Commit head) {
  std::unique_ptr<Journal> journal = TRY(open_journal());
  Term term = TRY(find_term(volume_, head));
  JournalUse use = TRY(decide(env_, volume_, head, term, journal.get(), options_));
  const bool unread = use == JournalUse::replay && !volume_.keys()->reads_data();
  if (unread) use = TRY(use_unread(*journal, head, term));
  auto chain = std::make_unique<volume::Chain>(env_, volume_, head, disk_->trouble_reporter());
  chain->set_away_limit(options_.away_limit);
  TRY(chain->prove_conditions());
  if (use == JournalUse::none) journal = TRY(fresh_journal(std::move(journal)));
  if (term.open && use != JournalUse::replay)
    log(fmt::format("taking over from {} (open since {}): what it had not sent is lost; the disk is as of generation {}, of {}",
                    term.commit.body.host, format_time(term.commit.body.time), head.header.generation,
                    format_time(head.body.time)));

  // What the last mount left is read while the store answers.
  disk_->attach_cache_file(files_, state_dir_);
  volume::DeltaLevels levels;
  volume::View view = TRY(load_view(head, levels));
  Commit below = TRY(win(*chain, head, journal.get(), use));
  // Not before: what a directory shows of a process that was killed may go with the next power cut, until `open` is beside it.
  TRY(seen_->note({below.header.generation, below.hash}, io::Sync::yes));
  if (below.hash != head.hash) view = TRY(load_view(below, levels));
  chain->continue_from(std::move(levels));
  Seq committed = below.body.committed;
  disk_->attach_reader(std::move(view), committed);
  disk_->attach_history(below);
  bool journal_writes = journal && options_.durability == Durability::local;
  Journal* j = journal.get();
  disk_->attach_writer(std::move(journal), std::move(chain), below.body, journal_writes);
  if (use != JournalUse::none && !unread) TRY(replay(*j, committed));
  disk_->start_uploading();
  // In store mode too: what replay did not find must stay unfound, once other batches have the numbers of what it did not reach.
  if (journal_writes || (use == JournalUse::replay && !unread)) TRY(begin_incarnation(*j));
  disk_->start_encoding();
  disk_->wait_for_cache_file();
  return {};
}

Result<> Opener::replay(Journal& journal, Seq committed) {
  using Key = std::pair<std::uint32_t, std::uint32_t>;  // incarnation, ordinal
  std::map<Key, PendingSegmentPtr> segments;
  std::shared_ptr<const volume::KeyRing> keys = volume_.keys();
  std::uint64_t batches = 0;
  auto each = [&](Journal::Replayed found) -> Result<> {
    for (const journal::NewSegment& fresh : found.body.segments) {
      if (segments.contains({found.incarnation, fresh.ordinal})) continue;
      auto segment = std::make_shared<PendingSegment>();
      segment->id = TRY(disk_->writer().chain->new_object_id());
      segment->ring = fresh.ring;
      segment->sealed_secret = fresh.sealed_secret;
      crypto::Secret secret = TRY(keys->open_data_box(fresh.ring, fresh.sealed_secret));
      segment->key = std::make_shared<const crypto::OpeningKey>(segment::extent_opening_key(secret, volume_.vid()));
      segments.insert_or_assign({found.incarnation, fresh.ordinal}, std::move(segment));
    }
    // None was acknowledged beyond the end of a disk that was made smaller, see resize.cc.
    if (found.body.disk_bytes > disk_->size())
      return fail(Code::kCorrupt, "batch {} is of a disk of {} bytes, this one has {}", found.seq, found.body.disk_bytes, disk_->size());
    EncodedBatch batch;
    for (const journal::RecordHole& hole : found.body.holes)
      batch.holes.push_back({.block = hole.block, .count = hole.count, .hole = true, .first = 0, .extent = {}});
    std::vector<std::uint16_t> blocks(found.body.extents.size());
    for (const journal::RecordRun& run : found.body.runs)
      blocks[run.extent] = std::max(blocks[run.extent], static_cast<std::uint16_t>(run.first + run.count));
    for (std::size_t i = 0; i < found.body.extents.size(); ++i) {
      const journal::RecordExtent& extent = found.body.extents[i];
      auto segment = segments.find({found.incarnation, extent.segment});
      if (segment == segments.end()) return fail(Code::kCorrupt, "batch {} of the journal names an unknown segment", found.seq);
      PendingExtent pending{found.record, nullptr, extent.offset, extent.length, extent.number, blocks[i], extent.digest,
                            found.seq, {}};
      batch.extents.emplace_back(segment->second, std::move(pending));
    }
    for (const journal::RecordRun& run : found.body.runs) {
      const auto& [segment, extent] = batch.extents[run.extent];
      volume::Run out = run_of(run.block, run.count, {segment, extent});
      out.first = run.first;
      batch.runs.push_back(out);
    }
    for (const journal::RecordPatch& patch : found.body.patches) {
      BlockData data;
      data.buffer = std::make_shared<Buffer>(disk_->block_size(), true);
      std::ranges::copy(patch.data, data.data() + patch.offset);
      data.present.add(patch.offset, patch.offset + static_cast<std::uint32_t>(patch.data.size()));
      data.full = data.present.covers(disk_->block_size());
      batch.patches.emplace_back(patch.block, std::move(data));
    }
    // A segment belongs to one generation: what is left of it goes on under another name.
    if (disk_->head().restore(found.seq, batch, env_.clock.monotonic_now())) segments.clear();
    batches++;
    return {};
  };
  auto open_key = [&](std::uint32_t ring, const segment::SealedSecret& sealed) { return keys->open_data_box(ring, sealed); };
  auto last = journal.replay(committed, open_key, each);
  if (!last) return fail(last.error().within("playing the journal back"));
  disk_->note_recovered(batches);
  if (batches > 0) log(fmt::format("played {} batches back from the journal: everything fsynced before the crash is there", batches));
  return {};
}

Result<> Opener::begin_incarnation(Journal& journal) {
  std::shared_ptr<const volume::KeyRing> keys = volume_.keys();
  Seq next = disk_->head().encoded_through().next();
  auto begun = journal.start_incarnation(next, keys->ring(), keys->data_key());
  if (!is(begun, Code::kNoSpace)) return begun;
  // Many crashes in a row without an upload: first the store must have what is here.
  disk_->upload_now();
  TRY(disk_->wait_stored(Seq(next.value - 1), nullptr, std::nullopt));
  // Batches that change nothing count as stored without a commit. One must name them before the journal forgets them.
  volume::CommitBody body;
  body.kind = volume::CommitKind::data;
  body.committed = Seq(next.value - 1);
  TRY(disk_->writer().uploader->append(std::move(body)));
  journal.release(Seq(next.value - 1));
  return journal.start_incarnation(next, keys->ring(), keys->data_key());
}

}  // namespace

Result<std::unique_ptr<Disk>> Disk::open(Env env, io::FileIo& files, volume::Volume& volume, const DiskOptions& options) {
  return Opener(env, files, volume, options).open();
}

}  // namespace s3crate::device
