// SPDX-License-Identifier: GPL-3.0-or-later
#include "cache/cache_writer.h"

#include <algorithm>

#include "base/check.h"

namespace s3crate::cache {
namespace {

using segment::kSectorBytes;

constexpr std::uint64_t kWriteBytes = 1 << 20;  // pending in memory, at most and an item
constexpr std::size_t kFreeMin = 2;             // chunks, before one is taken: one for what a chunk that is emptied leaves
constexpr Duration kFullPause = std::chrono::minutes(1);
constexpr int kKeepsMax = 8;                    // chunks passed over in a row
constexpr std::size_t kLockItems = 256;         // looked at under one lock

constexpr std::array<std::uint8_t, kSectorBytes> kZeros{};

CacheQueue queue_to_shorten(const ChunkBook& chunks) {
  const bool probation = chunks.count(CacheQueue::probation) > chunks.probation_target() ||
                         chunks.count(CacheQueue::kept) == 0;
  return probation ? CacheQueue::probation : CacheQueue::kept;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(slash, 1));
}

}  // namespace

// ---- Filling chunks -----------------------------------------------------------------------------

Result<> CacheWriter::store(std::vector<Item> items) {
  for (Item& item : items) {
    if (item.bytes.size() > layout_.data_bytes()) continue;
    CacheQueue queue = CacheQueue::probation;
    {
      MutexLock lock(shared_.mu);
      if (shared_.index.find(item.digest)) continue;
      // As long as what is kept lives, about.
      const std::uint64_t lately = shared_.chunks.in_use();
      if (shared_.index.take_ghost(item.digest, evictions_ - std::min(evictions_, lately)))
        queue = CacheQueue::kept;
    }
    TRY(append(queue, std::move(item)));
  }
  return write_pending();
}

bool CacheWriter::fits(const Open& open, std::uint32_t length) const {
  const std::size_t entries = open.entries.size() + open.pending.size() + 1;
  return open.chunk &&
         open.used + open.pending_used + item_room(length) <= layout_.data_bytes() &&
         10 + entries * kChunkEntryMax + crypto::kSealOverhead <= layout_.table_bytes;
}

Result<> CacheWriter::append(CacheQueue queue, Item item) {
  const auto length = static_cast<std::uint32_t>(item.bytes.size());
  Open& open = open_of(queue);
  // Making room may open a chunk for those that are kept.
  while (!fits(open, length)) {
    if (open.chunk) TRY(finish(queue));
    else TRY(begin(open));
  }
  open.pending_used += item_room(length);
  pending_bytes_ += item_room(length);
  open.pending.push_back(std::move(item));
  return pending_bytes_ < kWriteBytes ? Result<>() : write_pending();
}

Result<> CacheWriter::begin(Open& open) {
  std::optional<std::uint32_t> chunk;
  // Twice, as there may be less room on the disk than it says (quotas): what is there is filled anew then.
  for (int tries = 0; tries < 2 && !chunk; ++tries) {
    TRY(make_room());
    if (open.chunk) return {};
    chunk = TRY(take_chunk());
  }
  if (!chunk) return fail(Code::kNoSpace, "{}: no room for another chunk", options_.path);
  open.chunk = chunk;
  open.number = next_number_++;
  // Lest a mount after a crash takes what it held for what it holds.
  return file_->write_at(layout_.chunk_offset(*chunk), kZeros);
}

Result<> CacheWriter::write(std::span<const io::WriteOp> ops) {
  auto done = file_->write(ops, io::Sync::no);
  if (!done) forget_open();
  return done;
}

void CacheWriter::forget_open() {
  MutexLock lock(shared_.mu);
  for (Open& open : open_) {
    shared_.stats.rejected += open.pending.size();
    if (open.chunk) shared_.chunks.make_free(*open.chunk);
    open = {};
  }
  pending_bytes_ = 0;
}

// What both have pending, in one call.
Result<> CacheWriter::write_pending() {
  std::vector<ByteView> parts[2];
  std::vector<io::WriteOp> ops;
  for (std::size_t i = 0; i < 2; ++i) {
    Open& open = open_[i];
    if (open.pending.empty()) continue;
    for (const Item& item : open.pending) {
      const auto length = static_cast<std::uint32_t>(item.bytes.size());
      parts[i].push_back(item.bytes);
      parts[i].push_back(ByteView(kZeros).first(item_room(length) - length));
    }
    ops.push_back({layout_.data_offset(*open.chunk) + open.used, parts[i]});
  }
  if (ops.empty()) return {};
  TRY(write(ops));
  for (Open& open : open_) note_written(open);
  pending_bytes_ = 0;
  return {};
}

