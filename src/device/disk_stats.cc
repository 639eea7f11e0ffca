// SPDX-License-Identifier: GPL-3.0-or-later
// What a disk tells of itself.
#include "device/disk_impl.h"

namespace s3crate::device {

Stats DiskImpl::stats() {
  Stats out;
  MonotonicTime now = env_.clock.monotonic_now();
  out.vid = to_hex(volume_.vid());
  out.uuid = to_hex(volume_.object().uuid);
  out.disk_bytes = size();
  out.block_size = block_size();
  out.read_only = options_.read_only;
  out.uptime = now - started_;
  out.reads = reads_.stats();
  out.writes = writes_.stats();
  out.discards = discards_.stats();
  out.flushes = flushes_.stats();
  out.generation = writer_.chain ? writer_.chain->head() : opened_;
  out.epoch = writer_.chain ? writer_.chain->who().epoch : 0;
  out.failed = head_->failure().has_value();
  out.durable_locally = writer_.encoder && journal_answers();
  out.batches_recovered = recovered_;

  HeadCounters head = head_->counters();
  out.dirty_bytes = head.dirty_bytes;
  out.dirty_max = options_.dirty_max;
  out.unsent_bytes = head.unsent_bytes;
  if (head.oldest != MonotonicTime{}) out.unsent_age = now - head.oldest;
  out.delta_runs = head.delta_runs;
  out.delta_runs_max = options_.delta_runs_max;
  out.batches = head.batches;
  out.commits = head.commits;
  out.checkpoints = head.checkpoints;
  out.writer_waits = head.writer_waits;

  cache::CacheStats blocks = cache_->stats();
  out.block_cache_bytes = blocks.bytes;
  out.block_cache_capacity = blocks.capacity;
  out.block_cache_hits = blocks.hits;
  out.block_cache_misses = blocks.misses;
  if (cache_file_) out.cache_file = cache_file_->stats();
  if (read_ahead_) {
    const ReadAheadStats ahead = read_ahead_->stats();
    out.read_ahead_bytes = ahead.bytes.loaded();
    out.read_ahead_used_bytes = ahead.bytes.used;
    out.read_ahead_wasted_bytes = ahead.bytes.wasted;
    out.read_ahead_unused_bytes = ahead.bytes.unused;
    out.read_ahead_streams = ahead.streams;
  }
  volume::PageCacheStats pages = volume_.pages().stats();
  out.map_cache_bytes = pages.bytes;
  out.map_cache_capacity = pages.capacity;
  out.map_cache_hits = pages.hits;
  out.map_cache_misses = pages.misses;
  if (writer_.journal) {
    journal::Stats journal = writer_.journal->stats();
    out.journal_used = journal.used_bytes;
    out.journal_capacity = journal.capacity_bytes;
    out.journal_syncs = journal.syncs;
    out.journal_failed_syncs = journal.failed_syncs;
    out.journal_bytes = journal.append_bytes;
  }
  if (writer_.encoder) {
    const EncoderCounters& encoded = writer_.encoder->counters();
    const EncoderCounters& completed = *writer_.completion_counters;
    out.extents = encoded.extents + completed.extents;
    out.patches = encoded.patches;
    out.bytes_before_compression = encoded.bytes_before + completed.bytes_before;
    out.bytes_after_compression = encoded.bytes_after + completed.bytes_after;
    out.zero_blocks = encoded.zero_blocks;
  }
  if (writer_.uploader) {
    const UploaderCounters& uploaded = writer_.uploader->counters();
    out.segments_put = uploaded.segments;
    out.segment_bytes_put = uploaded.segment_bytes;
    out.extents_left_out = uploaded.left_out;
  }
  auto failure = head_->failure();
  const FailedReads::Met failed_reads = failed_reads_.met();
  out.damaged_reads = failed_reads.damaged;
  out.damage = failed_reads.damage;
  out.other_failed_reads = failed_reads.others;
  MutexLock lock(trouble_mu_);
  out.health = "ok";
  if (failure) {
    out.health = failure->code() == Code::kFenced ? "fenced" : "failed";
    out.health_reason = failure->message();
  } else if (journal_writes_ && writer_.encoder && writer_.encoder->journal_failed()) {
    out.health = "journal failed";
    out.health_reason = "fsync waits for the store";
  } else if (trouble_ && now - trouble_at_ < kTroubleFresh) {
    out.health = "trouble";
    out.health_reason = trouble_->message();
  } else if (failed_reads.damaged > 0) {
    out.health = "damaged";
    out.health_reason = failed_reads.damage;
  }
  return out;
}

}  // namespace s3crate::device
