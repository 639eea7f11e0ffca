// SPDX-License-Identifier: GPL-3.0-or-later
// The segments of a volume as LIST and their own indexes tell them, when no commit does: each is believed as far as the signature of a
// writer reaches whom the keys know.
#pragma once

#include <atomic>

#include "volume/write_order.h"
#include "volume/volume.h"

namespace s3crate::volume {

struct FoundSegment {
  ObjectInfo info;  // as a commit would name it; `born` is the first number that it may have
  IndexedPlace place;
  std::optional<CheckpointMark> mark;  // of an older checkpoint
};
struct BadSegment {
  std::string name, what;
  std::uint64_t length = 0;
};
struct FoundSegments {
  std::vector<FoundSegment> sound;  // `which` is the place in here
  std::vector<BadSegment> bad;
};
struct IndexReadOptions {
  std::uint32_t epoch_min = 0;         // older ones are passed over unread
  std::size_t segments_max = 1'000'000;  // 400 bytes each
  const std::atomic<bool>* stop = nullptr;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};
};

// kUnsupported: there are more; kCancelled; errors of the store. Wants the keys in force.
[[nodiscard]] Result<FoundSegments> read_indexes(Executor& executor, Volume& volume, const IndexReadOptions& options);

// Those of some of them again, side by side: kCorrupt if one is not there any more as it was found.
inline constexpr std::size_t kIndexesTogether = 32;
[[nodiscard]] Result<std::vector<segment::SegmentIndex>> read_again(Executor& executor, Volume& volume, std::span<const ObjectInfo> infos);

}  // namespace s3crate::volume
