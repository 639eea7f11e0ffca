// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/disk_impl.h"

#include <algorithm>

#include "device/history.h"
#include "volume/line_place.h"

namespace s3crate::device {

using volume::CommitBody;
using volume::CommitKind;

namespace {
// A generation that waits for its turn ends, and another begins, with so many runs (well within what a commit holds) or segments.
constexpr std::uint64_t kGenerationRunsMax = 65'536;
constexpr std::uint64_t kGenerationSegments = 16;
// Segments that are put at a time, where nobody says how many: more than at the start only within so much memory.
constexpr std::uint32_t kPutsAtStart = 4, kPutsMax = 32;
constexpr std::uint64_t kPutBytesMax = 64 << 20;

std::uint32_t adaptive_puts_max(std::uint32_t segment_bytes) {
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(kPutBytesMax / segment_bytes, kPutsAtStart, kPutsMax));
}
}  // namespace

class DiskImpl::Timed {
 public:
  Timed(Clock& clock, Meter& meter) : clock_(clock), meter_(meter), start_(clock.monotonic_now()) {}
  ~Timed() { meter_.latency.add(clock_.monotonic_now() - start_); }

 private:
  Clock& clock_;
  Meter& meter_;
  MonotonicTime start_;
};

LatencyStats DiskImpl::Meter::stats() const {
  return {latency.count(), bytes, static_cast<std::uint64_t>(latency.percentile(0.5).count()),
          static_cast<std::uint64_t>(latency.percentile(0.99).count())};
}

DiskImpl::DiskImpl(Env env, volume::Volume& volume, const DiskOptions& options)
    : env_(env), volume_(volume), options_(options), started_(env.clock.monotonic_now()) {}

DiskImpl::~DiskImpl() {
  if (read_ahead_) read_ahead_->stop();
  stop_writing();
  stop_reading_ahead();
  // The volume outlives its cache.
  if (cache_file_) volume_.pages().use(nullptr);
}

// What is being read ahead nobody will need any more, and nothing else needs the store.
void DiskImpl::stop_reading_ahead() {
  if (!read_ahead_) return;
  read_ahead_->stop();
  if (read_ahead_->busy() && options_.cancel_store) options_.cancel_store();
  read_ahead_->join();
}

void DiskImpl::stop_writing() {
  if (head_) head_->stop();
  if (writer_.chain) writer_.chain->stop();
  if (writer_.encoder) writer_.encoder->join();
  if (writer_.checkpointer) writer_.checkpointer->join();
  if (writer_.uploader) writer_.uploader->join();
}

std::function<void(const Error&)> DiskImpl::trouble_reporter() {
  return [this](const Error& error) {
    if (error.code() == Code::kCancelled) return;
    bool news = false;
    {
      MutexLock lock(trouble_mu_);
      MonotonicTime now = env_.clock.monotonic_now();
      news = !trouble_ || trouble_->message() != error.message() || now - trouble_at_ > kTroubleFresh;
      trouble_ = error;
      trouble_at_ = now;
    }
    if (news && options_.log) options_.log(error.message());
  };
}

void DiskImpl::attach_reader(volume::View view, Seq last_seq) {
  opened_ = view.generation;
  objects_ = std::make_unique<volume::ObjectTable>(env_.executor, volume_.keys(), volume_.pages());
  objects_->begin_at(view);
  at_checkpoint_ = {std::move(view.companions), view.checkpoint, std::move(view.mark)};
  const std::uint64_t index = cache_file_ ? cache_file_->index_bytes() : 0;
  cache_ = std::make_unique<cache::ExtentCache>(env_.executor, options_.block_cache_bytes - std::min(options_.block_cache_bytes, index), &env_.clock);
  source_ = std::make_unique<cache::StoreExtentSource>(volume_.store(), *objects_, volume_.object().block_size(), cache_file_.get(), &buffers_,
                                                        &env_.executor);
  HeadLimits limits{options_.dirty_max, options_.batch_bytes, options_.delta_runs_max,
                    std::min<std::uint64_t>(kGenerationRunsMax, options_.delta_runs_max / 4),
                    kGenerationSegments * segment_bytes()};
  head_ = std::make_unique<Head>(env_, volume_.object().block_size(), limits, std::move(view), last_seq);
  if (options_.read_ahead_bytes == 0) return;
  read_ahead_ = std::make_unique<ReadAhead>(
      env_, ReadAhead::Parts{volume_.pages(), *cache_, block_size()},
      ReadAheadOptions{options_.read_ahead_bytes, options_.read_ahead_trigger, options_.read_ahead_threads});
  ahead_target_ = read_ahead_->add(*head_, *source_);
}

