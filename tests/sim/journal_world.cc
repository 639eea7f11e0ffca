// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/journal_world.h"

#include "base/check.h"
#include "segment/codec.h"

namespace s3crate::sim {
namespace {

constexpr std::uint32_t kPatchOffset = 512;

std::pair<std::uint64_t, std::uint64_t> stamps(const journal::RecordBody& body) {
  CHECK(body.patches.size() == 1 && body.patches[0].data.size() == 16);
  std::uint64_t v[2];
  std::memcpy(v, body.patches[0].data.data(), sizeof v);
  return {v[0], v[1]};
}

}  // namespace

class WatchedFile final : public io::File {
 public:
  WatchedFile(WatchedFiles& files, std::unique_ptr<io::File> file)
      : files_(files), file_(std::move(file)) {}
  Result<> read_at(std::uint64_t offset, MutableByteView out) override {
    return file_->read_at(offset, out);
  }
  Result<> write(std::span<const io::WriteOp> ops, io::Sync sync) override {
    if (files_.writes_to_fail > 0) {
      --files_.writes_to_fail;
      if (files_.failing_writes_write) TRY(file_->write(ops, io::Sync::no));
      return fail(files_.write_error, "told to fail");
    }
    for (const io::WriteOp& op : ops) {
      std::uint64_t all = 0, used = 0;
      for (const ByteView part : op.parts) {
        all += part.size();
        if (!all_zero(part)) used = all;
      }
      const std::uint64_t length = (used + journal::kSectorBytes - 1) / journal::kSectorBytes * journal::kSectorBytes;
      files_.writes.push_back({op.offset, length, all - length, files_.syncs});
    }
    TRY(file_->write(ops, io::Sync::no));
    return sync == io::Sync::yes ? datasync() : Result<>();
  }
  Result<> datasync() override {
    const std::uint32_t before = files_.disk_.faults.sync_error_per_million;
    if (files_.syncs_to_fail > 0) {
      --files_.syncs_to_fail;
      files_.disk_.faults.sync_error_per_million = 1'000'000;
    }
    auto done = file_->datasync();
    files_.disk_.faults.sync_error_per_million = before;
    if (done) ++files_.syncs;
    return done;
  }
  Result<std::uint64_t> size() override { return file_->size(); }
  Result<> allocate(std::uint64_t size) override { return file_->allocate(size); }
  Result<io::FileIdentity> identity() override { return file_->identity(); }
  Result<> lock() override { return file_->lock(); }
  void drop_cached(std::uint64_t offset, std::uint64_t size) override { file_->drop_cached(offset, size); }

