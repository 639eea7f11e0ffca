// SPDX-License-Identifier: GPL-3.0-or-later
// How a disk comes by its cache file.
#include "device/disk_impl.h"

namespace s3crate::device {

namespace {
constexpr std::uint64_t kCacheIndexPart = 4;    // of the memory for extents, one in so many bytes
constexpr Duration kCacheFilePatience = std::chrono::seconds(1);
constexpr std::uint64_t kRoomForOthers = 16 << 20;  // on a disk where no journal is to grow
}  // namespace

void DiskImpl::attach_cache_file(io::FileIo& files, const std::string& directory) {
  std::shared_ptr<const volume::KeyRing> keys = volume_.keys();
  if (options_.cache_file_bytes == 0 && options_.drop_cache_file) cache::CacheFile::discard(files, directory + "/cache");
  if (options_.cache_file_bytes == 0 || !keys->reads_data()) return;
  cache::CacheFileOptions options;
  options.path = directory + "/cache";
  options.bytes = options_.cache_file_bytes;
  options.kept_bytes_max = options_.cache_file_kept_max;
  options.leave_free = options_.read_only ? kRoomForOthers : options_.journal_bytes;
  options.index_bytes_max = options_.block_cache_bytes / kCacheIndexPart;
  options.vid = volume_.vid();
  options.keys = {keys->ring(), &keys->cache_sealing_key(),
                  [keys](std::uint32_t ring) { return keys->cache_opening_key(ring); }};
  options.log = options_.log;
  options.chunk_bytes = options_.cache_file_chunk_bytes;
  auto made = files.make_directories(directory);
  auto opened = made ? cache::CacheFile::open(env_, files, std::move(options)) : fail(made.error());
  if (!opened) {
    if (options_.log) options_.log(fmt::format("going on without a cache file: {}", opened.error().message()));
    return;
  }
  cache_file_ = std::move(*opened);
  volume_.pages().use(cache_file_.get());
}

// A read that comes before its index is there asks the store.
void DiskImpl::wait_for_cache_file() {
  if (cache_file_) cache_file_->wait_ready(kCacheFilePatience);
}

}  // namespace s3crate::device
