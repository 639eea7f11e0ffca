// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/encoder.h"

#include <algorithm>
#include <new>

namespace s3crate::device {

namespace {
// Encoded bytes stay in memory until they are durable: so much of them, or an eighth of the journal.
constexpr std::uint64_t kUnsyncedMax = 16 << 20;
constexpr Duration kRoomPause = std::chrono::seconds(1);
constexpr int kEmptyTries = 3;
// Who seal a batch together: what a processor seals and hashes is some 600 MB/s.
constexpr std::size_t kCrewMax = 4;
}  // namespace

// What becomes of one batch.
struct Encoder::Draft {
  EncodedBatch batch;
  journal::RecordBody body;
  Bytes stored;  // all extents, one behind the other
};

Encoder::Encoder(Env env, Head& head, volume::PageLoader& pages, const volume::KeyRing& keys, volume::Chain& chain,
                 journal::Journal* journal, const EncoderOptions& options, std::function<void(const Error&)> trouble,
                 std::function<void()> ask_for_room)
    : env_(env),
      head_(head),
      pages_(pages),
      journal_(journal),
      options_(options),
      trouble_(std::move(trouble)),
      ask_for_room_(std::move(ask_for_room)),
      unsynced_max_(journal != nullptr ? std::min(kUnsyncedMax, journal->stats().capacity_bytes / 8) : 0),
      crew_(env.executor, "encoder-crew", std::min(env.executor.processors(), kCrewMax) - 1),
      sealer_(env, keys, chain, options_, counters_, &crew_) {}

Encoder::~Encoder() = default;

void Encoder::start() {
  if (journal_ != nullptr) syncer_ = std::make_unique<JournalSyncer>(env_.executor, *journal_, unsynced_max_, trouble_);
  task_ = env_.executor.spawn("encoder", [this] { run(); });
}

void Encoder::join() {
  task_.reset();
  syncer_.reset();
}

void Encoder::run() {
  while (const auto frozen = head_.wait_for_batch(options_.batch_delay)) {
    Result<> encoded;
    try {
      encoded = encode_through(*frozen, nullptr);
    } catch (const std::bad_alloc&) {
      trouble_({Code::kTransient, "no memory to encode what was written; tried again"});
      nap(env_.clock, env_.executor, kRoomPause);
      continue;
    }
    if (!encoded && encoded.error().code() == Code::kCancelled) return;
    if (!encoded) {
      head_.fail_writes(encoded.error());
      return;
    }
    if (journal_ == nullptr || journal_failed_) continue;
    // What cannot be made durable stays in memory: there must be an end to it.
    if (const auto synced = syncer_->appended(); !synced && journal_->unsynced_bytes() > 4 * unsynced_max_) give_journal_up(synced.error());
  }
}

Result<> Encoder::encode_through(Seq through, StopFlag stop, MonotonicTime deadline) {
  for (int in_vain = 0;;) {
    auto encoding = TRY(head_.begin_encoding(through));
    if (!encoding) return {};
    EncodedBatch encoded;
    // What is released from here on is room that a failed try has not seen.
    const std::uint64_t used = journal_ != nullptr ? journal_->stats().used_bytes : 0;
    Result<> done;
    try {
      done = encode_one(*encoding, encoded);
    } catch (const std::bad_alloc&) {
      sealer_.close_segment();
      head_.end_encoding(*encoding, nullptr);
      throw;
    }
    // Its numbers are used up, and it pins the records of a generation that may be stored meanwhile.
    if (!done) sealer_.close_segment();
    head_.end_encoding(*encoding, done ? &encoded : nullptr);
    if (done) continue;
    if (!is(done, Code::kNoSpace) && !is(done, Code::kTransient)) return done;
    // An empty journal whose disk is full: nothing that the store gets makes room there.
    if (used == 0 && is(done, Code::kTransient) && ++in_vain == kEmptyTries) give_journal_up(done.error());
    else TRY(wait_for_room(done.error(), used, stop, deadline));
  }
}

// What is missing in the journal, or not durable there, ends what it can replay: from now on only the store makes anything durable.
void Encoder::give_journal_up(const Error& why) {
  trouble_(why.within("the journal failed; fsync waits for the store from now on"));
  journal_failed_ = true;
}

// Whole holes that are holes already change nothing.
void Encoder::add_hole(BlockIndex from, BlockIndex to, Draft& draft) {
  if (head_.surely_hole(from, to, pages_)) return;
  draft.batch.holes.push_back({.block = from, .count = to - from, .hole = true, .first = 0, .extent = {}});
  draft.body.holes.push_back({from, to - from});
}

Result<> Encoder::encode_data(Seq seq, std::span<const BlockIndex> blocks, std::span<const ByteView> raws, Draft& draft) {
  auto sealed = TRY(sealer_.seal(raws, draft.stored));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    auto& [segment, extent, ordinal] = sealed[i];
    // Every record names the segments it uses: one that a failed append left on the disk may be all that replay finds of its batch,
    // after the batch that began the segment was stored and its record is gone.
    if (draft.body.segments.empty() || draft.body.segments.back().ordinal != ordinal)
      draft.body.segments.push_back({ordinal, segment->ring, segment->sealed_secret});
    const std::uint64_t count = raws[i].size() / options_.block_size;
    const auto index = static_cast<std::uint32_t>(draft.body.extents.size());
    draft.body.extents.push_back({ordinal, extent.number, extent.offset, extent.length, extent.digest});
    draft.body.runs.push_back({blocks[i], static_cast<std::uint32_t>(count), index, 0});
    draft.batch.runs.push_back(run_of(blocks[i], count, sealed[i]));
    extent.seq = seq;
    draft.batch.extents.emplace_back(segment, std::move(extent));
  }
  return {};
}

