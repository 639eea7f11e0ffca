// SPDX-License-Identifier: GPL-3.0-or-later
// Disk: the block device's bytes. What FUSE calls, and what tests and the simulator call.
//
// The way of a write: write() copies into the overlay and answers; the encoder turns whole batches into sealed extents, appends
// them to the journal, publishes them in the head map; cuts make generations; the uploader puts their segments and commits.
// flush() answers once everything acknowledged before it is durable: in the journal, or in the store (Durability::store, or
// when the journal failed).
//
// Threading: all calls are thread-safe and may block: read() on the store, write() on a full budget, flush() on the journal.
// Errors: kTransient (the store is away longer than the outage limit), kCorrupt (the data is damaged), kFenced (another writer
// took over: nothing is written any more), kCancelled (the disk is closing), kBadArgument (outside the disk).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/executor.h"
#include "device/readable.h"
#include "device/stats.h"
#include "device/stop_flag.h"
#include "io/file_io.h"
#include "store/object_store.h"
#include "volume/point.h"

namespace s3crate::volume {
class DeltaLevels;
struct Commit;
struct View;
}  // namespace s3crate::volume

namespace s3crate::device {

enum class Durability { local, store };
enum class DiscardTail { no, yes };  // whether data beyond the new end of a disk is given up

struct DiskOptions {
  bool read_only = false;
  std::optional<volume::Point> point;    // of a reader: what it shows; else the newest generation
  bool follow = false;                   // of a reader: its history goes on with what others commit
  Duration history_age_max = std::chrono::seconds(1);  // so old may be what the history of one that goes on knows of the newest generation
  std::uint32_t history_open_max = 16;                 // pasts open at a time
  bool take_over = false;
  bool accept_rollback = false;
  bool moved = false;
  bool blind = false;                    // whoever opens it does without reading data, if the key may not; else such a key is refused
  Durability durability = Durability::local;
  std::string state_dir;                 // of all volumes; this one's is a directory of its own in it
  segment::Uuid boot{};                  // of this boot of the machine; zeros: unknown
  std::string host;
  std::vector<std::string> home;         // what the store's place is made of: host and path, or endpoint, bucket, prefix
  std::string url;                       // for messages and the journal
  std::uint64_t journal_bytes = 1ull << 30;
  std::uint32_t journal_slot_bytes = 8 << 20;
  std::uint64_t dirty_max = 64 << 20;    // overlay bytes in memory
  std::uint64_t batch_bytes = 4 << 20;   // a batch is frozen when it holds as much
  Duration batch_delay = std::chrono::seconds(1);
  Duration upload_delay = std::chrono::seconds(30);
  std::uint32_t upload_threads = 0;      // 0: as many as make it faster, see PutLimit
  std::uint32_t generations_in_flight = 4;
  std::uint64_t block_cache_bytes = 256 << 20;
  std::uint64_t map_cache_bytes = 64 << 20;
  std::uint64_t cache_file_bytes = 0;           // on the local disk; 0: none. Its index takes up to a quarter of block_cache_bytes
  std::uint64_t cache_file_kept_max = 0;        // one that is there may have from half of that up to so many
  bool drop_cache_file = false;                 // with none: remove the one of an earlier mount
  std::uint32_t cache_file_chunk_bytes = 0;     // shrunk by tests
  std::uint64_t read_ahead_bytes = 64 << 20;    // the largest window of a reader; 0: none
  std::uint64_t read_ahead_trigger = 2;         // reads in a row that make a reader one to read ahead for
  std::uint32_t read_ahead_threads = 32;
  std::uint64_t delta_runs_max = 400'000;       // in memory; past it writers wait
  std::uint64_t checkpoint_runs = 100'000;      // committed changes that make a checkpoint due
  std::uint32_t checkpoint_commits = 1024;
  std::uint64_t checkpoint_bytes = 64 << 20;    // that changes take in commits
  std::uint32_t segment_bytes = 0;              // 0: the volume's
  std::uint32_t page_bytes = 64 << 10;          // shrunk by tests
  int compression_level = 1;                    // 0: none
  std::function<void(const std::string&)> log;  // sentences for the log; may be called from any task
  // Asked before each commit of data, by the task that commits, and again a second later as long as it fails: whoever gives it sees to
  // it that this has an end. And told of each, in order, by the same task.
  std::function<Result<>()> before_commit = {};
  std::function<void(Generation)> after_commit = {};
  std::function<void()> cancel_store;           // ends the store's own retries, when close() gives up draining
  // Of a writer: what opens the map of the newest commit, in place of Volume::load_view() (device/repair.h).
  std::function<Result<>(const volume::Commit&, volume::View&, volume::DeltaLevels&)> load_view = {};
  Duration away_limit = std::chrono::minutes(15);
};

class History;

class Disk : public Readable {
 public:
  // Opens a volume's newest generation: read-only, or as its writer (wins `open`, recovers the journal). kFenced: it is open
  // elsewhere, with who, where and since when.
  [[nodiscard]] static Result<std::unique_ptr<Disk>> open(Env env, io::FileIo& files, volume::Volume& volume,
                                                          const DiskOptions& options);
  // Stops without a word to the store: what is not stored stays in the journal.
  ~Disk() override = default;

