// SPDX-License-Identifier: GPL-3.0-or-later
// What others do to the volume of a StackRun while it is mounted: readers, a second writer, whoever prunes, and the store that loses.
// Each is a process on another machine.
#include <gtest/gtest.h>

#include <cinttypes>
#include <cstdio>

#include "device/gather.h"
#include "segment/object_names.h"
#include "tests/sim/stack_run.h"

namespace s3crate::sim {

using namespace std::chrono_literals;

device::DiskOptions StackRun::options_of_another() {
  device::DiskOptions options = options_;
  options.state_dir = fmt::format("/state{}", 1'000'000 + ++others_);
  options.cache_file_bytes = 0;
  options.log = [this](const std::string& line) { log("  log: " + line); };
  return options;
}

SimDisk& StackRun::another_machine() {
  if (another_ == nullptr) another_ = &world_.world.add_disk();
  return *another_;
}

// A reader that mounts the newest generation, whichever that is, sees a prefix of the writes that has all that was stored before.
void StackRun::follow() {
  if (another_writer_) return;
  ++readers_;
  const std::uint64_t least = model_.stored();
  device::DiskOptions options = options_of_another();
  options.read_only = true;
  Mount reader(world_, another_machine(), options);
  std::vector<char> lost;
  auto read = [&]() -> Result<Bytes> {
    TRY(reader.open());
    return read_image(reader, lost);
  };
  auto image = read();
  --readers_;
  if (!image) return excuse(reader, image.error(), faults_on_, true, "reading the newest generation");
  // It may show the other one's writes; and a store that is behind may have shown it a generation of long ago.
  if (another_writer_ || faults_.store.stale_max > 0s) return;
  EXPECT_TRUE(model_.find(*image, std::max(least, model_.base()), lost)) << "another reader sees no prefix of the writes since " << least;
  ++totals_.readers;
}

// Another machine takes the volume over while this one goes on, sleeps, or does not reach the store.
void StackRun::take_over(Mount& mount) {
  if (another_writer_ || taken_over_ || faults_.lies) return;
  log("another writer");
  another_writer_ = true;
  const MonotonicTime until = world_.world.executor().monotonic_now() + std::chrono::minutes(dice_.between(1, 60));
  if (dice_.percent(30)) mount.process().pause_for(until - world_.world.executor().monotonic_now());
  else if (dice_.coin())
    mount.hooks.before = [this, until](store::Verb, const std::string&) -> Result<> {
      if (world_.world.executor().monotonic_now() >= until) return {};
      return fail(Code::kTransient, "no way to the store");
    };
  device::DiskOptions options = options_of_another();
  options.take_over = true;
  Mount rival(world_, another_machine(), options);
  taken_over_ = true;  // at some moment from now on
  std::vector<char> lost;
  auto open = [&]() -> Result<Bytes> {
    TRY(rival.open());
    return read_image(rival, lost);
  };
  auto image = open();
  if (image) {
    // Whatever the first one is told from now on is in vain.
    const auto number = model_.find_newest(*image, model_.stored(), lost);
    EXPECT_TRUE(number) << "what was taken over is no prefix of the writes since " << model_.stored() << ", which were stored\n"
                        << model_.difference(*image);
    if (number) write_beside(mount, rival, *number, *image, lost);
  } else {
    excuse(rival, image.error(), faults_on_, true, "taking over");
    successor_ = Successor{std::nullopt, Took::maybe};
  }
  life_over_ = true;
}

// Two writers, of which one knows nothing of the other yet. `number` is what the second began with, as `image`.
void StackRun::write_beside(Mount& mount, Mount& rival, std::uint64_t number, ByteView image, std::span<const char> lost) {
  ++totals_.take_overs;
  StackModel theirs = model_;
  theirs.lost_local_state();
  theirs.went_back_to(number);
  theirs.stored(number);
  bool sound = true;
  auto must = [&](const auto& done, std::string_view what) {
    if (!done) excuse(rival, done.error(), faults_on_, true, what);
    sound &= done.has_value();
  };
  for (std::uint64_t i = dice_.between(1, 10); i > 0 && sound; --i) {
    const Range range = throw_range(options_.batch_bytes);
    const Bytes data = throw_data(range.length);
    auto written = rival.disk().write(range.offset, data);
    if (written) theirs.write(range.offset, data);
    must(written, "the second writer's write");
    if (dice_.percent(30) && mount.alive() && !poisoned_) dice_.coin() ? write(mount) : read(mount);
    if (dice_.percent(20) && mount.alive() && !poisoned_) sync(mount);
  }
  if (mount.alive() && !poisoned_) sync(mount);
  // (Of changes that change nothing the number does not tell.)
  EXPECT_TRUE(model_.find(image, model_.stored(), lost)) << "a writer was told that its writes are stored after another had taken over";
  if (sound && dice_.coin()) {
    auto closed = rival.close();
    must(closed, "the second writer's close");
    if (closed) theirs.stored(theirs.now());
    successor_ = Successor{std::move(theirs), closed ? Took::and_closed : Took::yes};
    return;
  }
  if (sound) {
    auto synced = rival.disk().sync();
    must(synced, "the second writer's sync");
    if (synced) theirs.stored(theirs.now());
  }
  rival.crash(false);
  theirs.lost_local_state();
  successor_ = Successor{std::move(theirs), Took::yes};
}

// After it nothing of the first writer's local state is of use.
void StackRun::succeed(bool closed) {
  if (!another_writer_) return;
  another_writer_ = taken_over_ = false;
  EXPECT_FALSE(closed && successor_ && successor_->took != Took::maybe) << "a writer closed a volume that another has";
  if (closed) successor_.reset();  // the other one failed before it had won
  if (!successor_) return;
  if (successor_->model) model_ = std::move(*successor_->model);
  else model_.lost_local_state();
  may_refuse_ = successor_->took != Took::and_closed;
  must_refuse_ = false;
  successor_.reset();
  ++state_number_;
}

// In two steps, as prune does it: what no kept generation needs is condemned, and deleted in a later life, when nobody who began
// before can still be reading it.
void StackRun::prune() {
  if (readers_ > 0 || !reading_.empty() || another_writer_) return;
  if (!condemned_.empty() && condemned_in_ < totals_.lives) {
    for (const std::string& name : std::exchange(condemned_, {})) totals_.pruned += world_.bucket().prune(name);
    return;
  }
  pruning_ = true;
  Mount pruner(world_, another_machine(), options_of_another());
  std::vector<Generation> kept;
  for (const auto& [number, image] : generations_) kept.emplace_back(number);
  auto names = world_.unneeded(pruner.env(), pruner.store(), kept);
  pruning_ = false;
  if (!names) return excuse(pruner, names.error(), faults_on_, false, "looking for what is not needed");
  condemned_ = std::move(*names);
  condemned_in_ = totals_.lives;
}

// A segment is lost or spoiled: its blocks of the newest generation may be unreadable from now on, and nothing else.
void StackRun::damage() {
  if (model_.any_unreadable() || readers_ > 0 || !reading_.empty() || another_writer_ || !condemned_.empty()) return;
  Mount looker(world_, another_machine(), options_of_another());
  auto segments = world_.segments(looker.env(), looker.store());
  if (!segments) return excuse(looker, segments.error(), faults_on_, false, "looking for segments");
  if (segments->empty() || readers_ > 0 || !reading_.empty() || another_writer_) return;
  const auto& [name, runs] = *std::next(segments->begin(), static_cast<std::ptrdiff_t>(dice_.below(segments->size())));
  const SimBucket::Data data = world_.bucket().peek(name);
  if (data == nullptr) return;
  for (const segment::Run& run : runs)
    for (BlockIndex block = run.block; block < run.end(); block = block + 1) model_.damage(block.value);
  generations_.clear();
  log("damage to " + name);
  if (dice_.coin()) return world_.bucket().lose(name);
  Bytes spoiled = *data;
  for (int i = 0; i < 20; ++i) spoiled[dice_.below(spoiled.size())] ^= 0x10;
  world_.bucket().replace(name, std::move(spoiled));
}

bool StackRun::may_be_damaged(std::uint64_t offset, std::uint64_t length, std::uint64_t as_of) const {
  if (length == 0) return false;
  for (std::uint64_t block = offset / kStackBlock; block <= (offset + length - 1) / kStackBlock; ++block)
    if (model_.unreadable(block, as_of)) return true;
  return false;
}

bool StackRun::is_damage(Code code) { return code == Code::kCorrupt || code == Code::kNotFound || code == Code::kLost; }

// The whole disk, as long as the model's; in `lost` the blocks that are damaged or gone. The model says whether they may be.
Result<Bytes> StackRun::read_image(Mount& mount, std::vector<char>& lost) {
  const std::uint64_t size = mount.disk().size();
  lost.assign(model_.size() / kStackBlock, 0);
  auto whole = mount.read_all();
  if (whole || !is_damage(whole.error().code())) {
    if (whole) whole->resize(model_.size());
    return whole;
  }
  Bytes image(model_.size());
  for (std::uint64_t at = 0; at < size; at += kStackBlock) {
    auto block = mount.read(at, kStackBlock);
    if (block) std::ranges::copy(*block, image.begin() + static_cast<std::ptrdiff_t>(at));
    else if (is_damage(block.error().code()) && model_.unreadable(at / kStackBlock, model_.base())) lost[at / kStackBlock] = 1;
    else return fail(block.error().within(fmt::format("block {}", at / kStackBlock)));
  }
  return image;
}

}  // namespace s3crate::sim
