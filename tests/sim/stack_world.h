// SPDX-License-Identifier: GPL-3.0-or-later
// A formatted volume in a simulated bucket, and mounts of it: each a process with the stack from Disk down on its edges.
//
// Tunables are so small that every boundary is met. Ends of a mount: close(), or it is destroyed, or crash(): the process ends
// between two I/O steps, whoever waits in the disk is woken, and nothing it does has an effect any more.
#pragma once

#include "device/disk.h"
#include "store/metered_store.h"
#include "store/retry_store.h"
#include "tests/sim/sim_world.h"
#include "volume/create.h"

namespace s3crate::sim {

inline constexpr std::uint32_t kStackBlock = 4096;

struct StackFormat {
  std::uint64_t disk_bytes = 512 << 10;
  std::uint32_t extent_bytes = 16 << 10;
  bool single_writer = false;
  bool directory = false;  // the store is a directory of the machine's disk, not the bucket
};

// Small everything; home and URL of the first place.
[[nodiscard]] device::DiskOptions small_options();

class StackWorld;

// Looks at every request of a mount, and may answer it: before it has an effect, or instead of its reply.
struct Hooks {
  using Hook = std::function<Result<>(store::Verb verb, const std::string& name)>;
  Hook before, after;
};

class Mount {
 public:
  Mount(StackWorld& world, SimDisk& disk, device::DiskOptions options);
  ~Mount();
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;

  [[nodiscard]] Result<> open();
  // Ends the process whatever it answers.
  [[nodiscard]] Result<> close(Duration drain = std::chrono::minutes(10));
  void kill() { crash(false); }
  void crash(bool power);
  // Instead of the I/O step that many from now.
  void crash_after(std::uint64_t steps, bool power);
  Hooks hooks;
  // Runs when the process has just crashed; may be called from any step.
  std::function<void()> on_crash;

  [[nodiscard]] bool alive() const { return process_ && process_->alive(); }
  [[nodiscard]] Process& process() { return *process_; }
  [[nodiscard]] Env env() { return process_->env(); }
  [[nodiscard]] store::ObjectStore& store() { return *retry_; }
  [[nodiscard]] store::StoreStats requests() const { return metered_->stats(); }
  [[nodiscard]] volume::Volume& volume() { return *volume_; }
  [[nodiscard]] device::Disk& disk() { return *disk_; }
  [[nodiscard]] bool is_open() const { return disk_ != nullptr; }

  [[nodiscard]] Result<Bytes> read_all();
  [[nodiscard]] Result<Bytes> read(std::uint64_t offset, std::uint64_t length);

 private:
  struct Life;
  void wake();
  void end();

  StackWorld& world_;
  SimDisk& machine_;
  device::DiskOptions options_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<store::ObjectStore> hooked_;
  std::unique_ptr<store::MeteredStore> metered_;
  std::unique_ptr<store::RetryStore> retry_;
  std::unique_ptr<volume::Volume> volume_;
  std::unique_ptr<device::Disk> disk_;
  std::shared_ptr<Life> life_;  // shared with armed crashes, which may outlive the mount
  std::unique_ptr<Task> waker_;
};

// What a crash leaves of a world: one machine's disk, the bucket, and the time.
struct StackImage {
  SimDisk::Image disk;
  SimBucket::Image bucket;
  segment::Vid vid{};
  std::uint8_t boot = 0;
  MonotonicTime time;
};

class StackWorld {
 public:
  explicit StackWorld(std::uint64_t seed, const StackFormat& format = {}, const ExecutorOptions& executor = {});
  // Begins where another one was.
  StackWorld(std::uint64_t seed, const StackFormat& format, const StackImage& image);

  [[nodiscard]] StackImage image();
  [[nodiscard]] std::uint64_t changes() { return world.disk().changes() + bucket().changes(); }
  [[nodiscard]] SimBucket& bucket() { return world.bucket(); }
  [[nodiscard]] Dice& dice() { return world.dice(); }
  // Runs `main` in a fiber of the world. The volume is there by then.
  void run(const std::function<void()>& main);
  [[nodiscard]] std::unique_ptr<Process> start(SimDisk& disk);
  void sleep(Duration duration) { world.executor().sleep_for(duration); }
  // Power comes back: another boot.
  void power_cut(SimDisk& disk);
  [[nodiscard]] Result<std::unique_ptr<volume::Volume>> open_volume(Env env, store::ObjectStore& store,
                                                                    std::uint64_t page_cache_bytes = 16 << 10) const;
  // The whole disk as of a generation, by its commit, through whatever edges.
  [[nodiscard]] Result<Bytes> read_generation(Env env, store::ObjectStore& store, Generation generation) const;
  // Objects that neither the newest generation needs, nor any later one, nor those kept.
  [[nodiscard]] Result<std::vector<std::string>> unneeded(Env env, store::ObjectStore& store, std::span<const Generation> kept) const;
  // The segments that the newest generation reads, and what it reads from them.
  [[nodiscard]] Result<std::map<std::string, std::vector<segment::Run>>> segments(Env env, store::ObjectStore& store) const;
  [[nodiscard]] std::uint64_t objects(std::string_view prefix);
  // No object was ever replaced or removed.
  [[nodiscard]] bool was_written_once() { return bucket().overwrites() == 0 && bucket().removals() == 0; }

  World world;
  segment::Vid vid{};
  std::uint8_t boot = 1;

 private:
  const StackFormat format_;
  const MonotonicTime begin_{};
  bool formatted_ = false;
};

}  // namespace s3crate::sim
