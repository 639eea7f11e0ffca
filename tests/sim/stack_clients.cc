// SPDX-License-Identifier: GPL-3.0-or-later
// What the clients of a StackRun do.
#include <gtest/gtest.h>

#include "tests/sim/stack_run.h"

namespace s3crate::sim {

using namespace std::chrono_literals;

namespace {
constexpr std::size_t kGenerationsKept = 5;
}

void StackRun::operation(Mount& mount) {
  const std::uint64_t what = dice_.below(1000);
  if (only_trouble_ && dice_.coin()) return trouble(mount);
  if (what < 250) return read(mount);
  if (what < 620) return write(mount);
  if (what < 740) return zero(mount);
  if (what < 830) return flush(mount);
  if (what < 855) return sync(mount);
  if (what < 885) return seek(mount);
  if (what < 890) return read_old_generation(mount);
  if (what < 900) return trouble(mount);
  if (what < 910) return mount.disk().upload_now();
  if (what < 916 && resizes_ && life_clients_ == 1) return resize(mount);
  if (what < 928 && resizes_) return others(mount, what - 916);
  const std::uint64_t us = std::uint64_t{1} << dice_.below(21);
  world_.sleep(std::chrono::microseconds(us));
}

void StackRun::others(Mount& mount, std::uint64_t which) {
  if (which < 5) return follow();
  if (which < 10) return prune();
  if (which < 11) return damage();
  take_over(mount);
}

void StackRun::excuse(Mount& mount, const Error& error, bool may_be_wrong, bool may_be_local, std::string_view what) {
  if (!mount.alive()) return;
  const Code code = error.code();
  bool excused = poisoned_;
  if (may_be_wrong) excused |= faults_.lies;
  excused |= taken_over_ && (code == Code::kFenced || code == Code::kTransient);  // or does not reach the store
  excused |= only_trouble_ && code == Code::kTransient;  // one outage after the other, longer than anybody waits
  if (may_be_local) excused |= code == Code::kIo && faults_.any_disk;
  EXPECT_TRUE(excused) << what << " failed for no reason: " << code_name(code) << ": " << error.message();
  ++totals_.excused;
}

StackRun::Range StackRun::throw_range(std::uint64_t length_max) {
  const std::uint64_t size = disk_bytes_;
  // Most of it in a few places, so that changes meet.
  std::uint64_t offset = dice_.percent(60) ? dice_.below(std::min<std::uint64_t>(size, 12 * kStackBlock)) : dice_.below(size);
  std::uint64_t length = dice_.between(1, length_max);
  if (dice_.percent(45)) {
    offset = offset / kStackBlock * kStackBlock;
    length = std::min((length / kStackBlock + 1) * kStackBlock, std::max<std::uint64_t>(length_max, kStackBlock));
  } else if (dice_.percent(40)) {
    offset = offset / 512 * 512;
    length = (length / 512 + 1) * 512;
  }
  return {offset, std::min({length, size - offset, std::max<std::uint64_t>(length_max, kStackBlock)})};
}

Bytes StackRun::throw_data(std::uint64_t length) {
  Bytes data(length);
  if (dice_.percent(5)) return data;
  const bool noise = dice_.percent(30);
  std::uint64_t stamp = dice_.u64() ^ copy_;
  for (std::size_t at = 0; at < length; at += 8) {
    if (noise) stamp = dice_.u64() ^ copy_;
    std::memcpy(data.data() + at, &stamp, std::min<std::size_t>(8, length - at));
  }
  return data;
}

void StackRun::read(Mount& mount) {
  const Range range = throw_range(dice_.percent(10) ? disk_bytes_ : 20'000);
  const std::uint64_t since = model_.now();
  log(fmt::format("read {}+{}", range.offset, range.length));
  auto data = mount.read(range.offset, range.length);
  if (!data && is_damage(data.error().code()) && may_be_damaged(range.offset, range.length, since)) return;
  if (!data) return excuse(mount, data.error(), true, true, "read");
  // Of a process that died meanwhile nobody hears anything.
  if (!mount.alive()) return;
  EXPECT_TRUE(model_.could_read(range.offset, *data, since)) << "a read of " << range.length << " bytes at " << range.offset
                                                             << " shows what never was, or is no more";
}

void StackRun::write(Mount& mount) {
  // What is longer than a batch goes in pieces, whose moments only a client alone can know.
  const std::uint64_t batch = options_.batch_bytes;
  const bool alone = life_clients_ == 1;
  const Range range = throw_range(dice_.percent(70) ? std::min<std::uint64_t>(batch, 9000) : alone ? 3 * batch : batch);
  const Bytes data = throw_data(range.length);
  log(fmt::format("write {}+{}", range.offset, range.length));
  auto written = mount.disk().write(range.offset, data);
  // Of a long one that failed some pieces may be in.
  if (written || range.length > batch) {
    for (std::uint64_t at = 0; at < range.length; at += batch)
      model_.write(range.offset + at, ByteView(data).subspan(at, std::min(batch, range.length - at)));
  }
  if (written) return;
  poisoned_ |= faults_.lies || taken_over_;
  excuse(mount, written.error(), true, false, "write");
}

void StackRun::zero(Mount& mount) {
  const Range range = throw_range(dice_.percent(20) ? disk_bytes_ : 40'000);
  log(fmt::format("zero {}+{}", range.offset, range.length));
  auto done = mount.disk().discard(range.offset, range.length);
  if (!done) {
    poisoned_ |= faults_.lies;
    return excuse(mount, done.error(), true, false, "discard");
  }
  model_.zero(range.offset, range.length);
}

void StackRun::flush(Mount& mount) {
  const std::uint64_t through = model_.now();
  const bool in_store = !mount.disk().stats().durable_locally;
  auto flushed = mount.disk().flush();
  if (!mount.alive()) return;
  if (!flushed) {
    poisoned_ |= faults_.lies;
    return excuse(mount, flushed.error(), true, false, "flush");
  }
  ++totals_.flushes;
  log(fmt::format("flushed {}{}", through, in_store ? " to the store" : ""));
  if (in_store) model_.stored(through);
  else model_.flushed(through);
}

void StackRun::sync(Mount& mount) {
  const std::uint64_t through = model_.now();
  auto synced = mount.disk().sync();
  if (!mount.alive()) return;
  if (!synced) {
    poisoned_ |= faults_.lies;
    return excuse(mount, synced.error(), true, false, "sync");
  }
  ++totals_.syncs;
  log(fmt::format("synced {}: generation {}", through, synced->value));
  model_.stored(through);
  if (model_.now() != through || pruning_ || taken_over_ || model_.any_unreadable()) return;
  generations_[synced->value] = std::make_shared<const Bytes>(model_.newest());
  if (generations_.size() <= kGenerationsKept) return;
  generations_.erase(std::next(generations_.begin(), static_cast<std::ptrdiff_t>(dice_.below(kGenerationsKept))));
}

// Of a client alone: what was written before is in the store when the disk has become smaller.
void StackRun::resize(Mount& mount) {
  const std::uint64_t most = model_.size() / kStackBlock, bytes = dice_.between(most / 2, most) * kStackBlock;
  const bool shrinks = bytes < disk_bytes_;
  log(fmt::format("resize {} to {}", disk_bytes_, bytes));
  resized_to_ = bytes;
  if (shrinks) model_.zero(bytes, disk_bytes_ - bytes);
  auto done = mount.disk().resize(bytes, device::DiscardTail::yes);
  if (!mount.alive()) return;
  if (!done) {
    excuse(mount, done.error(), true, false, "resize");
    poisoned_ = true;  // until the next mount tells
    return;
  }
  ++totals_.resizes;
  disk_bytes_ = bytes;
  resized_to_.reset();
  if (shrinks) model_.stored(model_.now());
}

void StackRun::seek(Mount& mount) {
  const std::uint64_t offset = dice_.below(disk_bytes_);
  const bool hole = dice_.coin();
  const std::uint64_t before = model_.now();
  auto found = mount.disk().seek(offset, hole);
  if (!found) return excuse(mount, found.error(), true, true, "seek");
  if (!mount.alive() || model_.now() != before) return;
  const ByteView image = ByteView(model_.newest()).first(disk_bytes_);
  EXPECT_TRUE(*found >= offset && *found <= image.size());
  if (testing::Test::HasFailure()) return;
  const std::uint64_t from = hole ? *found : offset;
  const std::uint64_t to = hole ? std::min<std::uint64_t>(image.size(), (*found / kStackBlock + 1) * kStackBlock) : *found;
  EXPECT_TRUE(all_zero(image.subspan(from, to - from))) << (hole ? "a hole" : "the gap before data") << " holds data";
}

void StackRun::trouble(Mount& mount) {
  StoreFaults& faults = world_.bucket().faults;
  switch (dice_.below(5)) {
    case 0: return world_.world.executor().suspend(std::chrono::minutes(dice_.between(1, 60)));
    case 1: return world_.world.executor().jump_wall(std::chrono::seconds(dice_.below(100'000)) - 50'000s);
    case 2: return mount.process().pause_for(std::chrono::milliseconds(1ull << dice_.below(20)));
    case 3:
      if (!faults_.any_store) return;
      return world_.bucket().outage_until(world_.world.executor().monotonic_now() + std::chrono::seconds(dice_.between(1, 300)));
    default:
      if (!faults_.any_store) return;
      faults.quota_bytes = 0;
      world_.sleep(std::chrono::seconds(dice_.between(1, 60)));
      world_.bucket().faults.quota_bytes = UINT64_MAX;
  }
}

void StackRun::read_old_generation(Mount& mount) {
  if (generations_.empty()) return;
  auto it = std::next(generations_.begin(), static_cast<std::ptrdiff_t>(dice_.below(generations_.size())));
  const auto [number, image] = *it;
  generations_.erase(it);
  const auto reading = reading_.insert(number);
  auto data = world_.read_generation(mount.env(), mount.store(), Generation(number));
  reading_.erase(reading);
  if (!data) return excuse(mount, data.error(), faults_on_, false, "reading an old generation");
  data->resize(image->size());
  EXPECT_TRUE(*data == *image) << "generation " << number << " is not what it was";
  ++totals_.old_generations;
}

}  // namespace s3crate::sim
