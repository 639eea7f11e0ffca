// SPDX-License-Identifier: GPL-3.0-or-later
// What the codecs of commits and pages share. A get_ function fails the reader on anything
// malformed.
#pragma once

#include "segment/codec.h"
#include "volume/page.h"

namespace s3crate::volume {

using segment::get_above;
using segment::get_bytes;
using segment::get_count;
using segment::get_number;
using segment::get_object_id;
using segment::get_object_key;
using segment::get_text;
using segment::get_up_to;
using segment::kNumberMax;
using segment::put_bytes;
using segment::put_object_id;
using segment::put_object_key;

inline constexpr std::size_t kRunsPerCommitMax = 1 << 20;
inline constexpr std::size_t kObjectsPerCommitMax = 1 << 16;
inline constexpr std::size_t kRootsMax = 256;
inline constexpr std::size_t kPageRefSizeMin = 3 + sizeof(ObjectNonce) + 2 + sizeof(Hash);

[[nodiscard]] constexpr bool is_tree(std::uint8_t tree) {
  return tree >= static_cast<std::uint8_t>(TreeId::map) &&
         tree <= static_cast<std::uint8_t>(TreeId::fingerprints);
}
[[nodiscard]] inline std::uint64_t from_time(WallTime t) {
  return static_cast<std::uint64_t>(t.time_since_epoch().count());
}
[[nodiscard]] inline WallTime to_time(std::uint64_t ns) {
  return WallTime(Duration(static_cast<std::int64_t>(ns)));
}

void put_page_ref(ByteWriter& writer, const PageRef& ref);
[[nodiscard]] PageRef get_page_ref(ByteReader& reader);

void put_roots(ByteWriter& writer, const std::vector<TreeRoot>& roots);
[[nodiscard]] std::vector<TreeRoot> get_roots(ByteReader& reader);

void put_object_info(ByteWriter& writer, const ObjectInfo& info);  // all but the key
[[nodiscard]] ObjectInfo get_object_info(ByteReader& reader, const ObjectKey& key);

// A sorted list of runs and the list of objects that they refer to.
void put_runs(ByteWriter& writer, const std::vector<Run>& runs);
[[nodiscard]] std::vector<Run> get_runs(ByteReader& reader, std::uint64_t disk_bytes,
                                        std::uint32_t block_size);

}  // namespace s3crate::volume
