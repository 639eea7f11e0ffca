// SPDX-License-Identifier: GPL-3.0-or-later
// Those who read, the queue, and the task behind it.
#include "cache/cache_file.h"

#include <algorithm>

#include "cache/cache_writer.h"

namespace s3crate::cache {
namespace {

constexpr Duration kLockPatience = std::chrono::seconds(3);
constexpr Duration kLockPause = std::chrono::milliseconds(50);
constexpr Duration kFullPause = std::chrono::minutes(1);
constexpr Duration kLookPause = std::chrono::seconds(30);

// One slot for each 4 KiB of the file, in buckets that are nine tenths full.
std::uint64_t index_room(const CacheFileOptions& options) {
  const std::uint64_t slots = options.bytes / 4096 * 10 / 9;
  return std::min(slots * sizeof(std::uint64_t), options.index_bytes_max);
}

}  // namespace

class CacheFile::Impl {
 public:
  Impl(Env env, io::FileIo& files, CacheFileOptions options)
      : env_(env), options_(std::move(options)), shared_(index_room(options_)),
        writer_(env, files, options_, shared_), changed_(env.executor.cond_var()) {
    task_ = env.executor.spawn("cache file", [this] { run(); });
  }
  ~Impl() { stop(); }

  void wait_ready(Duration at_most);
  void close();
  std::vector<Bytes> find(std::span<const Wanted> wanted);
  void was_wrong(const Wanted& wanted);
  void was_used(const Wanted& wanted);
  void offer(const Digest& digest, ByteView sealed);
  CacheFileStats stats() const;

 private:
  struct Looked {
    std::size_t at;
    std::uint64_t position;
  };
  // What the task is to do next.
  struct Work {
    std::vector<CacheWriter::Item> items;
    std::vector<std::uint32_t> popular;
    bool tables = false, look = false, last = false;
    std::optional<Error> broken;
  };

  void note_used(const Digest& digest, std::uint64_t position, std::uint32_t length) REQUIRES(shared_.mu);
  void forget(const Digest& digest, std::uint64_t position, std::uint32_t length) REQUIRES(shared_.mu);
  void stop();
  void run();
  [[nodiscard]] Result<> open();
  [[nodiscard]] bool wait_for_work(Work& work);
  [[nodiscard]] Result<> carry_out(Work& work);
  void note_outcome(const Result<>& done, std::uint64_t bytes);
  [[nodiscard]] Result<> serve();
  void give_up(const Error& error);
  void say(const std::string& line) const {
    if (options_.log) options_.log(line);
  }
  [[nodiscard]] bool full_locked() const REQUIRES(shared_.mu) { return env_.clock.monotonic_now() < full_until_; }

  const Env env_;
  const CacheFileOptions options_;
  mutable CacheShared shared_;
  CacheWriter writer_;
  const std::unique_ptr<CondVar> changed_;

  std::shared_ptr<io::File> file_ GUARDED_BY(shared_.mu);  // null: not yet, or not any more
  bool settled_ GUARDED_BY(shared_.mu) = false;            // the index is there, or there will be none
  bool answered_ GUARDED_BY(shared_.mu) = false;           // the same, or somebody else has the file for now
  bool closing_ GUARDED_BY(shared_.mu) = false;
  std::vector<CacheWriter::Item> queue_ GUARDED_BY(shared_.mu);
  std::uint64_t queue_bytes_ GUARDED_BY(shared_.mu) = 0;  // those being written too
  std::optional<Error> broken_ GUARDED_BY(shared_.mu);    // what a reader met
  MonotonicTime full_until_ GUARDED_BY(shared_.mu){};
  MonotonicTime look_at_ GUARDED_BY(shared_.mu){};
  bool look_due_ GUARDED_BY(shared_.mu) = false;
  // Of the task:
  std::optional<MonotonicTime> tables_at_;
  bool said_full_ = false;
  std::unique_ptr<Task> task_;
};

// ---- Those who read -----------------------------------------------------------------------------

std::vector<Bytes> CacheFile::Impl::find(std::span<const Wanted> wanted) {
  std::vector<Bytes> out(wanted.size());
  std::vector<Looked> looked;
  std::shared_ptr<io::File> file;
  {
    MutexLock lock(shared_.mu);
    file = file_;
    if (!file) return out;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i].length == 0 || wanted[i].length > kItemBytesMax) continue;
      if (auto position = shared_.index.find(wanted[i].digest)) looked.push_back({i, *position});
    }
    shared_.stats.misses += wanted.size() - looked.size();
    const MonotonicTime now = env_.clock.monotonic_now();
    if (now >= look_at_ && settled_) {
      look_at_ = now + kLookPause;
      look_due_ = true;
      changed_->notify_all();
    }
  }
  if (looked.empty()) return out;
  std::vector<Result<>> read(looked.size());
  for (std::size_t i = 0; i < looked.size(); ++i) {
    out[looked[i].at].resize(wanted[looked[i].at].length);
    read[i] = file->read_at(looked[i].position, out[looked[i].at]);
    if (!read[i]) out[looked[i].at].clear();
  }
  MutexLock lock(shared_.mu);
  for (std::size_t i = 0; i < looked.size(); ++i) {
    const Wanted& one = wanted[looked[i].at];
    if (!read[i]) {
      ++shared_.stats.misses;
      shared_.index.erase(one.digest, looked[i].position);
      if (is(read[i], Code::kCorrupt)) continue;  // cut short
      ++shared_.stats.errors;
      if (!broken_) broken_ = read[i].error();
      changed_->notify_all();
      continue;
    }
    ++shared_.stats.hits;
    shared_.stats.hit_bytes += one.length;
    note_used(one.digest, looked[i].position, one.length);
  }
  return out;
}