  [[nodiscard]] virtual bool read_only() const = 0;
  // Its past generations (device/history.h); null: it shows none.
  [[nodiscard]] virtual History* history() = 0;

  // `stop`, if any, ends a wait for room or for the store soon after it turns true, with kCancelled: then nothing was written, or
  // flushed.
  [[nodiscard]] virtual Result<> write(std::uint64_t offset, ByteView data, StopFlag stop = nullptr) = 0;
  // The range reads as zeros from now on.
  [[nodiscard]] virtual Result<> discard(std::uint64_t offset, std::uint64_t length, StopFlag stop = nullptr) = 0;
  [[nodiscard]] virtual Result<> flush(StopFlag stop = nullptr) = 0;

  // Waits until the store has everything acknowledged so far. Answers the newest generation.
  [[nodiscard]] virtual Result<Generation> sync(StopFlag stop = nullptr) = 0;
  // Ends a generation that holds everything acknowledged before this call, and waits until the store has it; answers which that is.
  // `cut` is called as soon as nothing that is written from then on comes into it. kUnsupported: read-only; kCancelled by `stop`.
  [[nodiscard]] virtual Result<Generation> snapshot(const std::function<void()>& cut, StopFlag stop = nullptr) = 0;
  // Gives the disk another size, by a commit of its own in the order of writes, and waits until the store has that. What is added
  // reads as zeros; what is taken away does so if it is added again. While it waits, nothing can be written beyond either end.
  // Answers the newest generation. kBadArgument: no disk has this size; kExists: there is data beyond it, or another size is under
  // way; kBadKey: this key may not; kUnsupported: read-only. kCancelled by `stop` when it is on its way already: then it comes all the same.
  [[nodiscard]] virtual Result<Generation> resize(std::uint64_t bytes, DiscardTail tail, StopFlag stop = nullptr) = 0;
  // Gives the disk the content and the size of an older generation, by a commit of its own; all generations in between stay as they
  // are. Nobody may write meanwhile, and afterwards the disk is only read, or closed. Answers the generation that is it. kBadKey: this
  // key may not; kCorrupt: the map of `past` is damaged; kUnsupported: read-only.
  [[nodiscard]] virtual Result<Generation> roll_back(const volume::View& past, StopFlag stop = nullptr) = 0;
  // A reader of the volume that the disk does not use itself: for one other task at a time. nullptr: there is none.
  [[nodiscard]] virtual volume::Volume* spare_reader() = 0;
  // Starts uploading what there is, without waiting.
  virtual void upload_now() = 0;
  // Drains for at most `drain`, then writes `close`, which says what is still pending in the journal, and stops. No other call may
  // be under way or follow, but stats() and cancel().
  [[nodiscard]] virtual Result<> close(Duration drain) = 0;
  // Wakes everybody who waits, with kCancelled; for a process that has to go.
  virtual void cancel() = 0;

  [[nodiscard]] virtual Stats stats() = 0;
};

}  // namespace s3crate::device