void DiskImpl::attach_history(const volume::Commit& head) {
  spare_reader_ = volume_.another_reader();
  history_ = std::make_unique<History>(
      env_, volume_.another_reader(), head, SharedParts{*cache_, cache_file_.get(), buffers_, failed_reads_, read_ahead_.get()},
      HistoryOptions{!options_.read_only || options_.follow, options_.history_age_max,
                     [this] { return writer_.chain ? writer_.chain->head() : Generation(0); }, options_.history_open_max,
                     options_.delta_runs_max});
}

std::uint32_t DiskImpl::segment_bytes() const {
  return options_.segment_bytes != 0 ? options_.segment_bytes : volume_.object().segment_bytes;
}

void DiskImpl::attach_writer(std::unique_ptr<journal::Journal> journal, std::unique_ptr<volume::Chain> chain,
                             const volume::CommitBody& continues, bool journal_writes) {
  Writer& w = writer_;
  w.journal = std::move(journal);
  w.chain = std::move(chain);
  journal_writes_ = journal_writes;
  if (journal_writes) {
    w.chain->note_with([journal = w.journal.get()](const volume::CommitRef& stored, Seq through, const volume::CommitRef& next) {
      return journal->note_commits({stored.generation, stored.hash, next.generation, next.hash, through});
    });
  }
  const volume::VolumeObject& object = volume_.object();
  w.encoder_options = std::make_unique<EncoderOptions>(
      EncoderOptions{object.block_size(), object.extent_bytes, segment_bytes(), options_.compression_level, options_.batch_delay});
  w.completion_counters = std::make_unique<EncoderCounters>();
  w.completion_sealer = std::make_unique<SegmentSealer>(env_, *volume_.keys(), *w.chain, *w.encoder_options,
                                                        *w.completion_counters);
  auto trouble = trouble_reporter();
  // While the store takes one, the journal must have room for the next ones. Without it they are in memory.
  const std::uint64_t commit_bytes = journal_writes ? std::clamp<std::uint64_t>(options_.journal_bytes / 8, segment_bytes(),
                                                                                kGenerationSegments * segment_bytes())
                                                    : segment_bytes();
  const std::uint32_t puts_at_start = options_.upload_threads != 0 ? options_.upload_threads : kPutsAtStart;
  const std::uint32_t puts_max = options_.upload_threads != 0 ? options_.upload_threads : adaptive_puts_max(segment_bytes());
  w.uploader = std::make_unique<Uploader>(
      env_,
      Uploader::Parts{*head_, volume_, *w.chain, *objects_, *cache_, *source_, cache_file_.get(), w.journal.get(), buffers_, *w.completion_sealer, trouble,
                      options_.before_commit,
                      [this](const volume::CommitRef& ref) {
                        // Lost in a crash it is only an older notice.
                        if (seen_) (void)seen_->note(ref, io::Sync::no);
                        if (options_.after_commit) options_.after_commit(ref.generation);
                      }},
      UploaderOptions{options_.upload_delay, puts_at_start, puts_max, options_.generations_in_flight, segment_bytes(),
                      commit_bytes, continues.epoch, head_->stored_through(), volume::line_place(continues),
                      journal_writes ? 0 : std::min<std::uint64_t>(volume::kInlineBytesMax, segment_bytes() / 4)});
  if (at_checkpoint_.mark) w.uploader->tell(*at_checkpoint_.mark);
  w.encoder = std::make_unique<Encoder>(env_, *head_, volume_.pages(), *volume_.keys(), *w.chain,
                                        journal_writes ? w.journal.get() : nullptr, *w.encoder_options, trouble,
                                        [this] {
                                          upload_now();
                                          writer_.uploader->make_room();
                                        });
  w.checkpointer = std::make_unique<Checkpointer>(
      env_, *head_, volume_, *w.chain, *objects_, at_checkpoint_, *w.uploader,
      CheckpointerOptions{options_.checkpoint_runs, options_.checkpoint_commits, options_.page_bytes, options_.delta_runs_max,
                          options_.checkpoint_bytes},
      trouble);
}

