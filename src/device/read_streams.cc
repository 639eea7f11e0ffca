// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/read_streams.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace s3crate::device {

ReadStreams::ReadStreams(const ReadStreamsOptions& options)
    : options_(options), disk_end_(options.disk_end) {
  CHECK(options.trigger >= 1 && options.window_min >= 1 &&
        options.window_max >= options.window_min && options.total_max >= 1);
  streams_.reserve(kStreamsMax);
}

const ReadStreams::Stream* ReadStreams::find(Id id) const {
  const auto found = std::ranges::find(streams_, id, &Stream::id);
  return found == streams_.end() ? nullptr : &*found;
}

ReadStreams::Stream* ReadStreams::find(Id id) {
  return const_cast<Stream*>(std::as_const(*this).find(id));
}

// A read that goes on where a stream ended counts for it before all others: two readers may pass
// through the same blocks. (The block before the end may have been read in part.)
ReadStreams::Stream* ReadStreams::home_of(BlockIndex from, BlockIndex to) {
  for (Stream& s : streams_) {
    if (to > s.end && (from == s.end || from.next() == s.end)) return &s;
  }
  for (Stream& s : streams_) {
    if (from >= s.begin && (s.window > 0 ? from <= s.ahead : from < s.end)) return &s;
  }
  return nullptr;
}

bool ReadStreams::is_active(const Stream& stream, MonotonicTime now) const {
  return stream.window > 0 && now - stream.used < kActive;
}

// A place for another one: that of the oldest of those that are not established, if they are as
// many as there may be.
ReadStreams::Stream& ReadStreams::fresh() {
  const auto is_new = [](const Stream& s) { return s.window == 0; };
  const bool among_new =
      std::ranges::count_if(streams_, is_new) >= static_cast<std::ptrdiff_t>(kNewMax);
  if (!among_new && streams_.size() < kStreamsMax) return streams_.emplace_back();
  const auto older = [&](const Stream& a, const Stream& b) {
    if (among_new && is_new(a) != is_new(b)) return is_new(a);
    return a.used != b.used ? a.used < b.used : a.id < b.id;
  };
  Stream& oldest = *std::ranges::min_element(streams_, older);
  oldest = {};
  return oldest;
}

// Joins the stream with those that it has come to touch or to cover. The one that stays.
ReadStreams::Stream* ReadStreams::merge(Stream* stream) {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    Stream& other = streams_[i];
    if (&other == stream || other.begin <= stream->begin || other.begin > stream->end) continue;
    Stream& stays = other.window > 0 && stream->window == 0 ? other : *stream;
    Stream& goes = &stays == &other ? *stream : other;
    stays.begin = std::min(stays.begin, goes.begin);
    stays.end = std::max(stays.end, goes.end);
    stays.reads += goes.reads;
    stays.blocks += goes.blocks;
    stays.used = std::max(stays.used, goes.used);
    stays.window = std::max(stays.window, goes.window);
    stays.ahead_from = std::max(stays.ahead_from, goes.ahead_from);
    stays.ahead = std::max(stays.ahead, goes.ahead);
    const Id id = stays.id;
    goes = std::move(streams_.back());
    streams_.pop_back();
    return merge(find(id));
  }
  return stream;
}

ReadStreams::Id ReadStreams::note(BlockIndex from, BlockIndex to, MonotonicTime now) {
  CHECK(from < to);
  Stream* stream = home_of(from, to);
  bool goes_on = true;
  if (stream == nullptr) {
    stream = &fresh();
    stream->id = ++last_id_;
    stream->begin = from;
    stream->end = to;
    stream->reads = 1;
    stream->blocks = to - from;
    stream->used = now;
  } else {
    stream->used = now;
    goes_on = to > stream->end;
    if (goes_on) {
      ++stream->reads;
      stream->blocks += to - from;
      stream->end = to;
    }
  }
  const BlockIndex end = stream->end;
  stream = merge(stream);
  // One that grows at its beginning is read backwards.
  goes_on &= stream->end == end || stream->begin != from;
  if (stream->end - stream->begin > options_.window_max)
    stream->begin = BlockIndex(stream->end.value - options_.window_max);
  if (stream->window == 0 && goes_on && stream->reads >= options_.trigger) {
    stream->window = std::clamp(stream->blocks, options_.window_min, options_.window_max);
    stream->ahead_from = stream->ahead = stream->end;
  }
  return stream->window > 0 ? stream->id : 0;
}

void ReadStreams::grow(Id id, MonotonicTime now) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->window == 0) return;
  const bool first = stream->grown == MonotonicTime{};
  if (!first && stream->end <= stream->grow_from) return;
  const bool slow = !first && now - stream->grown > kWindowTime;
  if (!slow) stream->window = std::min(stream->window * 2, options_.window_max);
  stream->grown = now;
  stream->grow_from = std::max(stream->ahead, stream->end);
}

void ReadStreams::shrink(Id id) {
  Stream* stream = find(id);
  if (stream != nullptr && stream->window > 0)
    stream->window = std::max(stream->window / 2, options_.window_min);
}

// What one window may hold, if all that are read now hold as much.
std::uint64_t ReadStreams::share(MonotonicTime now) const {
  return std::max<std::uint64_t>(options_.total_max / std::max<std::size_t>(active(now), 1), 1);
}

std::optional<ReadStreams::Piece> ReadStreams::take(Id id, std::uint64_t blocks_max,
                                                    std::uint64_t credit, MonotonicTime now) {
  Stream* stream = find(id);
  if (stream == nullptr || stream->window == 0 || stream->planning) return std::nullopt;
  const std::uint64_t window = std::min(stream->window, share(now));
  const BlockIndex from = std::max(stream->ahead, stream->end);
  const BlockIndex to = std::min(stream->end + window, disk_end_);
  if (from >= to) return std::nullopt;
  // Halves of the window, so that one is on its way while the other is read.
  const std::uint64_t half = std::clamp<std::uint64_t>(window / 2, 1, blocks_max);
  const bool is_small = to - from < half && to < disk_end_;
  if (from > stream->end && (is_small || credit < half)) return std::nullopt;
  const std::uint64_t blocks = std::min({to - from, half, credit});
  if (blocks == 0) return std::nullopt;
  stream->planning = true;
  if (from > stream->ahead) stream->ahead_from = from;  // the reader has overtaken it
  return Piece{id, from, from + blocks};
}

void ReadStreams::planned(Id id, BlockIndex ahead) {
  Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->planning = false;
  stream->ahead = std::max(stream->ahead, ahead);
}

bool ReadStreams::is_ahead(Id id, BlockIndex from, BlockIndex to) const {
  const Stream* stream = find(id);
  return stream != nullptr && from >= stream->ahead_from && to <= stream->ahead;
}

std::size_t ReadStreams::active(MonotonicTime now) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(streams_, [&](const Stream& s) { return is_active(s, now); }));
}

std::uint64_t ReadStreams::window(Id id) const {
  const Stream* stream = find(id);
  return stream == nullptr ? 0 : stream->window;
}

}  // namespace s3crate::device