 private:
  WatchedFiles& files_;
  const std::unique_ptr<io::File> file_;
};

Result<std::unique_ptr<io::File>> WatchedFiles::open(const std::string& path, io::OpenMode mode) {
  return std::make_unique<WatchedFile>(*this, TRY(files_.open(path, mode)));
}

JournalWorld::JournalWorld(std::uint64_t seed, JournalOptions tuned)
    : tunables(tuned),
      dice(seed),
      executor(seed, counts, {.spurious_wakeups_per_million = 10'000}),
      disk(7, dice.fork(1), counts),
      random(dice.fork(2)) {
  CHECK(crypto::initialise());
  keys = crypto::box_key_pair(random);
  random.fill(vid);
}

journal::Options JournalWorld::options() const {
  journal::Options options;
  options.path = "/state/journal";
  options.slot_bytes = tunables.slot_bytes;
  options.file_bytes = journal::kSlotsOffset + std::uint64_t{tunables.slots} * tunables.slot_bytes;
  options.boot.fill(boot);
  return options;
}

void JournalWorld::crash_at(std::uint64_t steps_from_now, bool power) {
  steps.disarm();
  steps.at(steps.count() + steps_from_now, [this, power] {
    counts.add(power ? Fault::kPowerCut : Fault::kProcessKilled);
    incarnation->end();
    power_cut_due_ = power;
  });
}

void JournalWorld::power_cut() {
  disk.power_cut();
  ++boot;
}

bool JournalWorld::life(const std::function<void()>& live) {
  incarnation = std::make_shared<Incarnation>(executor, steps);
  files = std::make_unique<WatchedFiles>(disk, incarnation);
  bool lived = false;
  executor.run([&] {
    auto opened = open(*files);
    if (!opened) {
      EXPECT_TRUE(excused(opened.error())) << opened.error().message();
    } else {
      journal = std::move(*opened);
      auto recovered = recover(*journal);
      if (recovered) {
        live();
        lived = incarnation->alive();
      } else {
        EXPECT_TRUE(excused(recovered.error())) << recovered.error().message();
      }
    }
    held.clear();
    journal.reset();
  });
  incarnation->end();
  if (std::exchange(power_cut_due_, false)) power_cut();
  return lived;
}

bool JournalWorld::excused(const Error& error) const {
  switch (error.code()) {
    case Code::kCancelled:
      return !incarnation->alive();
    case Code::kIo:
      return disk.faults.read_error_per_million + disk.faults.write_error_per_million +
                 disk.faults.sync_error_per_million + disk.faults.directory_sync_error_per_million >
             0;
    case Code::kTransient:
    case Code::kNoSpace:
      return disk.faults.full_per_million > 0 || disk.faults.capacity < kFileSizeMax;
    default:
      return false;
  }
}

Result<std::unique_ptr<journal::Journal>> JournalWorld::open(io::FileIo& io) {
  const Env env{executor, random, executor};
  TRY(io.make_directories("/state"));
  TRY(io.sync_directory("/"));  // the last process may have died before it
  auto opened = journal::Journal::open(env, io, options());
  if (!is(opened, Code::kNotFound)) {
    created = created || opened.has_value();
    return opened;
  }
  EXPECT_FALSE(created) << "the journal is gone";
  auto made = journal::Journal::create(env, io, options(), vid, {});
  created = created || made.has_value();
  return made;
}

Result<> JournalWorld::recover(journal::Journal& opened) {
  EXPECT_EQ(opened.superblock().vid, vid);
  EXPECT_FALSE(opened.was_copied());
  Seq last = committed;
  std::uint64_t stamp = 0;
  std::vector<Held> found;
  const auto open_key = [&](std::uint32_t ring,
                            const segment::SealedSecret& sealed) -> Result<crypto::Secret> {
    EXPECT_EQ(ring, 3u);
    Bytes secret;
    TRY(crypto::box_open(keys.secret, sealed, secret));
    return crypto::Secret::copy_of(secret);
  };
  Seq replayed =
      TRY(opened.replay(committed, open_key, [&](journal::Journal::Replayed batch) -> Result<> {
        EXPECT_EQ(batch.seq, last.next());
        last = batch.seq;
        auto [own, parent] = stamps(batch.body);
        auto& tried = attempts[batch.seq.value];
        EXPECT_TRUE(tried.contains(own)) << "batch " << batch.seq.value << " was never appended";
        // The parent of the first is what the store has, if anything was replayed or appended in
        // order.
        EXPECT_TRUE(stamp == 0 || parent == stamp)
            << "batch " << batch.seq.value << " does not follow the one before it";
        stamp = own;
        if (tried.contains(own)) {
          EXPECT_EQ(batch.body, tried[own].body);
          found.push_back({batch.seq, tried[own], batch.record});
          check_held(found.back());
        }
        return {};
      }));
  ++replays;
  replayed_batches += last - committed;
  EXPECT_EQ(replayed, last);
  EXPECT_GE(replayed, acknowledged);
  acknowledged = appended = replayed;
  if (stamp != 0) last_stamp = stamp;
  attempts.erase(attempts.upper_bound(replayed.value), attempts.end());
  for (Held& one : found) check_held(one);
  held = std::move(found);

  segment::Uuid instance{};
  instance[0] = boot;
  TRY(opened.note_intent(9, instance, Generation(5), {}));
  EXPECT_EQ(opened.superblock().intended_instance, instance);
  auto started = opened.start_incarnation(appended.next(), 3, keys.public_key);
  if (is(started, Code::kNoSpace) &&
      opened.superblock().incarnations.size() == journal::kIncarnationsMax) {
    committed = appended;  // the store gets everything
    opened.release(committed);
    started = opened.start_incarnation(appended.next(), 3, keys.public_key);
  }
  return started;
}

JournalWorld::Batch JournalWorld::make_batch(std::uint32_t extents_max,
                                             std::uint32_t extent_bytes_max) {
  Batch batch;
  batch.stamp = dice.u64() | 1;
  std::uint32_t offset = 0;
  for (std::uint64_t n = dice.below(extents_max + 1); n > 0; --n) {
    Bytes extent(dice.between(segment::kSealedExtentMin, extent_bytes_max));
    random.fill(extent);
    const auto length = static_cast<std::uint32_t>(extent.size());
    batch.body.extents.push_back({1, offset + 1, offset, length, crypto::digest(extent)});
    offset += length;
    batch.extents.push_back(std::move(extent));
  }
  batch.body.disk_bytes = 1 << 30;
  batch.body.patches.push_back({BlockIndex(dice.below(1000)), kPatchOffset, Bytes(16)});
  return batch;
}

Result<journal::RecordPtr> JournalWorld::append_to(journal::Journal& journal, Seq seq,
                                                   const Batch& batch) {
  auto extents = std::make_shared<Bytes>();
  for (const Bytes& extent : batch.extents) s3crate::append(*extents, extent);
  return journal.append(seq, batch.body, std::move(extents));
}

Result<> JournalWorld::append(const Batch& given) {
  Batch batch = given;
  const std::uint64_t v[2] = {batch.stamp, last_stamp};
  std::memcpy(batch.body.patches[0].data.data(), v, sizeof v);
  const Seq seq = appended.next();
  attempts[seq.value][batch.stamp] = batch;
  auto record = TRY(append_to(*journal, seq, batch));
  appended = seq;
  last_stamp = batch.stamp;
  held.push_back({seq, std::move(batch), std::move(record)});
  return {};
}

Result<> JournalWorld::append_many(int count) {
  for (; count > 0; --count) TRY(append());
  return {};
}

Result<> JournalWorld::sync() {
  const Seq target = appended;
  TRY(journal->sync());
  if (!incarnation->alive()) return fail(Code::kCancelled, "too late");
  acknowledged = std::max(acknowledged, target);
  return {};
}

void JournalWorld::release(Seq through) {
  committed = std::max(committed, through);
  acknowledged = std::max(acknowledged, committed);
  journal->release(committed);
}

void JournalWorld::check_held() {
  for (std::size_t i = 0; i < held.size(); ++i) {
    const Held copy = held[i];
    check_held(copy);
  }
}

void JournalWorld::check_held(const Held& one) {
  for (std::size_t i = 0; i < one.batch.extents.size(); ++i) {
    const Bytes& extent = one.batch.extents[i];
    Bytes read(extent.size());
    auto done = one.record->read_extent(one.batch.body.extents[i].offset, read);
    if (!done) {
      EXPECT_TRUE(excused(done.error())) << done.error().message();
    } else {
      const bool known = damaged && crypto::digest(read) != one.batch.body.extents[i].digest;
      EXPECT_TRUE(known || equal(read, extent)) << "batch " << one.seq.value << " reads wrong";
    }
  }
}

}  // namespace s3crate::sim
