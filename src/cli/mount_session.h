// SPDX-License-Identifier: GPL-3.0-or-later
// A mounted volume, from unlocking to the last word: what the process behind a mount does.
//
// Phases, in order, never back:
//   starting  SIGTERM and SIGINT end the process: nothing was acknowledged yet
//   serving   until somebody unmounts, or SIGTERM; then SIGTERM drains while requests are still served
//   closing   no request comes any more; waits for the store (without limit, or until the drain timeout after a SIGTERM), writes `close`
//   closed    those who wait on the control socket are told, the process ends
#pragma once

#include <optional>

#include "cli/command.h"
#include "cli/control.h"
#include "cli/hooks.h"
#include "cli/mount_plan.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/stack.h"
#include "cli/tagging.h"
#include "fuse/server.h"

namespace s3crate::cli {

class MountSession {
 public:
  MountSession(Env env, const Arguments& arguments, MountPlan plan);
  ~MountSession();

  // Everything up to a disk that can be used. On an error nothing stays mounted.
  [[nodiscard]] Result<> start();
  // What `mount` tells the user.
  [[nodiscard]] std::string greeting() const;
  // Until unmounted and closed.
  [[nodiscard]] ExitStatus run();

 private:
  enum class Phase { kStarting, kServing, kClosing, kClosed };
  struct Ending {  // how it went, for those who wait
    ExitStatus status = kDone;
    std::string message;
    Generation generation;
    std::uint64_t unsent_bytes = 0;
  };

  [[nodiscard]] Result<> open_disk();
  [[nodiscard]] Result<> show_disk();
  [[nodiscard]] fuse::ServerOptions server_options();
  [[nodiscard]] Ending close_disk();
  // Runs `call` on the disk if it is still served; closing waits for it. False: it is not.
  template <typename Call>
  bool while_serving(Call call);
  void on_signal(int signal);
  void on_tick();
  void terminate();
  void watch_health();
  void handle(const nlohmann::json& request, ControlConnection& connection);
  void handle_sync(ControlConnection& connection);
  void handle_resize(const nlohmann::json& request, ControlConnection& connection);
  void handle_before_umount(ControlConnection& connection);
  void handle_snapshot(const nlohmann::json& request, ControlConnection& connection);
  [[nodiscard]] Result<nlohmann::json> cut_and_tag(const TagRequest& tag, ControlConnection& connection);
  [[nodiscard]] Result<nlohmann::json> snapshot(const nlohmann::json& request, ControlConnection& connection);
  void handle_wait(ControlConnection& connection);

  Env env_;
  const Arguments& arguments_;
  const MountPlan plan_;

  // In the order in which they are made; taken down the other way round.
  std::unique_ptr<SignalWatch> signals_;
  std::unique_ptr<Stack> stack_;
  std::unique_ptr<volume::Volume> volume_;
  std::unique_ptr<Hooks> hooks_;
  std::unique_ptr<device::Disk> disk_;
  std::unique_ptr<device::Disk> scratch_;  // over it, if it takes writes that it forgets
  std::unique_ptr<Reporter> reporter_;
  std::unique_ptr<fuse::Server> server_;
  std::unique_ptr<ControlServer> control_;
  std::atomic<bool> stop_waiting_ = false;  // for the store: the drain timeout is over
  std::atomic<bool> stop_snapshot_ = false;  // the same, or the command that asked for it has gone
  std::string health_;                      // as last logged; of the signals' thread

  mutable Mutex mu_;
  const std::unique_ptr<CondVar> changed_;
  Phase phase_ GUARDED_BY(mu_) = Phase::kStarting;
  std::string opening_notes_ GUARDED_BY(mu_);  // what the disk said while it was opened, for the terminal
  std::optional<MonotonicTime> drain_until_ GUARDED_BY(mu_);  // set by SIGTERM
  std::unique_ptr<Task> drainer_ GUARDED_BY(mu_);
  const ControlConnection* snapshotting_ GUARDED_BY(mu_) = nullptr;  // to the command whose snapshot is being made
  int calls_ GUARDED_BY(mu_) = 0;  // under way in while_serving()
  std::optional<Ending> ending_ GUARDED_BY(mu_);
};

template <typename Call>
bool MountSession::while_serving(Call call) {
  {
    MutexLock lock(mu_);
    if (phase_ != Phase::kServing) return false;
    ++calls_;
  }
  call();
  MutexLock lock(mu_);
  --calls_;
  changed_->notify_all();
  return true;
}

}  // namespace s3crate::cli
