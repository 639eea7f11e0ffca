// SPDX-License-Identifier: GPL-3.0-or-later
// libfuse's session: mount, loop, unmount. What libfuse prints about a mount that fails goes into our error.
#include "fuse/server.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <set>

#include "fuse/filesystem.h"

namespace s3crate::fuse {
namespace {

// Ends the waits of the thread in run(); libfuse offers no other way to wake it.
constexpr int kWakeSignal = SIGUSR2;

Mutex log_mutex;
std::string log_text GUARDED_BY(log_mutex);

void keep_log(fuse_log_level, const char* format, va_list arguments) {
  std::string line(512, '\0');
  const int length = std::vsnprintf(line.data(), line.size(), format, arguments);
  if (length < 0) return;
  line.resize(std::min<std::size_t>(static_cast<std::size_t>(length), line.size() - 1));
  MutexLock lock(log_mutex);
  if (log_text.size() < 4096) log_text += line;
}

std::string take_log() {
  MutexLock lock(log_mutex);
  std::string text;
  for (char c : log_text) text += c == '\n' ? ' ' : c;
  while (!text.empty() && text.back() == ' ') text.pop_back();
  log_text.clear();
  return text;
}

struct FuseArguments {
  fuse_args args = FUSE_ARGS_INIT(0, nullptr);
  ~FuseArguments() { fuse_opt_free_args(&args); }
};

// Owns a string that libfuse allocated.
struct OptionText {
  char* text = nullptr;
  ~OptionText() { std::free(text); }
};

class SessionServer final : public Server {
 public:
  SessionServer(Env env, device::Disk& disk, ServerOptions options)
      : env_(env), options_(std::move(options)), filesystem_(env.clock, disk, options_), ended_(env.executor.cond_var()) {}
  ~SessionServer() override {
    if (session_ == nullptr) return;
    unmount();
    fuse_session_destroy(session_);
  }

  [[nodiscard]] Result<> mount() {
    FuseArguments arguments;
    OptionText options;
    if (fuse_opt_add_opt_escaped(&options.text, ("fsname=" + options_.fsname).c_str()) != 0 ||
        fuse_opt_add_opt(&options.text, "subtype=s3crate-blk,default_permissions") != 0 ||
        (options_.allow_other && fuse_opt_add_opt(&options.text, "allow_other") != 0) ||
        fuse_opt_add_arg(&arguments.args, "s3crate-blk") != 0 || fuse_opt_add_arg(&arguments.args, "-o") != 0 ||
        fuse_opt_add_arg(&arguments.args, options.text) != 0) {
      return fail(Code::kNoSpace, "out of memory");
    }
    fuse_set_log_func(keep_log);
    static_cast<void>(take_log());
    session_ = fuse_session_new(&arguments.args, &Filesystem::operations(), sizeof(fuse_lowlevel_ops), &filesystem_);
    if (session_ == nullptr) return fail(Code::kUnsupported, "libfuse refuses: {}", take_log());
    if (fuse_session_mount(session_, options_.mountpoint.c_str()) != 0) {
      return fail(Code::kDenied, "cannot mount on {}: {}", options_.mountpoint, take_log());
    }
    mounted_ = true;
    return {};
  }

  [[nodiscard]] Result<> run() override {
    struct sigaction wake = {};
    wake.sa_handler = [](int) {};
    ::sigaction(kWakeSignal, &wake, nullptr);
    {
      MutexLock lock(mu_);
      runner_ = ::pthread_self();
      running_ = true;
    }
    std::unique_ptr<fuse_loop_config, void (*)(fuse_loop_config*)> config(fuse_loop_cfg_create(), fuse_loop_cfg_destroy);
    int status = -ENOMEM;
    if (config) {
      fuse_loop_cfg_set_clone_fd(config.get(), 1);
      fuse_loop_cfg_set_max_threads(config.get(), kThreadsMax);
      fuse_loop_cfg_set_idle_threads(config.get(), kThreadsIdleMax);
      status = fuse_session_loop_mt(session_, config.get());
    }
    MutexLock lock(mu_);
    running_ = false;
    ended_->notify_all();
    // A signal (positive) that libfuse caught is ours as well: stop() is how one ends.
    if (status < 0) return fail(Code::kIo, "serving {} failed: {}", options_.mountpoint, std::strerror(-status));
    return {};
  }

  void stop() override {
    fuse_session_exit(session_);
    MutexLock lock(mu_);
    while (running_) {
      // Again and again: the first may come just before the runner begins to wait.
      ::pthread_kill(runner_, kWakeSignal);
      ended_->wait_until(mu_, env_.clock.monotonic_now() + std::chrono::milliseconds(50));
    }
  }

  void size_changed(std::uint64_t from) override {
    // If it has nothing to forget, that is no failure.
    static_cast<void>(fuse_lowlevel_notify_inval_inode(session_, kDiskInode, static_cast<off_t>(from), 0));
  }

  void unmount() override {
    if (!mounted_) return;
    fuse_session_unmount(session_);
    mounted_ = false;
  }

 private:
  Env env_;
  const ServerOptions options_;
  Filesystem filesystem_;
  fuse_session* session_ = nullptr;
  bool mounted_ = false;
  Mutex mu_;
  const std::unique_ptr<CondVar> ended_;
  pthread_t runner_ GUARDED_BY(mu_) = {};
  bool running_ GUARDED_BY(mu_) = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::mount(Env env, device::Disk& disk, ServerOptions options) {
  std::set<std::string> names = {options.disk_name};
  if (disk.history() != nullptr && !names.insert(kHistoryName).second)
    return fail(Code::kBadArgument, "two files would be called {}", kHistoryName);
  for (const TextFile& file : options.text_files) {
    if (!names.insert(file.name).second) return fail(Code::kBadArgument, "two files would be called {}", file.name);
  }
  auto server = std::make_unique<SessionServer>(env, disk, std::move(options));
  TRY(server->mount());
  return server;
}

}  // namespace s3crate::fuse