Result<> Encoder::encode_blocks(const Batch& batch, Draft& draft) {
  volume::RunMap zeros;
  std::vector<BlockIndex> blocks;
  std::vector<ByteView> raws;
  std::deque<Bytes> joined;
  const auto data = [&](BlockIndex block, ByteView raw) {
    blocks.push_back(block);
    raws.push_back(raw);
  };
  for_each_extent(batch.blocks(), options_.block_size, options_.extent_bytes, joined, data, [&](BlockIndex block, std::uint64_t count) {
    counters_.zero_blocks += count;
    zeros.put({.block = block, .count = count, .hole = true, .first = 0, .extent = {}});
  });
  TRY(encode_data(batch.seq, blocks, raws, draft));
  for (const volume::Run& run : zeros.runs()) add_hole(run.block, run.end(), draft);
  for (const auto& [block, content] : batch.blocks()) {
    if (content.full) continue;
    counters_.patches++;
    BlockData patch;
    patch.buffer = std::make_shared<Buffer>(options_.block_size, true);
    patch.present = content.present;
    for (const ByteSet::Range& range : content.present.ranges()) {
      std::memcpy(patch.data() + range.from, content.data() + range.from, range.to - range.from);
      draft.body.patches.push_back({block, range.from, Bytes(content.data() + range.from, content.data() + range.to)});
    }
    draft.batch.patches.emplace_back(block, std::move(patch));
  }
  return {};
}

Result<> Encoder::append(const Batch& batch, Draft& draft) {
  draft.body.disk_bytes = batch.disk_bytes;
  // Kept until it is durable, or even stored, and counted by what is in it: what shrank must not hold what it could have been.
  if (draft.stored.capacity() - draft.stored.size() > draft.stored.size() / 8) draft.stored.shrink_to_fit();
  const auto stored = draft.stored.empty() ? nullptr : std::make_shared<const Bytes>(std::move(draft.stored));
  if (journal_ != nullptr && !journal_failed_) {
    auto record = journal_->append(batch.seq, draft.body, stored);
    if (record) {
      for (auto& [segment, extent] : draft.batch.extents) extent.record = *record;
      return {};
    }
    // kDenied: the disk under it was remounted read-only.
    if (!is(record, Code::kIo) && !is(record, Code::kDenied)) return fail(record.error());
    give_journal_up(record.error());
  }
  for (auto& [segment, extent] : draft.batch.extents) extent.memory = stored;
  return {};
}

Result<> Encoder::encode_one(const Head::Encoding& encoding, EncodedBatch& out) {
  // A cut closed the segment together with its generation.
  if (sealer_generation_ != encoding.generation) sealer_.close_segment();
  sealer_generation_ = encoding.generation;
  const Batch& batch = *encoding.batch;
  Draft draft;
  draft.stored.reserve(batch.bytes() + batch.bytes() / 64);  // of 4 KiB blocks each costs 48 bytes more
  for (const volume::Run& hole : batch.holes().runs()) add_hole(hole.block, hole.end(), draft);
  TRY(encode_blocks(batch, draft));
  TRY(append(batch, draft));
  out = std::move(draft.batch);
  return {};
}

Result<> Encoder::wait_for_room(const Error& why, std::uint64_t used, StopFlag stop, MonotonicTime deadline) {
  trouble_(why);
  if (used > 0) ask_for_room_();
  if (auto synced = journal_->sync(); !synced) trouble_(synced.error());
  MutexLock lock(head_.mutex());
  const MonotonicTime enough = env_.clock.monotonic_now() + kRoomPause;
  for (;;) {
    if (head_.stopped_locked()) return fail(Code::kCancelled, "the disk is closing");
    // What a fenced writer has in its journal stays there.
    if (head_.failure_locked()) return fail(*head_.failure_locked());
    if (is_set(stop)) return fail(Code::kCancelled, "stopped waiting for room in the journal");
    const MonotonicTime now = env_.clock.monotonic_now();
    if (now >= deadline) return fail(Code::kCancelled, "the journal is full and the store is away: what was never fsynced is lost");
    if (journal_->stats().used_bytes < used || now >= enough) return {};
    head_.changed().wait_until(head_.mutex(), std::min({enough, deadline, stop == nullptr ? enough : now + kStopPoll}));
  }
}

}  // namespace s3crate::device
