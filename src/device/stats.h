// SPDX-License-Identifier: GPL-3.0-or-later
// What a disk can tell about itself: plain numbers, taken at one moment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/strong.h"
#include "cache/cache_file.h"

namespace s3crate::device {

struct LatencyStats {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t p50_ns = 0;
  std::uint64_t p99_ns = 0;
};

struct Stats {
  std::string vid;            // hexadecimal
  std::string uuid;
  std::uint64_t disk_bytes = 0;
  std::uint32_t block_size = 0;
  Generation generation;
  std::uint32_t epoch = 0;
  bool read_only = false;
  std::string health;         // "ok", "fenced", "store away", "journal failed", ...: one word or two, then a reason
  std::string health_reason;
  bool failed = false;  // no more writes: health says why
  bool durable_locally = false;  // fsync answers from the journal (else from the store)
  Duration uptime{};
  LatencyStats reads, writes, discards, flushes;
  std::uint64_t damaged_reads = 0, other_failed_reads = 0;  // of the disk and of its pasts: that ended for damage, or for anything else
  std::string damage;  // the first damage that one of them met
  std::uint64_t dirty_bytes = 0, dirty_max = 0;          // overlay
  std::uint64_t unsent_bytes = 0;                        // acknowledged, not in the store
  Duration unsent_age{};                                 // of the oldest of them
  std::uint64_t journal_used = 0, journal_capacity = 0, journal_syncs = 0, journal_failed_syncs = 0, journal_bytes = 0;
  std::uint64_t block_cache_bytes = 0, block_cache_capacity = 0, block_cache_hits = 0, block_cache_misses = 0;
  std::optional<cache::CacheFileStats> cache_file;       // if one was asked for
  std::uint64_t read_ahead_bytes = 0, read_ahead_used_bytes = 0, read_ahead_wasted_bytes = 0;  // of extents brought for readers to come
  std::uint64_t read_ahead_unused_bytes = 0, read_ahead_streams = 0;                           // now
  std::uint64_t map_cache_bytes = 0, map_cache_capacity = 0, map_cache_hits = 0, map_cache_misses = 0;
  std::uint64_t delta_runs = 0, delta_runs_max = 0;
  std::uint64_t batches = 0, extents = 0, patches = 0;
  std::uint64_t bytes_before_compression = 0, bytes_after_compression = 0;
  std::uint64_t zero_blocks = 0;                         // written zeros kept as holes
  std::uint64_t segments_put = 0, segment_bytes_put = 0, commits = 0, checkpoints = 0, extents_left_out = 0;
  std::uint64_t writer_waits = 0;                        // writes that waited for a budget
  std::uint64_t batches_recovered = 0;                   // from the journal, by this mount
};

}  // namespace s3crate::device
