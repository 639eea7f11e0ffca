// SPDX-License-Identifier: GPL-3.0-or-later
// World: what outlives processes: one seed, time, disks, a bucket, the fault counts. Process: the edges of one
// incarnation, handed to a stack.
//
// The driver's loop: start a Process, build a stack on its edges, use it until alive() is false, destroy the stack
// (its edges are inert now), then the Process, and start the next. All of it inside World::run().
#pragma once

#include <optional>

#include "store/dir_store.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_file_io.h"
#include "tests/sim/sim_store.h"

namespace s3crate::sim {

class World;

class Process {
 public:
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] Env env();
  [[nodiscard]] io::FileIo& file_io() { return file_io_; }
  [[nodiscard]] store::ObjectStore& store() {
    if (directory_) return *directory_;
    return store_;
  }
  // Instead of in the bucket.
  void keep_objects_in(const std::string& directory) { directory_.emplace(file_io_, random_, directory); }
  [[nodiscard]] bool alive() const { return incarnation_->alive(); }

  // kill -9: what it wrote stays in the page cache, its locks are gone, its requests in flight may still land.
  void kill();
  // SIGSTOP for that long, as far as the world can tell: its I/O stands still.
  void pause_for(Duration duration);

 private:
  friend class World;
  Process(World& world, SimDisk& disk);

  World& world_;
  SimDisk& disk_;
  const std::shared_ptr<Incarnation> incarnation_;
  SimRandom random_;
  SimFileIo file_io_;
  SimStore store_;
  std::optional<store::DirStore> directory_;
};

class World {
 public:
  explicit World(std::uint64_t seed, ExecutorOptions options = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  void run(std::function<void()> main) { executor_.run(std::move(main)); }

  // Another machine's disk. The first is there from the start.
  SimDisk& add_disk();
  [[nodiscard]] SimDisk& disk() { return *disks_.front(); }
  [[nodiscard]] SimBucket& bucket() { return bucket_; }
  [[nodiscard]] SimExecutor& executor() { return executor_; }
  [[nodiscard]] FaultCounts& faults() { return faults_; }
  [[nodiscard]] Dice& dice() { return dice_; }  // the driver's
  [[nodiscard]] Steps& steps() { return steps_; }
  [[nodiscard]] std::uint64_t trace_hash() const { return executor_.trace_hash(); }

  [[nodiscard]] std::unique_ptr<Process> start() { return start(disk()); }
  [[nodiscard]] std::unique_ptr<Process> start(SimDisk& disk);

  // Ends every process on that disk, then drops what was not synced.
  void power_cut(SimDisk& disk);
  // The same, or kill(), instead of I/O step number `step` of the world.
  void power_cut_at(std::uint64_t step, SimDisk& disk);
  void kill_at(std::uint64_t step, Process& process);  // nothing happens if it is gone by then

 private:
  friend class Process;

  FaultCounts faults_;
  Dice dice_;
  SimExecutor executor_;
  Steps steps_;
  SimBucket bucket_;
  std::vector<std::unique_ptr<SimDisk>> disks_;
  std::vector<Process*> processes_;
};

}  // namespace s3crate::sim
