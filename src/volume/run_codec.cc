// SPDX-License-Identifier: GPL-3.0-or-later
// Runs: in commits as a list that refers to a list of objects, in the map tree one by one.
#include <algorithm>

#include "base/check.h"
#include "volume/codec.h"

namespace s3crate::volume {
namespace {

using segment::Digest;
using segment::ExtentRef;
using segment::kDiskBlocksMax;

constexpr std::size_t kRunSizeMin = 2;
constexpr std::size_t kRunObjectsMax = 1 << 20;
constexpr std::uint64_t kHole = 1;

// Bits of the first varint of a run in a commit.
constexpr std::uint64_t kCommitHasFirst = 2;
constexpr int kCommitCountShift = 2;
// ... and in a page.
constexpr std::uint64_t kPageHasOrigin = 2;
constexpr std::uint64_t kPageHasFirst = 4;
constexpr int kPageCountShift = 3;

// All but the object, and `first` only if it is above 0.
void put_extent(ByteWriter& writer, const ExtentRef& extent, std::uint16_t first) {
  writer.varint(extent.number);
  writer.varint(extent.offset);
  writer.varint(extent.length);
  if (first != 0) writer.varint(first);
  writer.raw(extent.digest);
}

void get_extent(ByteReader& reader, bool has_first, Run& run) {
  ExtentRef& extent = run.extent;
  extent.number = get_number<std::uint32_t>(reader);
  extent.offset = static_cast<std::uint32_t>(get_up_to(reader, segment::kObjectBytesMax));
  extent.length = static_cast<std::uint32_t>(get_up_to(reader, segment::kSealedExtentMax));
  if (has_first) {
    run.first = get_number<std::uint16_t>(reader);
    if (run.first == 0) reader.fail();
  }
  extent.digest = reader.array<sizeof(Digest)>();
  if (extent.length < segment::kSealedExtentMin ||
      std::uint64_t{extent.offset} + extent.length > segment::kObjectBytesMax)
    reader.fail();
}

std::vector<ObjectKey> objects_of(const std::vector<Run>& runs) {
  std::vector<ObjectKey> keys;
  for (const Run& run : runs) {
    if (!run.hole && (keys.empty() || keys.back() != run.extent.object))
      keys.push_back(run.extent.object);
  }
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

std::vector<ObjectKey> get_run_objects(ByteReader& reader) {
  std::vector<ObjectKey> keys(get_count(reader, 3, kRunObjectsMax));
  const ObjectKey* previous = nullptr;
  for (ObjectKey& key : keys) {
    key = get_object_key(reader);
    if (previous != nullptr && key <= *previous) reader.fail();
    if (!reader.ok()) return {};
    previous = &key;
  }
  return keys;
}

}  // namespace

void put_runs(ByteWriter& writer, const std::vector<Run>& runs) {
  const std::vector<ObjectKey> keys = objects_of(runs);
  CHECK(runs.size() <= kRunsPerCommitMax && keys.size() <= kRunObjectsMax);
  writer.varint(keys.size());
  for (const ObjectKey& key : keys) put_object_key(writer, key);
  writer.varint(runs.size());
  BlockIndex end;
  for (const Run& run : runs) {
    CHECK(run.block >= end && run.count >= 1);
    writer.varint(run.block - end);
    const bool has_first = !run.hole && run.first != 0;
    writer.varint(run.count << kCommitCountShift | (has_first ? kCommitHasFirst : 0) |
                  (run.hole ? kHole : 0));
    if (!run.hole) {
      writer.varint(static_cast<std::uint64_t>(
          std::ranges::lower_bound(keys, run.extent.object) - keys.begin()));
      put_extent(writer, run.extent, run.first);
    }
    end = run.end();
  }
}

std::vector<Run> get_runs(ByteReader& reader, std::uint64_t disk_bytes, std::uint32_t block_size) {
  const std::vector<ObjectKey> keys = get_run_objects(reader);
  std::vector<Run> runs(get_count(reader, kRunSizeMin, kRunsPerCommitMax));
  std::vector<bool> used(keys.size());
  BlockIndex end;
  for (Run& run : runs) {
    run.block = BlockIndex(get_above(reader, end.value, kDiskBlocksMax));
    const std::uint64_t head = reader.varint();
    run.count = head >> kCommitCountShift;
    run.hole = (head & kHole) != 0;
    if (run.hole) {
      if ((head & kCommitHasFirst) != 0) reader.fail();
    } else {
      const std::uint64_t object = reader.varint();
      if (object >= keys.size()) reader.fail();
      if (!reader.ok()) return {};
      run.extent.object = keys[object];
      used[object] = true;
      get_extent(reader, (head & kCommitHasFirst) != 0, run);
      if (!segment::is_extent_range(run.first, run.count, block_size)) reader.fail();
    }
    const std::uint64_t bytes_max = run.hole ? segment::kDiskBytesMax : disk_bytes;
    if (!segment::is_block_range(run.block.value, run.count, bytes_max / block_size)) reader.fail();
    if (!reader.ok()) return {};
    end = run.end();
  }
  if (std::ranges::find(used, false) != used.end()) reader.fail();
  return runs;
}

PageEntry encode_run(const Run& run) {
  PageEntry entry;
  for (int shift = 56; shift >= 0; shift -= 8)
    entry.key.push_back(static_cast<std::uint8_t>(run.block.value >> shift));
  ByteWriter writer(entry.value);
  const ObjectKey& object = run.extent.object;
  const bool has_origin = !run.hole && object.origin != 0;
  const bool has_first = !run.hole && run.first != 0;
  writer.varint(run.count << kPageCountShift | (has_first ? kPageHasFirst : 0) |
                (has_origin ? kPageHasOrigin : 0) | (run.hole ? kHole : 0));
  if (!run.hole) {
    if (has_origin) writer.varint(object.origin);
    put_object_id(writer, object.id);
    put_extent(writer, run.extent, run.first);
  }
#ifndef NDEBUG
  const auto decoded = decode_run(entry);
  CHECK(decoded && *decoded == run);
#endif
  return entry;
}

Result<Run> decode_run(const PageEntry& entry) {
  Run run;
  if (entry.key.size() != sizeof(std::uint64_t))
    return fail(Code::kCorrupt, "a key of the map has {} bytes", entry.key.size());
  for (std::uint8_t byte : entry.key) run.block.value = run.block.value << 8 | byte;
  ByteReader reader(entry.value);
  const std::uint64_t head = reader.varint();
  run.count = head >> kPageCountShift;
  run.hole = (head & kHole) != 0;
  if (run.hole) {
    if ((head & (kPageHasFirst | kPageHasOrigin)) != 0) reader.fail();
  } else {
    if ((head & kPageHasOrigin) != 0) {
      run.extent.object.origin = get_number<std::uint16_t>(reader);
      if (run.extent.object.origin == 0) reader.fail();
    }
    run.extent.object.id = get_object_id(reader);
    get_extent(reader, (head & kPageHasFirst) != 0, run);
    if (!segment::is_extent_range(run.first, run.count, segment::kBlockSizeMin)) reader.fail();
  }
  if (!reader.done() || !segment::is_block_range(run.block.value, run.count, kDiskBlocksMax))
    return fail(Code::kCorrupt, "a run of the map is malformed");
  return run;
}

}  // namespace s3crate::volume
