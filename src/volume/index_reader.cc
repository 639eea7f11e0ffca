// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/index_reader.h"

#include <map>

#include "base/parallel.h"
#include "segment/object_names.h"
#include "store/reread.h"
#include "volume/map_walk.h"

namespace s3crate::volume {

using segment::SegmentIndex;

namespace {

constexpr std::uint64_t kTailGuess = 128 << 10;  // which most indexes fit in
constexpr std::uint64_t kTailMax = 2 << 20;      // of those that are read side by side
constexpr std::size_t kListMax = 1000;

struct Named {
  std::string name;
  segment::ParsedObjectName parsed;
  std::uint64_t length = 0;
};
struct Ends {
  Bytes header, tail;  // the tail from the index on
  segment::SegmentTail at;
};

Result<std::vector<Named>> list_segments(Volume& volume, const IndexReadOptions& options) {
  std::vector<Named> out;
  for (std::string after;;) {
    if (options.stop != nullptr && options.stop->load()) return fail(Code::kCancelled, "stopped");
    const auto page = TRY(volume.store().list(std::string(segment::kSegmentsPrefix), after, kListMax));
    for (const auto& object : page.objects) {
      const auto parsed = segment::parse_object_name(object.name);
      if (!parsed || parsed->kind != segment::ObjectKind::segment || parsed->id.epoch() < options.epoch_min) continue;
      out.push_back({object.name, *parsed, object.size});
    }
    if (out.size() > options.segments_max)
      return fail(Code::kUnsupported, "there are more than {} segments to be looked at, which is more than a repair holds in memory", options.segments_max);
    if (!page.more || page.objects.empty()) return out;
    after = page.objects.back().name;
  }
}

Result<Bytes> read(store::ObjectStore& store, const std::string& name, std::uint64_t from, std::uint64_t to) {
  Bytes out(to - from);
  TRY(store.get_range(name, from, out));
  return out;
}

// nullopt: its index is longer than `tail_max`.
Result<std::optional<Ends>> read_ends(store::ObjectStore& store, const Named& named, std::uint64_t tail_max) {
  const std::uint64_t head = segment::segment_header_size(), foot = segment::segment_footer_size();
  if (named.length < head + foot || named.length > segment::kObjectBytesMax)
    return fail(Code::kCorrupt, "it has {} bytes, which no segment has", named.length);
  Ends out;
  out.header = TRY(read(store, named.name, 0, head));
  std::uint64_t from = std::max(head, named.length - std::min(named.length, kTailGuess));
  if (from > named.length - foot) from = named.length - foot;
  out.tail = TRY(read(store, named.name, from, named.length));
  out.at = TRY(segment::decode_segment_footer(ByteView(out.tail).last(foot), named.length));
  const std::uint64_t wanted = named.length - out.at.index_offset;
  if (wanted > tail_max) return std::nullopt;
  if (out.at.index_offset >= from) out.tail.erase(out.tail.begin(), out.tail.begin() + static_cast<std::ptrdiff_t>(out.at.index_offset - from));
  else out.tail = TRY(read(store, named.name, out.at.index_offset, named.length));
  return out;
}

struct Verified {
  ObjectInfo info;
  SegmentIndex index;
};
Result<Verified> verified(Volume& volume, const Named& named, const Ends& ends) {
  const auto header = TRY(segment::decode_segment_header(ends.header));
  if (header.vid != volume.vid() || header.id != named.parsed.id) return fail(Code::kCorrupt, "it is another segment");
  const auto keys = TRY(volume.ring_at(header.keys_generation));
  const ByteView sealed = ByteView(ends.tail).first(ends.at.index_length);
  Verified out;
  out.index = TRY(segment::open_segment_index(header, sealed, ByteView(ends.tail).subspan(ends.at.index_length), named.length,
                                              TRY(keys->segment_signer(header.writer)), *TRY(keys->index_opening_key(header.ring)),
                                              volume.object().block_size()));
  const SegmentIndex& index = out.index;
  if (index.epoch != header.id.epoch()) return fail(Code::kCorrupt, "its index is of another epoch");
  ObjectInfo& info = out.info;
  info.key = {0, header.id};
  info.kind = segment::ObjectKind::segment;
  info.nonce = named.parsed.nonce;
  info.born = header.keys_generation.next();
  info.length = named.length;
  info.hash = crypto::blake2b(sealed);
  info.index_offset = ends.at.index_offset;
  info.index_length = ends.at.index_length;
  info.ring = header.ring;
  info.sealed_secret = index.sealed_secret;
  std::map<std::uint32_t, std::uint64_t> extents;  // so many blocks of each that a run refers to
  for (const auto& run : index.runs) extents[run.extent] = std::max<std::uint64_t>(extents[run.extent], run.first + run.count);
  for (const auto& [number, blocks] : extents) info.blocks += blocks;
  info.has_holes = !index.holes.empty() || info.blocks == 0;
  return out;
}

// I/O side by side; verifying one after the other, as it may load keys.
std::vector<Result<Verified>> read_together(Executor& executor, Volume& volume, std::span<const Named> names) {
  std::vector<Result<std::optional<Ends>>> ends(names.size());
  parallel(executor, names.size(), kIndexesTogether, [&](std::size_t i) { ends[i] = read_ends(volume.store(), names[i], kTailMax); });
  std::vector<Result<Verified>> out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto look = [&](Result<std::optional<Ends>> got) -> Result<Verified> {
      if (!got) return fail(got.error());
      if (!*got) got = TRY(read_ends(volume.store(), names[i], segment::kObjectBytesMax));
      return verified(volume, names[i], **got);
    };
    out.push_back(store::reread(volume.store(), look(std::exchange(ends[i], std::optional<Ends>())),
                                [&] { return look(read_ends(volume.store(), names[i], kTailMax)); }));
  }
  return out;
}

}  // namespace