void DiskImpl::start_uploading() {
  writer_.uploader->start();
  writer_.checkpointer->start();
}

void DiskImpl::start_encoding() { writer_.encoder->start(); }

// --- reads -----------------------------------------------------------------------------------------------------------------

Result<> DiskImpl::read_blocks(BlockIndex from, BlockIndex to, MutableByteView out) {
  Gather gather(from, to, block_size(), out);
  const ReadAhead::Reader reader = read_ahead_ ? read_ahead_->begins(ahead_target_, from, to) : ReadAhead::Reader{};
  FetchCounts met;
  volume::MaybeRoot root = head_->gather(gather);
  TRY(gather.add_tree(volume_.pages(), root));
  auto done = gather.finish(*cache_, *source_, &met);
  if (read_ahead_) read_ahead_->ended(ahead_target_, reader, from, to, met);
  return done;
}

Result<> DiskImpl::read_bytes(std::uint64_t offset, MutableByteView out) {
  const std::uint64_t bs = block_size();
  BlockIndex from(offset / bs);
  BlockIndex to((offset + out.size() + bs - 1) / bs);
  if (offset % bs == 0 && out.size() % bs == 0) return read_blocks(from, to, out);
  Bytes blocks((to - from) * bs);
  TRY(read_blocks(from, to, blocks));
  std::memcpy(out.data(), blocks.data() + offset % bs, out.size());
  return {};
}

Result<> DiskImpl::read(std::uint64_t offset, MutableByteView out) {
  if (out.empty()) return {};
  const std::uint64_t end = size();  // once: it may change
  if (offset > end || out.size() > end - offset) return fail(Code::kBadArgument, "a read beyond the end of the disk");
  Timed timed(env_.clock, reads_);
  reads_.bytes += out.size();
  auto done = read_bytes(offset, out);
  if (!done) note_failed_read(offset, done.error());
  return done;
}

void DiskImpl::note_failed_read(std::uint64_t offset, const Error& error) {
  if (failed_reads_.note("the disk", offset, error) || error.code() == Code::kCancelled) return;
  MutexLock lock(trouble_mu_);
  trouble_ = error.within("a read failed");
  trouble_at_ = env_.clock.monotonic_now();
}

// --- writes ----------------------------------------------------------------------------------------------------------------

Result<> DiskImpl::refuse_write() const {
  if (options_.read_only) return fail(Code::kDenied, "the disk is mounted read-only");
  return {};
}

Result<> DiskImpl::write(std::uint64_t offset, ByteView data, StopFlag stop) {
  TRY(refuse_write());
  Timed timed(env_.clock, writes_);
  writes_.bytes += data.size();
  // A longer write than a batch is several, like one to any disk.
  for (std::size_t done = 0; done < data.size();) {
    std::size_t n = std::min<std::size_t>(data.size() - done, options_.batch_bytes);
    TRY(head_->write(offset + done, data.subspan(done, n), stop));
    done += n;
  }
  return {};
}

Result<> DiskImpl::discard(std::uint64_t offset, std::uint64_t length, StopFlag stop) {
  TRY(refuse_write());
  Timed timed(env_.clock, discards_);
  discards_.bytes += length;
  return head_->discard(offset, length, stop);
}

bool DiskImpl::journal_answers() const { return journal_writes_ && !writer_.encoder->journal_failed(); }

Result<> DiskImpl::flush(StopFlag stop) {
  if (options_.read_only) return {};
  Timed timed(env_.clock, flushes_);
  // What a fenced writer has in its journal never becomes part of the volume by itself: that is no success.
  if (auto failure = head_->failure()) return fail(*failure);
  Seq all = head_->freeze(Head::Encodes::caller);
  if (head_->stored_through() >= all) return {};
  // Of a fenced writer the journal keeps what it has, but nothing brings it to the volume any more.
  auto failure = head_->failure();
  auto encoded = failure ? fail(*failure) : writer_.encoder->encode_through(all, stop);
  if (!encoded) {
    head_->leave_to_background();
    return encoded;
  }
  if (journal_answers()) {
    if (writer_.journal->durable_through() >= all) return {};
    auto synced = writer_.journal->sync();
    // An append that failed meanwhile may have left a batch out of the journal.
    if (synced && journal_answers()) return {};
    if (!synced) trouble_reporter()(synced.error().within("the journal could not be made durable"));
  }
  return flush_to_store(all, stop);
}

