// SPDX-License-Identifier: GPL-3.0-or-later
// A map of as many extents as wanted, with its companions, for a LongHistory to stand on: real
// pages in the store, that name segments which were never put. The volume mounts and is written to;
// reads of what stands in those segments fail.
#pragma once

#include <algorithm>

#include "tests/support/long_history.h"

namespace s3crate::test {

struct MapShape {
  BlockIndex from{LongHistory::kBlocks};
  BlockIndex to;
  std::uint64_t extents = 0;  // spread evenly over [from, to)
  std::uint64_t segment_bytes = 8 << 20;
  // Extents of random lengths, whose neighbours are in other segments of the same sixteenth of the
  // disk. Otherwise: as one pass of writing left them.
  bool aged = false;
  std::size_t page_bytes = volume::kPagePlainMax;
};

class SyntheticMap {
 public:
  static constexpr std::uint64_t kSlices = 16;
  static constexpr std::uint64_t kBlockBytes = 4096, kExtentBlocks = 16;

  SyntheticMap(Env env, LongHistory& history, const MapShape& shape)
      : env_(env),
        history_(history),
        shape_(shape),
        stride_((shape.to - shape.from) / shape.extents),
        count_max_(std::min(kExtentBlocks, stride_)) {
    CHECK(count_max_ > 0);
  }

  // The history's next checkpoint, which follows at once.
  Result<> make() {
    TRY(name_segments());
    volume::PageLoader& pages = history_.volume().pages();
    volume::PageWriter writer = history_.page_writer(shape_.page_bytes);
    volume::MaybeRoot map = history_.map();
    volume::Companions companions = history_.companions();
    std::vector<volume::ObjectInfo> made;
    for (std::uint64_t i = 0; i < shape_.extents;) {
      std::vector<volume::Run> runs;
      for (; i < shape_.extents && runs.size() < kRunsAtOnce; ++i) runs.push_back(run(i));
      volume::Ledger few;  // one of all would be slow
      map = TRY(volume::map_update(pages, writer, map, runs, few));
      std::ranges::move(TRY(writer.finish()), std::back_inserter(made));
    }
    for (std::size_t i = 0; i < segments_.size(); ++i)
      companions.late.add({.block = {},
                           .count = live_[i],
                           .hole = false,
                           .first = 0,
                           .extent = {.object = segments_[i].key}});
    TRY(history_.change());
    const Generation as_of = history_.newest_change();
    for (volume::ObjectInfo& info : segments_) info.born = as_of;
    std::vector<volume::TreeChange> carried;
    companions = TRY(volume::update_companions(
        pages, writer, std::move(companions),
        {.as_of = as_of, .previous = {}, .objects = segments_, .events = {}}, carried));
    std::ranges::move(TRY(writer.finish()), std::back_inserter(made));
    history_.stand_on(map, std::move(companions), std::move(made));
    return history_.checkpoint();
  }

 private:
  static constexpr std::size_t kRunsAtOnce = 1 << 19;

  static std::uint64_t mix(std::uint64_t n) {  // splitmix64
    n += 0x9e3779b97f4a7c15;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
    n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
    return n ^ (n >> 31);
  }
  [[nodiscard]] std::uint64_t count_of(std::uint64_t i) const {
    return shape_.aged ? 1 + mix(3 * i) % count_max_ : count_max_;
  }

  Result<> name_segments() {
    const std::uint64_t mean = shape_.aged ? (count_max_ + 1) / 2 : count_max_;
    in_segment_ = std::max<std::uint64_t>(1, shape_.segment_bytes / (mean * kBlockBytes));
    segments_.resize(shape_.extents / in_segment_ + kSlices);
    live_.resize(segments_.size());
    for (volume::ObjectInfo& info : segments_) {
      info.key = {0, TRY(history_.chain().new_object_id())};
      info.nonce = env_.random.array<16>();
      info.index_offset = shape_.segment_bytes;
      info.index_length = static_cast<std::uint32_t>(60 * in_segment_);
      info.length = info.index_offset + info.index_length + 100;
      info.hash = env_.random.array<32>();
      info.ring = 1;
      info.sealed_secret = env_.random.array<80>();
      info.blocks = mean * in_segment_;
    }
    return {};
  }

  [[nodiscard]] volume::Run run(std::uint64_t i) {
    std::uint64_t segment = i / in_segment_, number = i % in_segment_;
    if (shape_.aged) {
      const std::uint64_t slice = i * kSlices / shape_.extents, each = segments_.size() / kSlices;
      segment = slice * each + mix(3 * i + 1) % each;
      number = mix(3 * i + 2) % in_segment_;
    }
    volume::Run run{.block = shape_.from + i * stride_,
                    .count = count_of(i),
                    .hole = false,
                    .first = 0,
                    .extent = {}};
    live_[segment] += run.count;
    const auto length = static_cast<std::uint32_t>(run.count * kBlockBytes + 48);
    run.extent = {
        .object = segments_[segment].key,
        .number = static_cast<std::uint32_t>(number),
        .offset = static_cast<std::uint32_t>(number * shape_.segment_bytes / in_segment_ + 100),
        .length = length,
        .digest = {}};
    for (std::size_t half = 0; half < 2; ++half) {
      const std::uint64_t random = mix(~(2 * i + half));
      std::memcpy(run.extent.digest.data() + 8 * half, &random, sizeof random);
    }
    return run;
  }

  Env env_;
  LongHistory& history_;
  const MapShape shape_;
  const std::uint64_t stride_;  // blocks from one extent to the next
  const std::uint64_t count_max_;
  std::uint64_t in_segment_ = 0;  // extents
  std::vector<volume::ObjectInfo> segments_;
  std::vector<std::uint64_t> live_;  // blocks of each
};

}  // namespace s3crate::test
