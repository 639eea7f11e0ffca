// SPDX-License-Identifier: GPL-3.0-or-later
// StackRun: one seed's run of the whole stack: lives of a process that mounts the volume, clients that use the disk, and everything
// that may go wrong, beside a model of what must be there.
#pragma once

#include <algorithm>
#include <map>
#include <set>

#include "tests/sim/seal_log.h"
#include "tests/sim/stack_model.h"
#include "tests/sim/stack_world.h"

namespace s3crate::sim {

struct StackTotals {
  std::uint64_t seeds = 0, operations = 0, lives = 0, failed_opens = 0, replays = 0, lost_states = 0, writes_lost = 0;
  std::uint64_t flushes = 0, syncs = 0, excused = 0, old_generations = 0, generations = 0, checkpoints = 0, decisions = 0;
  std::uint64_t left_out = 0, failed_closes = 0, refused_opens = 0, resizes = 0, readers = 0, take_overs = 0, pruned = 0;
  FaultCounts faults;
  Failpoints failpoints;
  void add(const StackTotals& other);
  [[nodiscard]] std::uint64_t crashes() const { return faults[Fault::kProcessKilled] + faults[Fault::kPowerCut]; }
  [[nodiscard]] std::string to_string() const;
};

class StackRun {
 public:
  static constexpr std::uint64_t kOperations = 200;

  enum class ReadAhead { no, maybe };

  explicit StackRun(std::uint64_t seed, ReadAhead read_ahead = ReadAhead::maybe);
  // From that I/O step on this is copy number `copy` of a machine that was cloned there, with everything in it, its generator of
  // random bytes too: the clients of each copy write other data, and those of odd ones do other things as well. It ends soon.
  void clone_at(std::uint64_t step, std::uint64_t copy);
  // Failures are those of the current test. `seals`: of all copies.
  void run(SealLog& seals);
  void run() {
    SealLog seals;
    run(seals);
  }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  [[nodiscard]] const StackTotals& totals() const { return totals_; }
  [[nodiscard]] std::uint64_t trace_hash() const { return world_.world.trace_hash(); }

 private:
  struct Faults {
    StoreFaults store;
    DiskFaults disk;
    bool any_store = false, any_disk = false;
    bool lies = false;  // answers that are wrong: no read is sure to work, and none to be right when asked again
  };
  static Faults throw_faults(Dice& dice);
  static device::DiskOptions throw_options(Dice& dice);
  static void throw_read_ahead(device::DiskOptions& options, Dice dice);
  void use_faults(bool on);
  // With S3CRATE_STACK_LOG set every operation is printed, after the I/O step and the newest write's number.
  void log(const std::string& line);

  void life();
  // True when the disk is open and holds what it must.
  bool open(Mount& mount, const device::DiskOptions& options);
  bool check_open_error(const Error& error, const device::DiskOptions& options);
  void check_state(Mount& mount);
  void clients(Mount& mount);
  void client(Mount& mount);
  void operation(Mount& mount);
  // Whether the disk was closed.
  bool end_life(Mount& mount, const device::DiskOptions& options);
  [[nodiscard]] bool has_journal();
  [[nodiscard]] bool may_lack_journal(const device::DiskOptions& options);
  void finish();

  void read(Mount& mount);
  void write(Mount& mount);
  void zero(Mount& mount);
  void flush(Mount& mount);
  void sync(Mount& mount);
  void resize(Mount& mount);
  void seek(Mount& mount);
  void trouble(Mount& mount);
  void read_old_generation(Mount& mount);
  // stack_others.cc
  device::DiskOptions options_of_another();
  SimDisk& another_machine();
  void others(Mount& mount, std::uint64_t which);
  void follow();
  void take_over(Mount& mount);
  void write_beside(Mount& mount, Mount& rival, std::uint64_t number, ByteView image, std::span<const char> lost);
  void succeed(bool closed);
  void prune();
  void damage();
  [[nodiscard]] bool may_be_damaged(std::uint64_t offset, std::uint64_t length, std::uint64_t as_of) const;
  [[nodiscard]] static bool is_damage(Code code);
  Result<Bytes> read_image(Mount& mount, std::vector<char>& lost);
  [[nodiscard]] bool had_faults();
  struct Range {
    std::uint64_t offset, length;
  };
  Range throw_range(std::uint64_t length_max);
  Bytes throw_data(std::uint64_t length);
  // An error of a live process must have a reason.
  void excuse(Mount& mount, const Error& error, bool may_be_wrong, bool may_be_local, std::string_view what);

  const std::uint64_t seed_;
  Dice dice_;
  const Faults faults_;
  const std::uint32_t crash_percent_;
  const bool store_mode_;
  const bool resizes_;  // as read-ahead: not in seeds that were named before
  device::DiskOptions options_;
  StackWorld world_;
  StackModel model_;  // of the largest that the disk may be: what it is less reads as zeros
  std::uint64_t disk_bytes_;
  std::optional<std::uint64_t> resized_to_;  // or this: nobody has heard
  StackTotals totals_;
  std::uint64_t steps_ = 0;
  std::uint64_t copy_ = 0;  // of a cloned machine
  std::uint64_t operations_max_ = kOperations;

  std::uint32_t state_number_ = 0;
  bool may_refuse_ = false;   // the volume may be open, or pending, without a journal here that says by whom
  bool must_refuse_ = false;  // it certainly is open
  bool faults_on_ = false;
  std::uint64_t operations_ = 0;
  std::uint64_t life_operations_ = 0;  // left
  std::uint32_t life_clients_ = 1;
  bool life_over_ = false;
  bool only_trouble_ = false;  // the seed has had its operations, but not its faults
  bool poisoned_ = false;  // the writer had an excused failure and may be of no use until the next mount
  std::map<std::uint64_t, std::shared_ptr<const Bytes>> generations_;

  SimDisk* another_ = nullptr;  // machine
  std::uint64_t others_ = 0;
  std::uint32_t readers_ = 0;           // of the newest generation, under way
  std::multiset<std::uint64_t> reading_;  // old generations, under way
  bool another_writer_ = false;         // in this life
  bool taken_over_ = false;             // this life's writer may find out that it is fenced
  enum class Took { maybe, yes, and_closed };
  struct Successor {
    std::optional<StackModel> model;  // as it is from its point of view; none: it never got one
    Took took;
  };
  std::optional<Successor> successor_;  // what stands in the store after another writer
  bool pruning_ = false;
  std::vector<std::string> condemned_;
  std::uint64_t condemned_in_ = 0;  // that life
};

}  // namespace s3crate::sim
