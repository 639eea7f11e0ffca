// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/stack_run.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace s3crate::sim {

using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t kOperationsOfCopy = 20;

StackFormat throw_format(Dice dice) {
  StackFormat format;
  format.disk_bytes = kStackBlock * dice.between(64, dice.percent(80) ? 128 : 512);
  format.extent_bytes = kStackBlock << dice.below(5);
  return format;
}

ExecutorOptions executor_options(Dice dice) {
  return {.max_decisions = 20'000'000, .stay_percent = dice.coin() ? 50u : 0u, .spurious_wakeups_per_million = 5'000};
}

Duration some_ms(Dice& dice, std::uint64_t max) { return std::chrono::microseconds(dice.below(max * 1000) + 1); }

}  // namespace

void StackTotals::add(const StackTotals& o) {
  seeds += o.seeds, operations += o.operations, lives += o.lives, failed_opens += o.failed_opens, replays += o.replays;
  lost_states += o.lost_states, writes_lost += o.writes_lost, flushes += o.flushes, syncs += o.syncs, excused += o.excused;
  old_generations += o.old_generations, generations += o.generations, checkpoints += o.checkpoints, decisions += o.decisions;
  left_out += o.left_out, failed_closes += o.failed_closes, refused_opens += o.refused_opens, resizes += o.resizes;
  readers += o.readers, take_overs += o.take_overs, pruned += o.pruned;
  faults.add(o.faults);
  failpoints.add(o.failpoints);
}

std::string StackTotals::to_string() const {
  return fmt::format("{} seeds: {} operations, {} lives, {} crashes, {} failed opens, {} refused, {} replays, {} states lost,\n"
                     "  {} unflushed writes lost, {} flushes, {} syncs, {} generations, {} checkpoints, {} extents left out,\n"
                     "  {} resizes, {} old generations read back, {} closes failed, {} errors excused by a fault, {} decisions,\n"
                     "  {} readers of the newest, {} take-overs, {} objects pruned\n{}{}",
                     seeds, operations, lives, crashes(), failed_opens,
                     refused_opens, replays, lost_states, writes_lost, flushes, syncs, generations, checkpoints, left_out,
                     resizes, old_generations, failed_closes, excused, decisions, readers, take_overs, pruned, faults.to_string(),
                     failpoints.to_string());
}

StackRun::StackRun(std::uint64_t seed, ReadAhead read_ahead)
    : seed_(seed),
      dice_(seed),
      faults_(throw_faults(dice_)),
      crash_percent_(dice_.coin() ? 80 : 30),
      store_mode_(dice_.percent(15)),
      resizes_(read_ahead == ReadAhead::maybe),
      options_(throw_options(dice_)),
      world_(seed, throw_format(Dice(seed + 1)), executor_options(Dice(seed + 2))),
      model_(throw_format(Dice(seed + 1)).disk_bytes),
      disk_bytes_(model_.size()) {
  if (read_ahead == ReadAhead::maybe) throw_read_ahead(options_, Dice(seed + 3));
  if (seed % 4 != 3) return;
  // Long ways from one checkpoint to the next, so that commits repeat much.
  options_.checkpoint_runs = options_.checkpoint_commits = 10'000;
  options_.delta_runs_max = 1000;
}

