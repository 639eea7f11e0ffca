// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/view_reader.h"

#include <algorithm>
#include <cstring>

#include "volume/map_walk.h"

namespace s3crate::device {

using volume::Run;

namespace {
constexpr std::size_t kRunsAtATime = 256;
}  // namespace

void add_range(std::vector<ByteRange>& ranges, std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return;
  if (!ranges.empty() && ranges.back().offset + ranges.back().length == offset) ranges.back().length += length;
  else ranges.push_back({offset, length});
}

ViewReader::ViewReader(Env env, volume::Volume& volume, volume::View view, std::uint64_t cache_bytes)
    : volume_(volume),
      view_(std::move(view)),
      block_size_(volume.object().block_size()),
      objects_(env.executor, volume.keys(), volume.pages()),
      cache_(env.executor, cache_bytes),
      source_(volume.store(), objects_, block_size_, nullptr, &buffers_, &env.executor) {
  objects_.begin_at(view_);
}

Result<std::uint64_t> ViewReader::next_data(std::uint64_t offset) {
  const BlockIndex end(size() / block_size_);
  BlockIndex at(offset / block_size_);
  while (at < end) {
    std::vector<Run> runs;
    const BlockIndex until = view_.changes.visit_some(at, end, kRunsAtATime, [&](const Run& run) { runs.push_back(run); });
    runs.push_back({.block = until, .count = 0, .hole = true, .first = 0, .extent = {}});
    for (const Run& run : runs) {
      if (at < run.block) {
        const auto found = volume::map_seek(volume_.pages(), view_.map, at, run.block, false);
        if (!found && !volume::is_damage(found.error())) return fail(found.error());
        if (!found || *found < run.block) return (found ? *found : at).value * block_size_;
      }
      if (!run.hole) return run.block.value * block_size_;
      at = run.end();
    }
  }
  return size();
}

Result<ViewReader::Piece> ViewReader::read(std::uint64_t offset, MutableByteView out) {
  const BlockIndex from(offset / block_size_), to((offset + out.size()) / block_size_);
  struct Found {
    Run run;
    std::optional<Error> bad;
  };
  std::vector<Found> found;
  const auto data = [&](const Run& run) {
    if (!run.hole) found.push_back({run, std::nullopt});
  };
  const auto bad = [&](BlockIndex a, BlockIndex b, const Error& error) {
    found.push_back({{.block = a, .count = b - a, .hole = true, .first = 0, .extent = {}}, error});
  };
  Result<> walked;
  view_.changes.tile(from, to, data, [&](BlockIndex a, BlockIndex b) {
    if (walked) walked = volume::map_walk(volume_.pages(), view_.map, a, b, data, bad);
  });
  TRY(walked);

  std::vector<segment::ExtentRef> refs;
  for (const Found& f : found)
    if (!f.bad) refs.push_back(f.run.extent);
  const auto extents = cache_.fetch(refs, source_);
  Piece piece;
  std::size_t next = 0;
  for (const Found& f : found) {
    const std::uint64_t at = f.run.block.value * block_size_, length = f.run.count * block_size_;
    std::optional<Error> why = f.bad;
    if (!why) {
      const auto& extent = extents[next++];
      const std::uint64_t start = std::uint64_t{f.run.first} * block_size_;
      if (!extent) why = extent.error();
      else if (start + length > extent->size()) why = Error(Code::kCorrupt, fmt::format("block {} maps beyond the end of its extent", f.run.block));
      else std::memcpy(out.data() + (at - offset), extent->data() + start, length);
    }
    if (!why) {
      add_range(piece.data, at, length);
      continue;
    }
    if (!volume::is_damage(*why)) return fail(*why);
    if (piece.damaged.empty()) piece.why = why->message();
    add_range(piece.damaged, at, length);
  }
  return piece;
}

}  // namespace s3crate::device
