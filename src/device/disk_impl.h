// SPDX-License-Identifier: GPL-3.0-or-later
// The parts of a disk, wired together. How one comes to be: open.cc.
#pragma once

#include "base/histogram.h"
#include "cache/cache_file.h"
#include "device/checkpointer.h"
#include "device/disk.h"
#include "device/failed_reads.h"
#include "device/read_ahead.h"
#include "device/seen.h"

namespace s3crate::device {

class DiskImpl final : public Disk {
 public:
  // What a writer has and a reader has not.
  struct Writer {
    std::unique_ptr<journal::Journal> journal;  // may be null
    std::unique_ptr<volume::Chain> chain;
    std::unique_ptr<EncoderCounters> completion_counters;
    std::unique_ptr<EncoderOptions> encoder_options;
    std::unique_ptr<SegmentSealer> completion_sealer;
    std::unique_ptr<Encoder> encoder;
    std::unique_ptr<Uploader> uploader;
    std::unique_ptr<Checkpointer> checkpointer;
  };

  DiskImpl(Env env, volume::Volume& volume, const DiskOptions& options);
  ~DiskImpl() override;

  // What open.cc builds, step by step; see there. Without a cache file the disk is as good, only slower.
  void attach_cache_file(io::FileIo& files, const std::string& directory);
  void wait_for_cache_file();
  void attach_reader(volume::View view, Seq last_seq);
  // `head`: the newest generation. Before any other task uses the volume.
  void attach_history(const volume::Commit& head);
  void attach_writer(std::unique_ptr<journal::Journal> journal, std::unique_ptr<volume::Chain> chain,
                     const volume::CommitBody& continues, bool journal_writes);
  void start_uploading();
  void start_encoding();
  void note_recovered(std::uint64_t batches) { recovered_ = batches; }
  void keep_seen(std::unique_ptr<Seen> seen) { seen_ = std::move(seen); }
  [[nodiscard]] Head& head() { return *head_; }
  [[nodiscard]] Writer& writer() { return writer_; }
  [[nodiscard]] std::function<void(const Error&)> trouble_reporter();
  [[nodiscard]] Result<> wait_stored(Seq through, StopFlag stop, std::optional<MonotonicTime> deadline);

  [[nodiscard]] std::uint64_t size() const override { return head_->disk_bytes(); }
  [[nodiscard]] std::uint32_t block_size() const override { return head_->block_size(); }
  [[nodiscard]] bool read_only() const override { return options_.read_only; }
  [[nodiscard]] History* history() override { return history_.get(); }
  [[nodiscard]] Result<> read(std::uint64_t offset, MutableByteView out) override;
  [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data, StopFlag stop) override;
  [[nodiscard]] Result<> discard(std::uint64_t offset, std::uint64_t length, StopFlag stop) override;
  [[nodiscard]] Result<> flush(StopFlag stop) override;
  [[nodiscard]] Result<std::uint64_t> seek(std::uint64_t offset, bool hole) override;
  [[nodiscard]] Result<std::uint64_t> allocated_bytes() override;
  [[nodiscard]] Result<Generation> sync(StopFlag stop) override;
  [[nodiscard]] Result<Generation> snapshot(const std::function<void()>& cut, StopFlag stop) override;
  [[nodiscard]] volume::Volume* spare_reader() override { return spare_reader_.get(); }
  [[nodiscard]] Result<Generation> roll_back(const volume::View& past, StopFlag stop) override;
  [[nodiscard]] Result<Generation> resize(std::uint64_t bytes, DiscardTail tail, StopFlag stop) override;
  void upload_now() override;
  [[nodiscard]] Result<> close(Duration drain) override;
  void cancel() override;
  [[nodiscard]] Stats stats() override;

 private:
  struct Meter {
    std::atomic<std::uint64_t> bytes{0};
    Histogram latency;
    [[nodiscard]] LatencyStats stats() const;
  };
  class Timed;
  [[nodiscard]] Result<> read_blocks(BlockIndex from, BlockIndex to, MutableByteView out);
  [[nodiscard]] Result<> read_bytes(std::uint64_t offset, MutableByteView out);
  void note_failed_read(std::uint64_t offset, const Error& error);
  [[nodiscard]] Result<> refuse_data(std::uint64_t from, std::uint64_t to);
  [[nodiscard]] Result<> queue_resize(const Head::BegunResize& begun, std::uint64_t bytes, DiscardTail tail, StopFlag stop);
  [[nodiscard]] Result<> wait_resized(StopFlag stop);
  void stop_reading_ahead();
  [[nodiscard]] Result<> refuse_write() const;
  [[nodiscard]] std::uint32_t segment_bytes() const;
  [[nodiscard]] bool journal_answers() const;
  [[nodiscard]] Result<> flush_to_store(Seq through, StopFlag stop);
  [[nodiscard]] Result<> close_writer(Duration drain);
  [[nodiscard]] Result<> write_close(Seq all);
  void stop_writing();

  Env env_;
  volume::Volume& volume_;
  const DiskOptions options_;
  const MonotonicTime started_;
  std::unique_ptr<volume::ObjectTable> objects_;
  CheckpointState at_checkpoint_;  // as it was opened
  BufferPool buffers_{cache::kBuffersKept};  // of segments that are being read or made
  std::unique_ptr<cache::CacheFile> cache_file_;  // may be null
  std::unique_ptr<cache::ExtentCache> cache_;
  std::unique_ptr<cache::StoreExtentSource> source_;
  std::unique_ptr<Head> head_;
  std::unique_ptr<ReadAhead> read_ahead_;  // may be null
  ReadAhead::TargetPtr ahead_target_;
  std::unique_ptr<volume::Volume> spare_reader_;
  FailedReads failed_reads_;
  std::unique_ptr<History> history_;
  Generation opened_;  // of a reader
  Writer writer_;
  bool journal_writes_ = false;
  bool closed_ = false;
  std::uint64_t recovered_ = 0;
  std::unique_ptr<Seen> seen_;

  Meter reads_, writes_, discards_, flushes_;
  Mutex allocated_mu_;
  bool counting_ GUARDED_BY(allocated_mu_) = false;
  std::optional<std::uint64_t> allocated_ GUARDED_BY(allocated_mu_);
  std::uint64_t allocated_state_ GUARDED_BY(allocated_mu_) = 0;  // what the figure was counted at

  static constexpr Duration kTroubleFresh = std::chrono::seconds(30);
  Mutex trouble_mu_;
  std::optional<Error> trouble_ GUARDED_BY(trouble_mu_);
  MonotonicTime trouble_at_ GUARDED_BY(trouble_mu_){};
};

}  // namespace s3crate::device
