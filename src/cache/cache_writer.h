// SPDX-License-Identifier: GPL-3.0-or-later
// CacheWriter: what CacheFile's task does to the file. One task only; what it shares with those who read is in CacheShared.
//
// After an error, kNoSpace aside, the file is not used any more. After kNoSpace it may be tried again later: for a while it does not
// grow then, but fills its chunks anew.
#pragma once

#include "base/mutex.h"
#include "cache/cache_file.h"
#include "cache/cache_index.h"
#include "cache/chunk_book.h"

namespace s3crate::cache {

struct CacheShared {
  explicit CacheShared(std::uint64_t index_bytes) : index(index_bytes) {}

  mutable Mutex mu;
  CacheSuperblock layout GUARDED_BY(mu);
  CacheIndex index GUARDED_BY(mu);
  ChunkBook chunks GUARDED_BY(mu){0};
  std::vector<std::uint32_t> popular GUARDED_BY(mu);  // chunks on probation that are to be kept
  CacheFileStats stats GUARDED_BY(mu);
  bool stopping GUARDED_BY(mu) = false;
};

class CacheWriter {
 public:
  struct Item {
    Digest digest{};
    Bytes bytes;
  };
  CacheWriter(Env env, io::FileIo& files, const CacheFileOptions& options, CacheShared& shared)
      : env_(env), files_(files), options_(options), shared_(shared) {}

  // The locked file, with a sound superblock. kExists: another holds it.
  [[nodiscard]] Result<std::shared_ptr<io::File>> open();
  // Reads the tables, until somebody stops it.
  [[nodiscard]] Result<> load();

  [[nodiscard]] Result<> store(std::vector<Item> items);
  // Moves a chunk to the end of those that are kept.
  [[nodiscard]] Result<> keep(std::uint32_t chunk);
  // So that the next mount finds what stands in chunks that are not full yet.
  [[nodiscard]] Result<> write_tables();
  [[nodiscard]] bool has_tables_to_write() const { return open_[0].table_due || open_[1].table_due; }
  // kNotFound: the file has no name any more, or is not what it was.
  [[nodiscard]] Result<> look_after();
  // Closes the file: its room, if it was removed, and its lock are for others. Nothing may follow.
  void let_go() { file_.reset(); }

 private:
  // A chunk being filled.
  struct Open {
    std::optional<std::uint32_t> chunk;
    std::uint64_t number = 0;
    std::vector<ChunkEntry> entries;   // written ones
    std::uint32_t used = 0;            // of the room for items, by them
    std::vector<Item> pending;         // not written yet
    std::uint32_t pending_used = 0;
    bool table_due = false;
  };
  struct Found {
    ChunkEntry entry;
    std::uint64_t position;
  };

  // Opening and loading: cache_load.cc.
  [[nodiscard]] Result<std::shared_ptr<io::File>> open_locked(io::OpenMode mode);
  [[nodiscard]] Result<CacheSuperblock> read_superblock();
  [[nodiscard]] Result<> start_anew();
  [[nodiscard]] bool is_wanted(const CacheSuperblock& found) const;
  [[nodiscard]] Result<ChunkHeader> read_header(std::uint32_t chunk);
  [[nodiscard]] Result<std::vector<Found>> read_table(const ChunkHeader& header);
  [[nodiscard]] Result<bool> load_chunk(std::uint32_t chunk);

  [[nodiscard]] Open& open_of(CacheQueue queue) { return open_[queue == CacheQueue::kept]; }
  [[nodiscard]] bool fits(const Open& open, std::uint32_t length) const;
  [[nodiscard]] Result<> append(CacheQueue queue, Item item);
  [[nodiscard]] Result<> begin(Open& open);
  [[nodiscard]] Result<> finish(CacheQueue queue);
  [[nodiscard]] Result<> write_pending();
  void note_written(Open& open);
  [[nodiscard]] Result<> write_table(CacheQueue queue, std::uint64_t order);
  [[nodiscard]] Result<> write(std::span<const io::WriteOp> ops);
  void forget_open();
  [[nodiscard]] Result<std::optional<std::uint32_t>> take_chunk();
  [[nodiscard]] Result<bool> may_grow();
  [[nodiscard]] Result<> make_room();
  [[nodiscard]] Result<> evict();
  [[nodiscard]] std::vector<Found> sort_out(CacheQueue queue, const std::vector<Found>& found);
  [[nodiscard]] Result<> copy(const std::vector<Found>& survivors);

  const Env env_;
  io::FileIo& files_;
  const CacheFileOptions& options_;
  CacheShared& shared_;
  std::shared_ptr<io::File> file_;
  io::FileIdentity identity_;
  CacheSuperblock layout_;
  Open open_[2];
  std::uint64_t pending_bytes_ = 0;  // of both
  MonotonicTime full_until_{};       // the filesystem was: so long the file does not grow
  bool evicting_ = false;
  std::uint64_t next_number_ = 1;
  std::uint64_t evictions_ = 0;      // of chunks on probation: the ghosts' time
};

}  // namespace s3crate::cache