void CacheWriter::note_written(Open& open) {
  if (open.pending.empty()) return;
  std::uint64_t position = layout_.data_offset(*open.chunk) + open.used;
  MutexLock lock(shared_.mu);
  for (const Item& item : open.pending) {
    const auto length = static_cast<std::uint32_t>(item.bytes.size());
    shared_.index.put(item.digest, position);
    open.entries.push_back({item.digest, length});
    position += item_room(length);
    if (evicting_) shared_.stats.copied_bytes += length;
    else ++shared_.stats.admitted, shared_.stats.admitted_bytes += length;
  }
  shared_.chunks.add_bytes(*open.chunk, open.pending_used);
  open.used += open.pending_used;
  open.pending_used = 0;
  open.pending.clear();
  open.table_due = true;
}

Result<> CacheWriter::write_table(CacheQueue queue, std::uint64_t order) {
  Open& open = open_of(queue);
  ChunkHeader header;
  header.cache = layout_.cache;
  header.chunk = *open.chunk;
  header.ring = options_.keys.ring;
  header.number = open.number;
  header.queue = queue;
  header.order = order;
  Bytes sealed;
  options_.keys.sealing->seal(env_.random, encode_chunk_table(open.entries),
                              chunk_table_additional(header), sealed);
  CHECK(sealed.size() <= layout_.table_bytes);
  header.sealed_length = static_cast<std::uint32_t>(sealed.size());
  const Bytes sector = encode_chunk_header(header);
  const ByteView parts[] = {sector, sealed};
  const io::WriteOp op{layout_.chunk_offset(header.chunk), parts};
  TRY(write({&op, 1}));
  open.table_due = false;
  return {};
}

Result<> CacheWriter::write_tables() {
  TRY(write_pending());
  for (CacheQueue queue : {CacheQueue::probation, CacheQueue::kept}) {
    if (!open_of(queue).table_due) continue;
    std::uint64_t order;
    {
      MutexLock lock(shared_.mu);
      order = shared_.chunks.next_order();
    }
    TRY(write_table(queue, order));
  }
  return {};
}

Result<> CacheWriter::finish(CacheQueue queue) {
  TRY(write_pending());
  Open& open = open_of(queue);
  std::uint64_t order;
  {
    MutexLock lock(shared_.mu);
    order = shared_.chunks.next_order();
  }
  TRY(write_table(queue, order));
  MutexLock lock(shared_.mu);
  shared_.chunks.close(*open.chunk, queue);
  if (queue == CacheQueue::probation && shared_.chunks.is_popular(*open.chunk))
    shared_.popular.push_back(*open.chunk);
  open = {};
  return {};
}

// ---- Making room --------------------------------------------------------------------------------

Result<bool> CacheWriter::may_grow() {
  {
    MutexLock lock(shared_.mu);
    if (env_.clock.monotonic_now() < full_until_ || shared_.chunks.fresh_left() == 0) return false;
  }
  return TRY(files_.free_bytes(directory_of(options_.path))) >=
         options_.leave_free + layout_.chunk_bytes;
}

// None if there is none, for want of room on the disk.
Result<std::optional<std::uint32_t>> CacheWriter::take_chunk() {
  {
    MutexLock lock(shared_.mu);
    if (auto chunk = shared_.chunks.open_free()) return chunk;
  }
  if (!TRY(may_grow())) return std::nullopt;
  std::optional<std::uint32_t> chunk;
  {
    MutexLock lock(shared_.mu);
    chunk = shared_.chunks.open_fresh();
  }
  const std::uint64_t end = layout_.chunk_offset(*chunk) + layout_.chunk_bytes;
  auto allocated = file_->allocate(end);
  if (allocated) return chunk;
  {
    MutexLock lock(shared_.mu);
    shared_.chunks.give_back_fresh(*chunk);
  }
  if (!is(allocated, Code::kNoSpace)) return fail(allocated.error());
  full_until_ = env_.clock.monotonic_now() + kFullPause;
  return std::nullopt;
}