Result<FoundSegments> read_indexes(Executor& executor, Volume& volume, const IndexReadOptions& options) {
  const auto names = TRY(list_segments(volume, options));
  FoundSegments out;
  for (std::size_t begin = 0; begin < names.size(); begin += kIndexesTogether) {
    if (options.stop != nullptr && options.stop->load()) return fail(Code::kCancelled, "stopped");
    if (options.progress) options.progress(begin, names.size());
    const auto chunk = std::span(names).subspan(begin, std::min(kIndexesTogether, names.size() - begin));
    auto read = read_together(executor, volume, chunk);
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      auto& found = read[i];
      if (found)
        out.sound.push_back({found->info, place_of(out.sound.size(), found->index, volume.object().block_size()), checkpoint_mark(found->index)});
      else if (is_damage(found.error()) || is(found, Code::kUnsupported)) out.bad.push_back({chunk[i].name, found.error().message(), chunk[i].length});
      else return fail(found.error());
    }
  }
  return out;
}

Result<std::vector<SegmentIndex>> read_again(Executor& executor, Volume& volume, std::span<const ObjectInfo> infos) {
  std::vector<Named> names;
  for (const ObjectInfo& info : infos)
    names.push_back({segment::object_name(info.kind, info.key.id, info.nonce), {info.kind, info.key.id, info.nonce}, info.length});
  std::vector<SegmentIndex> out;
  for (std::size_t begin = 0; begin < names.size(); begin += kIndexesTogether) {
    const auto chunk = std::span(names).subspan(begin, std::min(kIndexesTogether, names.size() - begin));
    auto read = read_together(executor, volume, chunk);
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      if (!read[i]) return fail(read[i].error().within(chunk[i].name));
      if (read[i]->info.hash != infos[begin + i].hash) return fail(Code::kCorrupt, "{} has changed while it was read", chunk[i].name);
      out.push_back(std::move(read[i]->index));
    }
  }
  return out;
}

}  // namespace s3crate::volume
