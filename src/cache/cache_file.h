// SPDX-License-Identifier: GPL-3.0-or-later
// CacheFile: a SealedCache in a file on the local disk, which survives restarts. Losing it, or any part of it, costs time only.
//
// - Reads: a look into the index, in memory; one read of the file; the reader checks the digest. No lock is held meanwhile, and
//   a chunk may be filled anew meanwhile: then the digest does not match, which is a miss.
// - All else is one task's: it writes what is offered (a bounded queue: what does not fit is dropped), throws out what must go,
//   and at the start reads what the file holds; until it has, there are misses.
// - It never syncs. Chunks speak for themselves (cache_format.h), so whatever part of the writes a power cut leaves is either
//   found sound or not found.
// - Who is new comes on probation: a tenth of the file, first in, first out. What was used again when its turn comes is kept;
//   so is what comes back soon after it went. So a scan goes through the tenth, and through room that nobody uses.
// - What is kept goes in its turn too, unless it was used again since. Of a chunk with more than half of it used again nothing
//   goes; of another what was used again is copied, so for each byte let in at most one more is written.
// - The local disk may fail, fill up or vanish: then the mount goes on without, says so once, and counts.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/executor.h"
#include "cache/cache_format.h"
#include "cache/sealed_cache.h"
#include "io/file_io.h"

namespace s3crate::cache {

// What seals the tables of chunks, and opens those of an earlier mount.
struct CacheKeys {
  std::uint32_t ring = 0;
  const crypto::SealingKey* sealing = nullptr;  // outlives the cache
  std::function<Result<std::shared_ptr<const crypto::OpeningKey>>(std::uint32_t ring)> opening;
};

struct CacheFileOptions {
  std::string path;         // in a directory that is there
  std::uint64_t bytes = 0;  // of the whole file
  // One that is there may have another size, from half of `bytes` up to this; 0: it may not.
  std::uint64_t kept_bytes_max = 0;
  std::uint64_t leave_free = 0;  // of the filesystem's room, when the file grows
  std::uint64_t index_bytes_max = 64 << 20;
  Vid vid{};
  CacheKeys keys;
  std::function<void(const std::string&)> log;
  // Shrunk by tests.
  std::uint32_t chunk_bytes = 0;
  std::uint64_t queue_bytes_max = 16 << 20;
  Duration tables_delay = std::chrono::seconds(10);
};

struct CacheFileStats {
  bool on = false;
  std::string why_off;
  std::uint64_t capacity = 0, bytes = 0, items = 0, index_bytes = 0;
  std::uint64_t hits = 0, misses = 0, hit_bytes = 0;
  std::uint64_t wrong = 0;     // found, and not what it had to be
  std::uint64_t admitted = 0, admitted_bytes = 0;
  std::uint64_t rejected = 0;  // offered while the queue was full or the disk was
  std::uint64_t copied_bytes = 0;  // written a second time, to be kept
  std::uint64_t errors = 0;    // of the local disk
};

class CacheFile final : public SealedCache {
 public:
  // kBadArgument for a size that is no use. All else, a file that cannot be used too, shows later, in stats().
  [[nodiscard]] static Result<std::unique_ptr<CacheFile>> open(Env env, io::FileIo& files, CacheFileOptions options);
  // Drops what is queued.
  ~CacheFile() override;

  // Until the file's index is there, or cannot be had, but at most so long.
  void wait_ready(Duration at_most);
  // Writes what is queued, and what the next mount needs. Nothing may be under way or follow but stats().
  void close();
  // Of a file that no mount wants any more: removes it, unless a mount has it.
  static void discard(io::FileIo& files, const std::string& path);

  [[nodiscard]] std::vector<Bytes> find(std::span<const Wanted> wanted) override;
  void was_wrong(const Wanted& wanted) override;
  void was_used(const Wanted& wanted) override;
  void offer(const crypto::Digest& digest, ByteView sealed) override;
  [[nodiscard]] std::uint64_t index_bytes() const;
  [[nodiscard]] CacheFileStats stats() const;

 private:
  class Impl;
  explicit CacheFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace s3crate::cache