Result<> CacheWriter::make_room() {
  if (evicting_) return {};
  for (;;) {
    const bool grows = TRY(may_grow());
    {
      MutexLock lock(shared_.mu);
      const std::size_t fresh = grows ? shared_.chunks.fresh_left() : 0;
      if (shared_.chunks.free_count() + fresh >= kFreeMin) return {};
    }
    evicting_ = true;
    auto done = evict();
    evicting_ = false;
    TRY(done);
  }
}

Result<> CacheWriter::evict() {
  CacheQueue queue = CacheQueue::probation;
  std::optional<std::uint32_t> next;
  for (int passed = 0;; ++passed) {
    {
      MutexLock lock(shared_.mu);
      if (const auto hollow = shared_.chunks.hollow()) {
        next = hollow->chunk, queue = hollow->queue;
        break;
      }
      queue = queue_to_shorten(shared_.chunks);
      next = shared_.chunks.oldest(queue);
      if (next && (passed == kKeepsMax || !shared_.chunks.is_popular(*next))) break;
    }
    if (!next) return fail(Code::kNoSpace, "{}: no chunk to make room of", options_.path);
    TRY(keep(*next));
  }
  const std::uint32_t chunk = *next;
  const auto header = read_header(chunk);
  const auto found = header ? read_table(*header) : Result<std::vector<Found>>(fail(header.error()));
  // Without its table nobody misses what is in it but those who look for it.
  if (!found && !is(found, Code::kCorrupt)) return fail(found.error());
  if (found) {
    // What there is no room for goes.
    auto copied = copy(sort_out(queue, *found));
    if (!copied && !is(copied, Code::kNoSpace)) return copied;
  }
  if (queue == CacheQueue::probation) ++evictions_;
  MutexLock lock(shared_.mu);
  shared_.chunks.make_free(chunk);
  return {};
}

// What is to be copied; the rest leaves the index.
std::vector<CacheWriter::Found> CacheWriter::sort_out(CacheQueue queue, const std::vector<Found>& found) {
  std::vector<Found> out;
  std::uint32_t room = 0;
  for (std::size_t i = 0; i < found.size();) {
    MutexLock lock(shared_.mu);
    for (std::size_t end = std::min(found.size(), i + kLockItems); i < end; ++i) {
      const auto& [entry, position] = found[i];
      const auto use = shared_.index.use(entry.digest, position);
      if (use == CacheIndex::Use::again && room + item_room(entry.length) <= layout_.data_bytes() / 2) {
        room += item_room(entry.length);
        out.push_back(found[i]);
      } else if (queue == CacheQueue::probation && use == CacheIndex::Use::once) {
        shared_.index.make_ghost(entry.digest, position, evictions_);
      } else {
        shared_.index.erase(entry.digest, position);
      }
    }
  }
  return out;
}

// Unseen, as what a page's digest is made of is not known here: what is damaged its next reader finds out.
Result<> CacheWriter::copy(const std::vector<Found>& survivors) {
  for (const auto& [entry, position] : survivors) {
    Item item{entry.digest, Bytes(entry.length)};
    auto read = file_->read_at(position, item.bytes);
    if (!read && !is(read, Code::kCorrupt)) return read;
    if (!read) continue;
    TRY(append(CacheQueue::kept, std::move(item)));
  }
  return write_pending();
}

Result<> CacheWriter::keep(std::uint32_t chunk) {
  {
    MutexLock lock(shared_.mu);
    if (!shared_.chunks.is_closed(chunk) || !shared_.chunks.is_popular(chunk)) return {};
  }
  auto header = read_header(chunk);
  const auto found = header ? read_table(*header) : Result<std::vector<Found>>(fail(header.error()));
  if (is(found, Code::kCorrupt)) {
    MutexLock lock(shared_.mu);
    shared_.chunks.make_free(chunk);
    return {};
  }
  if (!found) return fail(found.error());
  for (std::size_t i = 0; i < found->size();) {
    MutexLock lock(shared_.mu);
    for (std::size_t end = std::min(found->size(), i + kLockItems); i < end; ++i)
      shared_.index.unmark((*found)[i].entry.digest, (*found)[i].position);
  }
  header->queue = CacheQueue::kept;
  {
    MutexLock lock(shared_.mu);
    header->order = shared_.chunks.requeue(chunk, CacheQueue::kept);
  }
  return file_->write_at(layout_.chunk_offset(chunk), encode_chunk_header(*header));
}

}  // namespace s3crate::cache
