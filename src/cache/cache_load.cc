// SPDX-License-Identifier: GPL-3.0-or-later
// Finding a cache file, or making one; and reading what an earlier mount left in it.
#include "base/check.h"
#include "cache/cache_writer.h"

namespace s3crate::cache {

using segment::kSectorBytes;

Result<std::shared_ptr<io::File>> CacheWriter::open_locked(io::OpenMode mode) {
  std::shared_ptr<io::File> file = TRY(files_.open(options_.path, mode));
  TRY(file->lock());
  identity_ = TRY(file->identity());
  // Its holder may have replaced it between our opening it and its giving the lock back.
  auto named = files_.identity(options_.path);
  if (!named && !is(named, Code::kNotFound)) return fail(named.error());
  if (!named || *named != identity_)
    return fail(Code::kExists, "{}: another process has just replaced it", options_.path);
  return file;
}

bool CacheWriter::is_wanted(const CacheSuperblock& found) const {
  CacheSuperblock expected = cache_layout(found.file_bytes, options_.chunk_bytes);
  expected.vid = options_.vid;
  expected.cache = found.cache;
  if (found != expected) return false;
  if (found.file_bytes == options_.bytes) return true;
  return found.file_bytes >= options_.bytes / 2 && found.file_bytes <= options_.kept_bytes_max;
}

Result<CacheSuperblock> CacheWriter::read_superblock() {
  std::array<std::uint8_t, kSectorBytes> sector;
  TRY(file_->read_at(0, sector));
  const CacheSuperblock found = TRY(decode_cache_superblock(sector));
  if (!is_wanted(found)) return fail(Code::kCorrupt, "another volume's, or of another size");
  return found;
}

// Another file, so that the room of the old one is given back.
Result<> CacheWriter::start_anew() {
  if (TRY(file_->size()) > 0) {
    TRY(files_.remove(options_.path));
    file_ = TRY(open_locked(io::OpenMode::create_new));
  }
  layout_ = cache_layout(options_.bytes, options_.chunk_bytes);
  layout_.vid = options_.vid;
  layout_.cache = env_.random.array<16>();
  return file_->write_at(0, encode_cache_superblock(layout_));
}

Result<std::shared_ptr<io::File>> CacheWriter::open() {
  file_ = TRY(open_locked(io::OpenMode::create_or_open));
  auto found = read_superblock();
  if (found) layout_ = *found;
  else if (is(found, Code::kCorrupt) || is(found, Code::kUnsupported)) TRY(start_anew());
  else return fail(found.error());
  MutexLock lock(shared_.mu);
  shared_.layout = layout_;
  shared_.stats.capacity = layout_.file_bytes;
  shared_.chunks = ChunkBook(layout_.chunks());
  return file_;
}

void CacheFile::discard(io::FileIo& files, const std::string& path) {
  const auto file = files.open(path, io::OpenMode::read_write);
  if (file && (*file)->lock()) (void)files.remove(path);
}

Result<ChunkHeader> CacheWriter::read_header(std::uint32_t chunk) {
  std::array<std::uint8_t, kSectorBytes> sector;
  TRY(file_->read_at(layout_.chunk_offset(chunk), sector));
  const ChunkHeader header = TRY(decode_chunk_header(sector));
  if (header.cache != layout_.cache || header.chunk != chunk ||
      header.sealed_length > layout_.table_bytes)
    return fail(Code::kCorrupt, "chunk {} is not of this cache file", chunk);
  return header;
}

Result<std::vector<CacheWriter::Found>> CacheWriter::read_table(const ChunkHeader& header) {
  Bytes sealed(header.sealed_length);
  TRY(file_->read_at(layout_.chunk_offset(header.chunk) + kSectorBytes, sealed));
  const auto key = TRY(options_.keys.opening(header.ring));
  Bytes plain;
  TRY(key->open(sealed, chunk_table_additional(header), plain));
  std::vector<Found> out;
  std::uint64_t position = layout_.data_offset(header.chunk);
  for (const ChunkEntry& entry : TRY(decode_chunk_table(plain, layout_.data_bytes()))) {
    out.push_back({entry, position});
    position += item_room(entry.length);
  }
  return out;
}

// Whether there is anything in it.
Result<bool> CacheWriter::load_chunk(std::uint32_t chunk) {
  const auto void_if = [](const Error& error) -> Result<bool> {
    // A ring that we have no key of is one of damage, or of a time to come.
    if (error.code() != Code::kIo && error.code() != Code::kCancelled) return false;
    return fail(error);
  };
  const auto header = read_header(chunk);
  if (!header) return void_if(header.error());
  const auto found = read_table(*header);
  if (!found) return void_if(found.error());
  next_number_ = std::max(next_number_, header->number + 1);
  if (found->empty()) return false;
  std::uint32_t bytes = 0;
  MutexLock lock(shared_.mu);
  for (const auto& [entry, position] : *found) {
    shared_.index.put(entry.digest, position);
    bytes += item_room(entry.length);
  }
  shared_.chunks.found_closed(chunk, header->queue, header->order, bytes);
  return true;
}

Result<> CacheWriter::load() {
  const std::uint64_t file_end = TRY(file_->size());
  for (std::uint32_t chunk = 0; chunk < layout_.chunks(); ++chunk) {
    if (layout_.chunk_offset(chunk) + layout_.chunk_bytes > file_end) break;
    {
      MutexLock lock(shared_.mu);
      if (shared_.stopping) break;
    }
    if (TRY(load_chunk(chunk))) continue;
    MutexLock lock(shared_.mu);
    shared_.chunks.found_free(chunk);
  }
  return {};
}

Result<> CacheWriter::look_after() {
  auto named = files_.identity(options_.path);
  if (!named && !is(named, Code::kNotFound)) return fail(named.error());
  if (!named || *named != identity_)
    return fail(Code::kNotFound, "{} was removed or replaced", options_.path);
  const auto found = read_superblock();
  if (is(found, Code::kIo) || is(found, Code::kCancelled)) return fail(found.error());
  if (!found || *found != layout_)
    return fail(Code::kNotFound, "{} was cut short or written over", options_.path);
  return {};
}

}  // namespace s3crate::cache
