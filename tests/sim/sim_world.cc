// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/sim/sim_world.h"

#include <algorithm>

namespace s3crate::sim {

Process::Process(World& world, SimDisk& disk)
    : world_(world),
      disk_(disk),
      incarnation_(std::make_shared<Incarnation>(world.executor_, world.steps_)),
      random_(world.dice_.fork(3)),
      file_io_(disk, incarnation_),
      store_(world.bucket_, incarnation_) {
  world_.processes_.push_back(this);
}

Process::~Process() {
  // It has ended, cleanly or not: a File that somebody kept must not reach the disk any more.
  incarnation_->end();
  std::erase(world_.processes_, this);
}

Env Process::env() { return {world_.executor_, random_, world_.executor_}; }

void Process::kill() {
  if (!alive()) return;
  world_.faults_.add(Fault::kProcessKilled);
  incarnation_->end();
}

void Process::pause_for(Duration duration) {
  world_.faults_.add(Fault::kProcessPaused);
  incarnation_->pause_until(world_.executor_.monotonic_now() + duration);
}

World::World(std::uint64_t seed, ExecutorOptions options)
    : dice_(seed),
      executor_(seed, faults_, options),
      bucket_(executor_, dice_.fork(1), faults_) {
  add_disk();
}

World::~World() { CHECK(processes_.empty()); }

SimDisk& World::add_disk() {
  disks_.push_back(std::make_unique<SimDisk>(disks_.size() + 1, dice_.fork(2), faults_));
  return *disks_.back();
}

std::unique_ptr<Process> World::start(SimDisk& disk) {
  return std::unique_ptr<Process>(new Process(*this, disk));
}

void World::power_cut(SimDisk& disk) {
  faults_.add(Fault::kPowerCut);
  for (Process* process : processes_) {
    if (&process->disk_ == &disk) process->incarnation_->end();
  }
  disk.power_cut();
}

void World::power_cut_at(std::uint64_t step, SimDisk& disk) {
  steps_.at(step, [this, &disk] { power_cut(disk); });
}

void World::kill_at(std::uint64_t step, Process& process) {
  steps_.at(step, [this, incarnation = std::weak_ptr<Incarnation>(process.incarnation_)] {
    std::shared_ptr<Incarnation> target = incarnation.lock();
    if (target == nullptr || !target->alive()) return;
    faults_.add(Fault::kProcessKilled);
    target->end();
  });
}

}  // namespace s3crate::sim