Result<> DiskImpl::flush_to_store(Seq through, StopFlag stop) {
  writer_.uploader->demand(through);
  return wait_stored(through, stop, std::nullopt);
}

Result<> DiskImpl::wait_stored(Seq through, StopFlag stop, std::optional<MonotonicTime> deadline) {
  MutexLock lock(head_->mutex());
  while (head_->stored_through_locked() < through) {
    if (head_->failure_locked()) return fail(*head_->failure_locked());
    if (head_->stopped_locked()) return fail(Code::kCancelled, "the disk is closing");
    if (is_set(stop)) return fail(Code::kCancelled, "stopped waiting for the store");
    MonotonicTime now = env_.clock.monotonic_now();
    if (deadline && now >= *deadline) return fail(Code::kTransient, "the store has not got everything in time");
    if (stop == nullptr && !deadline) head_->changed().wait(head_->mutex());
    else head_->changed().wait_until(head_->mutex(), std::min(deadline.value_or(MonotonicTime::max()), now + kStopPoll));
  }
  return {};
}

Result<Generation> DiskImpl::sync(StopFlag stop) {
  if (options_.read_only) return opened_;
  Seq all = head_->freeze();
  TRY(writer_.encoder->encode_through(all, stop));
  writer_.uploader->demand(all);
  TRY(wait_stored(all, stop, std::nullopt));
  return writer_.chain->head();
}

void DiskImpl::upload_now() {
  if (options_.read_only) return;
  writer_.uploader->demand(head_->freeze());
}

void DiskImpl::cancel() {
  if (read_ahead_) read_ahead_->stop();
  if (head_) head_->stop();
  if (writer_.chain) writer_.chain->stop();
}

// `close` says that nobody writes any more, and what the journal still holds.
Result<> DiskImpl::write_close(Seq all) {
  HeadCounters now = head_->counters();
  CommitBody body;
  body.kind = CommitKind::close;
  body.committed = head_->stored_through();
  body.unsent_bytes = now.unsent_bytes;
  // Without a journal there is nothing that another mount could bring back.
  if ((journal_writes_ || recovered_ > 0) && body.committed < all) body.pending = volume::PendingClose{now.unsent_bytes, body.committed.next()};
  volume::CommitRef ref = TRY(writer_.chain->append(std::move(body)));
  if (seen_) TRY(seen_->note(ref, io::Sync::yes));
  return {};
}

Result<> DiskImpl::close(Duration drain) {
  if (read_ahead_) read_ahead_->stop();
  if (std::exchange(closed_, true)) return {};
  auto closed = options_.read_only ? Result<>() : close_writer(drain);
  stop_reading_ahead();
  if (cache_file_) cache_file_->close();
  return closed;
}

Result<> DiskImpl::close_writer(Duration drain) {
  MonotonicTime deadline = env_.clock.monotonic_now() + drain;
  Seq all = head_->freeze();
  auto encoded = writer_.encoder->encode_through(all, nullptr, deadline);
  // The store may still get all of it.
  if (encoded && journal_answers())
    if (auto synced = writer_.journal->sync(); !synced) trouble_reporter()(synced.error());
  writer_.uploader->demand(all);
  auto drained = encoded ? wait_stored(all, nullptr, deadline) : Result<>(fail(encoded.error()));
  head_->stop();
  if (!drained) {
    if (options_.cancel_store) options_.cancel_store();
    writer_.chain->stop();
  }
  writer_.encoder->join();
  writer_.checkpointer->join();
  writer_.uploader->join();
  // Who told the store to give up may have been faster than this: that is no failure.
  const auto failure = head_->failure();
  auto written = failure && failure->code() != Code::kCancelled ? Result<>(fail(*failure)) : write_close(all);
  stop_writing();
  if (!drained) return drained;
  return written;
}

}  // namespace s3crate::device