void CacheFile::Impl::note_used(const Digest& digest, std::uint64_t position, std::uint32_t length) {
  if (!shared_.index.mark_used(digest, position)) return;
  const std::uint32_t chunk = shared_.layout.chunk_of(position);
  if (chunk >= shared_.chunks.size() || shared_.chunks.is_popular(chunk)) return;
  shared_.chunks.note_used(chunk, item_room(length));
  if (!shared_.chunks.is_popular(chunk) || !shared_.chunks.is_closed(chunk)) return;
  shared_.popular.push_back(chunk);
  changed_->notify_all();
}

void CacheFile::Impl::was_used(const Wanted& wanted) {
  MutexLock lock(shared_.mu);
  if (!file_) return;
  if (auto position = shared_.index.find(wanted.digest)) note_used(wanted.digest, *position, wanted.length);
}

void CacheFile::Impl::was_wrong(const Wanted& wanted) {
  MutexLock lock(shared_.mu);
  CacheFileStats& stats = shared_.stats;
  if (stats.hits > 0) --stats.hits;
  stats.hit_bytes -= std::min<std::uint64_t>(stats.hit_bytes, wanted.length);
  ++stats.misses;
  ++stats.wrong;
  if (auto position = shared_.index.find(wanted.digest)) forget(wanted.digest, *position, wanted.length);
}

// That it was asked for is no reason to keep its chunk any more.
void CacheFile::Impl::forget(const Digest& digest, std::uint64_t position, std::uint32_t length) {
  const std::uint32_t chunk = shared_.layout.chunk_of(position);
  const bool used = shared_.index.use(digest, position) == CacheIndex::Use::again;
  if (chunk < shared_.chunks.size()) shared_.chunks.note_wrong(chunk, item_room(length), used);
  shared_.index.erase(digest, position);
}

void CacheFile::Impl::offer(const Digest& digest, ByteView sealed) {
  if (sealed.empty() || sealed.size() > kItemBytesMax) return;
  {
    MutexLock lock(shared_.mu);
    if ((settled_ && !file_) || closing_ || shared_.index.find(digest)) return;
    if (full_locked() || queue_bytes_ + sealed.size() > options_.queue_bytes_max) {
      ++shared_.stats.rejected;
      return;
    }
    queue_bytes_ += sealed.size();  // ours by now
  }
  CacheWriter::Item item{digest, Bytes(sealed.begin(), sealed.end())};
  MutexLock lock(shared_.mu);
  if (settled_ && !file_) return;
  queue_.push_back(std::move(item));
  changed_->notify_all();
}

CacheFileStats CacheFile::Impl::stats() const {
  MutexLock lock(shared_.mu);
  CacheFileStats out = shared_.stats;
  out.on = file_ != nullptr;
  if (out.on && !full_locked()) out.why_off.clear();
  out.bytes = shared_.chunks.bytes();
  out.items = shared_.index.items();
  out.index_bytes = shared_.index.bytes();
  return out;
}

void CacheFile::Impl::wait_ready(Duration at_most) {
  const MonotonicTime deadline = env_.clock.monotonic_now() + at_most;
  MutexLock lock(shared_.mu);
  while (!answered_ && env_.clock.monotonic_now() < deadline) changed_->wait_until(shared_.mu, deadline);
}

void CacheFile::Impl::close() {
  {
    MutexLock lock(shared_.mu);
    closing_ = true;
    if (!settled_) shared_.stopping = true;
    changed_->notify_all();
  }
  task_.reset();
}

void CacheFile::Impl::stop() {
  {
    MutexLock lock(shared_.mu);
    shared_.stopping = true;
    changed_->notify_all();
  }
  task_.reset();
}

// ---- The task -----------------------------------------------------------------------------------

void CacheFile::Impl::run() {
  auto result = open();
  if (result) result = serve();
  if (!result) give_up(result.error());
}