StackRun::Faults StackRun::throw_faults(Dice& dice) {
  Faults out;
  out.store.latency_max = dice.coin() ? 20ms : 1ms;
  out.disk.sync_latency_max = 1ms;
  auto some = [&](std::uint32_t percent, std::uint32_t per_million) -> std::uint32_t {
    return dice.percent(percent) ? static_cast<std::uint32_t>(dice.between(1, per_million)) : 0;
  };
  out.store.tells_time = dice.coin();
  out.any_store = dice.percent(70);
  if (out.any_store) {
    out.store.late_max = dice.coin() ? 2min : 1s;
    out.store.outage_max = dice.coin() ? 60s : 1s;
    out.store.transient_before_per_million = some(60, 100'000);
    out.store.reply_lost_per_million = some(50, 100'000);
    out.store.late_per_million = some(50, 50'000);
    out.store.twice_per_million = some(40, 50'000);
    out.store.own_put_exists_per_million = some(40, 50'000);
    out.store.outage_per_million = some(30, 5'000);
    out.store.bit_flip_per_million = some(15, 20'000);
    out.store.truncated_per_million = some(15, 20'000);
    if (dice.percent(10)) out.store.stale_max = 5s;
    out.store.verifies_puts = !dice.percent(20);
    out.lies = out.store.bit_flip_per_million + out.store.truncated_per_million > 0 || out.store.stale_max > 0s;
  }
  out.any_disk = dice.percent(50);
  out.any_store |= !out.any_disk;  // if only by outages and a full store
  if (out.any_disk) {
    out.disk.sync_error_per_million = some(60, 100'000);
    out.disk.write_error_per_million = some(30, 5'000);
    out.disk.read_error_per_million = some(30, 2'000);
    out.disk.directory_sync_error_per_million = some(30, 50'000);
    out.disk.full_per_million = some(40, 20'000);
  }
  return out;
}

device::DiskOptions StackRun::throw_options(Dice& dice) {
  device::DiskOptions options = small_options();
  options.batch_bytes = kStackBlock << dice.between(1, 3);
  options.journal_slot_bytes = static_cast<std::uint32_t>(std::max<std::uint64_t>(32 << 10, options.batch_bytes * 2));
  options.journal_bytes = (1 << 20) + dice.between(3, 16) * options.journal_slot_bytes;
  options.dirty_max = options.batch_bytes * dice.between(1, 5);
  options.batch_delay = some_ms(dice, 20);
  options.upload_delay = some_ms(dice, dice.coin() ? 20 : 1000);
  options.upload_threads = static_cast<std::uint32_t>(dice.between(1, 4));
  options.generations_in_flight = static_cast<std::uint32_t>(dice.between(1, 4));
  options.block_cache_bytes = dice.below(256 << 10);
  options.cache_file_bytes = dice.percent(30) ? 0 : 4096 + dice.between(8, 40) * options.cache_file_chunk_bytes;
  options.segment_bytes = static_cast<std::uint32_t>(dice.between(8, 64) << 10);
  options.checkpoint_runs = dice.between(5, 40);
  options.checkpoint_commits = static_cast<std::uint32_t>(dice.between(2, 40));
  options.delta_runs_max = dice.between(100, 300);
  options.page_bytes = static_cast<std::uint32_t>(dice.between(400, 6000));
  return options;
}

void StackRun::throw_read_ahead(device::DiskOptions& options, Dice dice) {
  if (dice.percent(30)) return;
  options.read_ahead_bytes = dice.between(4 << 10, 256 << 10);
  options.read_ahead_trigger = dice.between(1, 3);
  options.read_ahead_threads = static_cast<std::uint32_t>(dice.between(1, 3));
}

void StackRun::use_faults(bool on) {
  faults_on_ = on;
  world_.bucket().faults = on ? faults_.store : StoreFaults{.latency_max = 1ms};
  world_.bucket().faults.verifies_puts = faults_.store.verifies_puts;
  world_.world.disk().faults = on ? faults_.disk : DiskFaults{};
  if (!on) world_.bucket().outage_until({});
}

void StackRun::log(const std::string& line) {
  static const bool wanted = std::getenv("S3CRATE_STACK_LOG") != nullptr;
  if (wanted) fmt::print("{:>6} {:>12} {}\n", world_.world.steps().count(), model_.now(), line);
}

void StackRun::clone_at(std::uint64_t step, std::uint64_t copy) {
  world_.world.steps().at(step, [this, copy] {
    copy_ = copy;
    if (copy % 2 != 0) dice_ = Dice(seed_ ^ copy);
    operations_max_ = std::min(operations_max_, operations_ + kOperationsOfCopy);
    life_operations_ = std::min(life_operations_, kOperationsOfCopy);
  });
}

void StackRun::run(SealLog& seals) {
  SCOPED_TRACE(fmt::format("seed {}", seed_));
  SealLog::Listener listener(seals);
  world_.run([&] {
    while (operations_ < operations_max_ && !testing::Test::HasFailure()) life();
    only_trouble_ = true;
    while (copy_ == 0 && !had_faults() && !testing::Test::HasFailure()) life();
    if (!testing::Test::HasFailure() && copy_ == 0) finish();
    steps_ = world_.world.steps().count();
  });
  EXPECT_TRUE(world_.was_written_once());
  EXPECT_EQ(seals.reused(), 0u) << "a key and a nonce sealed two contents";
  totals_.seeds = 1;
  totals_.operations = operations_;
  totals_.decisions = world_.world.executor().decisions();
  totals_.faults = world_.world.faults();
  totals_.failpoints = world_.world.steps().failpoints;
  if (testing::Test::HasFailure()) fmt::print("failed: stack seed {}\n", seed_);
}

// At least one crash, and two kinds of fault besides.
bool StackRun::had_faults() {
  const FaultCounts& counts = world_.world.faults();
  std::uint64_t kinds = 0;
  for (std::size_t i = 0; i < kFaultCount; ++i) {
    const auto fault = static_cast<Fault>(i);
    if (fault == Fault::kProcessKilled || fault == Fault::kPowerCut || fault == Fault::kSpuriousWakeup) continue;
    kinds += counts[fault] > 0;
  }
  return kinds >= 2 && counts[Fault::kProcessKilled] + counts[Fault::kPowerCut] > 0;
}

// --- a life ------------------------------------------------------------------------------------------------------------------

void StackRun::life() {
  ++totals_.lives;
  model_.trim();
  use_faults(true);
  device::DiskOptions options = options_;
  options.state_dir = fmt::format("/state{}", state_number_);
  options.durability = store_mode_ != dice_.percent(10) ? device::Durability::store : device::Durability::local;
  options.take_over = may_refuse_ && dice_.percent(70);
  options.log = [this](const std::string& line) { log("  log: " + line); };
  life_over_ = poisoned_ = false;
  Mount mount(world_, world_.world.disk(), options);
  mount.on_crash = [this] {
    life_over_ = true;
    log("crash");
  };
  log(fmt::format("life {}: {}, {}{}", totals_.lives, options.state_dir,
                  options.durability == device::Durability::store ? "store" : "local", options.take_over ? ", take over" : ""));
  if (dice_.percent(only_trouble_ ? 80 : crash_percent_)) mount.crash_after(dice_.below(dice_.percent(25) ? 60 : 1500), dice_.coin());
  if (!open(mount, options)) {
    may_refuse_ |= may_lack_journal(options);  // it may have won `open` before
    must_refuse_ &= !options.take_over;
    return;
  }
  clients(mount);
  succeed(end_life(mount, options));
}

// Without one nothing says that the newest term was ours. (What stands there after a life without one may be an older one's.)
bool StackRun::may_lack_journal(const device::DiskOptions& options) {
  return options.durability == device::Durability::store || !has_journal();
}

bool StackRun::has_journal() {
  return world_.world.disk().find(fmt::format("/state{}/{}/journal", state_number_, to_hex(world_.vid))).has_value();
}

bool StackRun::open(Mount& mount, const device::DiskOptions& options) {
  auto opened = mount.open();
  if (!opened) {
    if (mount.alive() && check_open_error(opened.error(), options)) world_.sleep(some_ms(dice_, 5000));
    log("open failed: " + opened.error().message());
    ++totals_.failed_opens;
    return false;
  }
  if (!mount.alive()) return false;
  EXPECT_TRUE(!must_refuse_ || options.take_over) << "opened beside somebody else's term";
  may_refuse_ = must_refuse_ = false;
  check_state(mount);
  return mount.alive() && !testing::Test::HasFailure();
}

// Whether to wait a little before the next try.
bool StackRun::check_open_error(const Error& error, const device::DiskOptions& options) {
  if (error.code() == Code::kFenced && may_refuse_ && !options.take_over) {
    ++totals_.refused_opens;
    return false;
  }
  bool excused = faults_.lies;
  // A commit of a dead process may have landed between the look at the head and `open`: it is taken for somebody else's if no
  // journal tells, and from then on nothing but --take-over helps.
  const FaultCounts& counts = world_.world.faults();
  if (error.code() == Code::kFenced && counts[Fault::kStoreLateAfterCrash] + counts[Fault::kStoreLate] > 0 && may_lack_journal(options))
    excused = may_refuse_ = true;
  if (error.code() == Code::kIo || error.code() == Code::kNoSpace || error.code() == Code::kTransient) excused |= faults_.any_disk;
  EXPECT_TRUE(excused) << code_name(error.code()) << ": " << error.message();
  ++totals_.excused;
  return true;
}

void StackRun::check_state(Mount& mount) {
  const bool faults = faults_on_;
  use_faults(false);
  std::vector<char> lost;
  auto image = read_image(mount, lost);
  for (int i = 0; i < 3 && !image && mount.alive() && faults_.store.stale_max > 0s; ++i) {
    world_.sleep(faults_.store.stale_max);
    image = read_image(mount, lost);
  }
  if (faults) use_faults(true);
  if (!mount.alive()) return;
  if (!image) {
    ADD_FAILURE() << "reading everything after open: " << image.error().message();
    return;
  }
  const std::uint64_t size = mount.disk().size();
  EXPECT_TRUE(size == disk_bytes_ || size == resized_to_) << size;
  disk_bytes_ = size;
  resized_to_.reset();
  const auto number = model_.find_newest(*image, model_.flushed(), lost);
  if (!number) {
    const auto any = model_.find(*image, model_.stored(), lost);
    ADD_FAILURE() << "the disk holds no prefix of the writes from " << model_.flushed() << " (flushed) to " << model_.now()
                  << (any ? fmt::format(", but it is number {}", *any) : std::string()) << "; stored " << model_.stored() << "\n"
                  << model_.difference(*image);
    return;
  }
  totals_.writes_lost += model_.now() - *number;
  totals_.replays += mount.disk().stats().batches_recovered > 0;
  log(fmt::format("open: {} of {}", *number, model_.now()));
  model_.went_back_to(*number);
  // What was played back is durable, or in the store.
  model_.flushed(*number);
}

void StackRun::clients(Mount& mount) {
  life_operations_ = only_trouble_ ? 20 : dice_.between(1, 120);
  life_clients_ = static_cast<std::uint32_t>(dice_.between(1, 3));
  std::vector<std::unique_ptr<Task>> tasks;
  for (std::uint32_t i = 0; i < life_clients_; ++i)
    tasks.push_back(world_.world.executor().spawn("client", [&] { client(mount); }));
}

void StackRun::client(Mount& mount) {
  while (!life_over_ && life_operations_ > 0 && (only_trouble_ || operations_ < kOperations + 50)) {
    --life_operations_;
    ++operations_;
    operation(mount);
    if (testing::Test::HasFailure() || !mount.alive() || poisoned_) life_over_ = true;
  }
}

bool StackRun::end_life(Mount& mount, const device::DiskOptions& options) {
  if (mount.alive() && mount.is_open()) {
    totals_.checkpoints += mount.disk().stats().checkpoints;
    totals_.left_out += mount.disk().stats().extents_left_out;
    totals_.generations += mount.disk().stats().commits;
  }
  bool closed = false, surely_open = true;
  if (mount.alive() && !poisoned_ && dice_.percent(60)) {
    surely_open = false;
    auto done = mount.close(dice_.percent(80) ? 10min : some_ms(dice_, 100));
    closed = done.has_value();
    log(closed ? "closed" : "close failed: " + done.error().message());
    if (done) model_.stored(model_.now());
    else ++totals_.failed_closes;
  } else if (mount.alive()) {
    mount.crash(dice_.percent(20));
  }
  const bool lost = dice_.percent(12);
  may_refuse_ |= !closed && (lost || may_lack_journal(options));
  must_refuse_ |= surely_open && (lost || !has_journal());
  if (lost) {
    ++totals_.lost_states;
    ++state_number_;
    model_.lost_local_state();
  }
  return closed;
}

void StackRun::finish() {
  world_.sleep(1min);
  use_faults(false);
  world_.bucket().settle_all();
  for (int i = 0; i < 2; ++i) {
    device::DiskOptions options = options_;
    options.state_dir = fmt::format("/state{}", state_number_);
    options.take_over = may_refuse_;
    Mount mount(world_, world_.world.disk(), options);
    if (auto opened = mount.open(); !opened) {
      ADD_FAILURE() << "the last open: " << opened.error().message();
      return;
    }
    may_refuse_ = must_refuse_ = false;
    check_state(mount);
    if (testing::Test::HasFailure()) return;
    while (!generations_.empty() && i == 0) read_old_generation(mount);
    auto closed = mount.close();
    EXPECT_TRUE(closed) << closed.error().message();
    model_.stored(model_.now());
    ++state_number_;
  }
}

}  // namespace s3crate::sim
