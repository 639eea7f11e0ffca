// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/gather.h"

#include <algorithm>

namespace s3crate::device {

using cache::PlainExtent;
using segment::ExtentRef;
using volume::Run;

namespace {

Result<PlainExtent> open_pending(const ExtentRef& ref, const PendingExtent& pending, const crypto::OpeningKey& key,
                                 std::uint32_t block_size) {
  Bytes stored;
  ByteView view;
  if (pending.record) {
    stored.resize(pending.length);
    TRY(pending.record->read_extent(pending.offset, stored));
    view = stored;
  } else {
    view = ByteView(*pending.memory).subspan(pending.offset, pending.length);
  }
  return segment::open_extent(key, ref.number, ref.digest, view, block_size);
}

// The extents of one read: those not in the store yet from where they are, all others from the store.
class MixedSource final : public cache::ExtentSource {
 public:
  struct Local {
    PendingExtent extent;
    std::shared_ptr<const crypto::OpeningKey> key;
  };
  MixedSource(cache::ExtentSource& store, std::uint32_t block_size) : store_(store), block_size_(block_size) {}
  void add(const ExtentRef& ref, Local local) { local_.insert_or_assign({ref.object, ref.number}, std::move(local)); }

  std::vector<Result<PlainExtent>> load(std::span<const ExtentRef> refs) override {
    std::vector<ExtentRef> stored;
    for (const ExtentRef& ref : refs)
      if (!local_.contains({ref.object, ref.number})) stored.push_back(ref);
    std::vector<Result<PlainExtent>> from_store;
    if (!stored.empty()) from_store = store_.load(stored);
    std::vector<Result<PlainExtent>> out;
    out.reserve(refs.size());
    auto next = from_store.begin();
    for (const ExtentRef& ref : refs) {
      auto it = local_.find({ref.object, ref.number});
      if (it == local_.end()) out.push_back(std::move(*next++));
      else out.push_back(open_pending(ref, it->second.extent, *it->second.key, block_size_));
    }
    return out;
  }
  void was_used(const ExtentRef& ref) override { store_.was_used(ref); }

 private:
  cache::ExtentSource& store_;
  const std::uint32_t block_size_;
  std::map<std::pair<segment::ObjectKey, std::uint32_t>, Local> local_;
};

}  // namespace

Gather::Gather(BlockIndex from, BlockIndex to, std::uint32_t block_size, MutableByteView out)
    : from_(from), block_size_(block_size), out_(out), rest_{{from, to}} {
  CHECK(from < to && out.size() == (to - from) * block_size);
}

void Gather::zero(BlockIndex from, BlockIndex to) {
  if (!out_.empty()) std::memset(at(from), 0, (to - from) * block_size_);
}

void Gather::note_patch(BlockIndex block, const BlockData& data) {
  if (out_.empty()) return;
  Patch patch{block, data.present, Bytes(data.data(), data.data() + block_size_)};
  patches_.push_back(std::move(patch));
}

void Gather::add_blocks(const std::map<BlockIndex, BlockData>& blocks, const volume::RunMap* holes) {
  if (blocks.empty() && holes == nullptr) return;
  std::vector<Range> rest;
  auto leave = [&](BlockIndex from, BlockIndex to) {
    if (!rest.empty() && rest.back().to == from) rest.back().to = to;
    else rest.push_back({from, to});
  };
  auto around_blocks = [&](BlockIndex from, BlockIndex to) {
    if (from >= to) return;
    if (holes == nullptr) return leave(from, to);
    holes->tile(from, to, [&](const Run& hole) { zero(hole.block, hole.end()); }, leave);
  };
  for (const Range& range : rest_) {
    BlockIndex next = range.from;
    for (auto it = blocks.lower_bound(range.from); it != blocks.end() && it->first < range.to; ++it) {
      around_blocks(next, it->first);
      next = it->first.next();
      if (it->second.full) {
        if (!out_.empty()) std::memcpy(at(it->first), it->second.data(), block_size_);
      } else {
        note_patch(it->first, it->second);
        leave(it->first, next);
      }
    }
    around_blocks(next, range.to);
  }
  rest_ = std::move(rest);
}

void Gather::take(const Run& run, const PendingSegments& pending) {
  if (run.hole) {
    zero(run.block, run.end());
    return;
  }
  Piece piece{run, std::nullopt, nullptr};
  if (run.extent.object.origin == 0) {
    if (auto it = pending.find(run.extent.object.id); it != pending.end()) {
      piece.pending = it->second->extents.at(run.extent.number);
      piece.key = it->second->key;
    }
  }
  pieces_.push_back(std::move(piece));
}

void Gather::add_runs(const volume::RunMap& runs, const PendingSegments& pending) {
  if (runs.empty() || rest_.empty()) return;
  std::vector<Range> rest;
  for (const Range& range : rest_) {
    runs.tile(range.from, range.to, [&](const Run& run) { take(run, pending); },
              [&](BlockIndex from, BlockIndex to) { rest.push_back({from, to}); });
  }
  rest_ = std::move(rest);
}

Result<> Gather::add_tree(volume::PageLoader& pages, const volume::MaybeRoot& root) {
  const PendingSegments none;
  for (const Range& range : rest_)
    TRY(volume::map_lookup(pages, root, range.from, range.to, [&](const Run& run) { take(run, none); }));
  rest_.clear();
  return {};
}

std::vector<Run> Gather::stored_runs() const {
  std::vector<Run> runs;
  for (const Piece& piece : pieces_)
    if (!piece.pending) runs.push_back(piece.run);
  std::ranges::sort(runs, {}, &Run::block);
  return runs;
}

Result<> Gather::finish(cache::ExtentCache& cache, cache::ExtentSource& store, FetchCounts* counts) {
  CHECK(rest_.empty());
  MixedSource source(store, block_size_);
  std::vector<ExtentRef> refs;
  refs.reserve(pieces_.size());
  for (const Piece& piece : pieces_) {
    refs.push_back(piece.run.extent);
    if (piece.pending) source.add(piece.run.extent, {*piece.pending, piece.key});
  }
  auto extents = cache.fetch(refs, source, counts);
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (!extents[i]) return fail(extents[i].error());
    const Run& run = pieces_[i].run;
    std::size_t start = std::size_t{run.first} * block_size_;
    std::size_t length = run.count * block_size_;
    if (start + length > extents[i]->size())
      return fail(Code::kCorrupt, "block {} maps beyond the end of its extent", run.block);
    std::memcpy(at(run.block), extents[i]->data() + start, length);
  }
  for (auto patch = patches_.rbegin(); patch != patches_.rend(); ++patch)
    for (const ByteSet::Range& range : patch->present.ranges())
      std::memcpy(at(patch->block) + range.from, patch->data.data() + range.from, range.to - range.from);
  return {};
}

}  // namespace s3crate::device