// A process that was killed a moment ago holds its lock until the kernel has taken it apart.
Result<> CacheFile::Impl::open() {
  const MonotonicTime give_up_at = env_.clock.monotonic_now() + kLockPatience;
  auto opened = writer_.open();
  while (is(opened, Code::kExists) && env_.clock.monotonic_now() < give_up_at) {
    {
      MutexLock lock(shared_.mu);
      answered_ = true;
      changed_->notify_all();
      if (shared_.stopping) break;
      changed_->wait_until(shared_.mu, env_.clock.monotonic_now() + kLockPause);
    }
    opened = writer_.open();
  }
  if (!opened) return fail(opened.error());
  {
    MutexLock lock(shared_.mu);
    file_ = *opened;
    look_at_ = env_.clock.monotonic_now() + kLookPause;
  }
  TRY(writer_.load());
  MutexLock lock(shared_.mu);
  settled_ = answered_ = true;
  changed_->notify_all();
  return {};
}

// False when it is over.
bool CacheFile::Impl::wait_for_work(Work& work) {
  if (!writer_.has_tables_to_write()) tables_at_.reset();
  else if (!tables_at_) tables_at_ = env_.clock.monotonic_now() + options_.tables_delay;
  MutexLock lock(shared_.mu);
  for (;;) {
    if (shared_.stopping) return false;
    work.tables = tables_at_ && env_.clock.monotonic_now() >= *tables_at_;
    if (!queue_.empty() || !shared_.popular.empty() || work.tables || look_due_ || broken_ || closing_) break;
    if (tables_at_) changed_->wait_until(shared_.mu, *tables_at_);
    else changed_->wait(shared_.mu);
  }
  work.items = std::move(queue_);
  queue_.clear();
  work.popular = std::move(shared_.popular);
  shared_.popular.clear();
  work.look = std::exchange(look_due_, false);
  work.last = closing_;
  work.broken = broken_;
  return true;
}

Result<> CacheFile::Impl::carry_out(Work& work) {
  TRY(writer_.store(std::move(work.items)));
  for (std::uint32_t chunk : work.popular) TRY(writer_.keep(chunk));
  if (work.tables || work.look || work.last) TRY(writer_.write_tables());
  if (work.tables || work.look) TRY(writer_.look_after());
  return {};
}

void CacheFile::Impl::note_outcome(const Result<>& done, std::uint64_t bytes) {
  MutexLock lock(shared_.mu);
  queue_bytes_ -= bytes;
  if (!done) ++shared_.stats.errors;
  if (is(done, Code::kNoSpace)) {
    full_until_ = env_.clock.monotonic_now() + kFullPause;
    shared_.stats.why_off = done.error().message();
  }
}

Result<> CacheFile::Impl::serve() {
  for (;;) {
    Work work;
    if (!wait_for_work(work)) return {};
    if (work.broken) return fail(*work.broken);
    std::uint64_t bytes = 0;
    for (const CacheWriter::Item& item : work.items) bytes += item.bytes.size();
    auto done = carry_out(work);
    note_outcome(done, bytes);
    if (!done && !is(done, Code::kNoSpace)) return done;
    if (!done && !std::exchange(said_full_, true))
      say(fmt::format("the cache file takes nothing new for now: {}", done.error().message()));
    if (work.last) return {};
  }
}

void CacheFile::Impl::give_up(const Error& error) {
  writer_.let_go();
  std::vector<CacheWriter::Item> dropped;
  {
    MutexLock lock(shared_.mu);
    file_.reset();
    dropped.swap(queue_);
    settled_ = answered_ = true;
    shared_.stats.why_off = error.message();
    changed_->notify_all();
  }
  if (error.code() != Code::kCancelled) say(fmt::format("going on without a cache file: {}", error.message()));
}

// -------------------------------------------------------------------------------------------------

Result<std::unique_ptr<CacheFile>> CacheFile::open(Env env, io::FileIo& files, CacheFileOptions options) {
  if (!is_sound(cache_layout(options.bytes, options.chunk_bytes)))
    return fail(Code::kBadArgument, "a cache file cannot have {} bytes", options.bytes);
  return std::unique_ptr<CacheFile>(new CacheFile(std::make_unique<Impl>(env, files, std::move(options))));
}

CacheFile::CacheFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CacheFile::~CacheFile() = default;
void CacheFile::wait_ready(Duration at_most) { impl_->wait_ready(at_most); }
void CacheFile::close() { impl_->close(); }
std::vector<Bytes> CacheFile::find(std::span<const Wanted> wanted) { return impl_->find(wanted); }
void CacheFile::was_wrong(const Wanted& wanted) { impl_->was_wrong(wanted); }
void CacheFile::was_used(const Wanted& wanted) { impl_->was_used(wanted); }
void CacheFile::offer(const crypto::Digest& digest, ByteView sealed) { impl_->offer(digest, sealed); }
std::uint64_t CacheFile::index_bytes() const { return impl_->stats().index_bytes; }
CacheFileStats CacheFile::stats() const { return impl_->stats(); }

}  // namespace s3crate::cache
