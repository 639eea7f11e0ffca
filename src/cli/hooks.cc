// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/hooks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "base/time_text.h"
#include "cli/files.h"

namespace s3crate::cli {
namespace {

constexpr auto kPoll = std::chrono::milliseconds(100);
constexpr auto kLastTime = std::chrono::seconds(2);     // between SIGTERM and SIGKILL
constexpr auto kPutOffMax = std::chrono::minutes(10);  // that pre-commit may put commits off
constexpr std::size_t kPrintedMax = 64 << 10;          // of one run; the rest is dropped
constexpr std::size_t kLineMax = 500;
constexpr int kPiecesMax = 64;  // taken at a time, so that who prints without end is still ended
constexpr std::string_view kLast = "post-umount";  // comes when all else has ended

// Of this user or root, and nobody else may change it.
Result<> check_ours(const std::string& path, const struct stat& st) {
  if ((st.st_uid != 0 && st.st_uid != ::geteuid()) || (st.st_mode & 022) != 0)
    return fail(Code::kBadArgument, "{} belongs to, or can be written by, others than this user and root", path);
  return {};
}

// What a program prints, line by line to the log.
class Printed {
 public:
  explicit Printed(std::string name) : name_(std::move(name)) {}
  void add(std::string_view piece) {
    total_ += piece.size();
    if (total_ > kPrintedMax) return;
    for (const char c : piece) {
      if (c == '\n' || line_.size() == kLineMax) flush();
      if (c != '\n') line_ += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  void flush() {
    if (line_.empty()) return;
    spdlog::info("{}: {}", name_, line_);
    last_ = std::exchange(line_, {});
  }
  [[nodiscard]] const std::string& last() const { return last_; }

 private:
  const std::string name_;
  std::string line_, last_;
  std::size_t total_ = 0;
};

// Takes what is there without waiting, up to some 256 KiB. False: the other end is closed.
bool drain(int fd, Printed& printed) {
  char piece[4096];
  for (int i = 0; i < kPiecesMax; ++i) {
    const auto n = ::read(fd, piece, sizeof piece);
    if (n > 0) printed.add({piece, static_cast<std::size_t>(n)});
    else if (n == 0) return false;
    else if (errno != EINTR) return errno == EAGAIN;
  }
  return true;
}

Result<pid_t> spawn(const std::string& path, const std::vector<std::string>& environment, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (::posix_spawn_file_actions_init(&actions) != 0 || ::posix_spawnattr_init(&attributes) != 0)
    return fail(Code::kIo, "no memory to run {}", path);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, 1);
  ::posix_spawn_file_actions_adddup2(&actions, output, 2);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<char*> words = {const_cast<char*>(path.c_str()), nullptr}, env;
  for (const auto& word : environment) env.push_back(const_cast<char*>(word.c_str()));
  env.push_back(nullptr);
  pid_t child = -1;
  const int error = ::posix_spawn(&child, path.c_str(), &actions, &attributes, words.data(), env.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail(Code::kIo, "{} cannot be run: {}", path, std::strerror(error));
  return child;
}

}  // namespace

Hooks::Hooks(Env env, std::string directory, Duration limit, HookFacts always)
    : env_(env), directory_(std::move(directory)), limit_(limit), always_(std::move(always)), changed_(env.executor.cond_var()) {}

Hooks::~Hooks() {
  stop();
  std::unique_ptr<Task> teller;
  {
    MutexLock lock(mu_);
    teller = std::move(teller_);
  }
}

void Hooks::end(const std::string& name) {
  MutexLock lock(mu_);
  ended_ = name;
}

void Hooks::stop() {
  MutexLock lock(mu_);
  stopped_ = true;
  changed_->notify_all();
}

Result<> Hooks::check() const {
  if (directory_.empty()) return {};
  struct stat st = {};
  if (::stat(directory_.c_str(), &st) != 0) return fail(Code::kBadArgument, "--hook {}: {}", directory_, std::strerror(errno));
  if (!S_ISDIR(st.st_mode)) return fail(Code::kBadArgument, "--hook {}: it is no directory", directory_);
  if (auto ours = check_ours(directory_, st); !ours) return fail(ours.error().within("--hook"));
  return {};
}

// "": there is no such hook.
Result<std::string> Hooks::find(const std::string& name) const {
  if (directory_.empty()) return "";
  const std::string path = directory_ + "/" + name;
  struct stat st = {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT && ::lstat(path.c_str(), &st) != 0) {
      TRY(check());  // without the directory nobody knows what would be in it
      return "";
    }
    return fail(Code::kIo, "{}: {}", path, std::strerror(errno));
  }
  TRY(check());
  TRY(check_ours(path, st));
  if (!S_ISREG(st.st_mode) || ::access(path.c_str(), X_OK) != 0) return fail(Code::kIo, "{} is no program that can be run", path);
  return path;
}

Result<> Hooks::run(const std::string& name, const HookFacts& facts) {
  {
    MutexLock lock(mu_);
    if (stopped_ && name != kLast) return fail(Code::kCancelled, "the mount ends");
  }
  const std::string path = TRY(find(name));
  return path.empty() ? Result<>() : run_program(path, name, facts);
}

Result<> Hooks::run_program(const std::string& path, const std::string& name, const HookFacts& facts) {
  std::vector<std::string> environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                                          "S3CRATE_HOOK=" + name};
  for (const auto* some : {&always_, &facts})
    for (const auto& [key, value] : *some) environment.push_back(fmt::format("S3CRATE_{}={}", key, value));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(system_error(errno, "make", "a pipe"));
  const Fd ours(ends[0]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);  // of this end alone: the program's waits until there is room
  Fd theirs(ends[1]);
  const pid_t child = TRY(spawn(path, environment, theirs.get()));
  theirs.reset();

  Printed printed(name);
  std::optional<std::string> ended;
  MonotonicTime until = env_.clock.monotonic_now() + limit_;
  int status = 0;
  for (pid_t done = 0; done == 0;) {
    pollfd wait = {ours.get(), POLLIN, 0};
    static_cast<void>(::poll(&wait, 1, static_cast<int>(kPoll.count())));
    if (!drain(ours.get(), printed)) nap(env_.clock, env_.executor, kPoll / 10);
    done = ::waitpid(child, &status, WNOHANG);
    if (done < 0 && errno != EINTR) return fail(Code::kIo, "{}: {}", path, std::strerror(errno));
    if (done < 0) done = 0;
    bool stopped;
    {
      MutexLock lock(mu_);
      stopped = (stopped_ && name != kLast) || name == ended_;
    }
    const auto now = env_.clock.monotonic_now();
    if (done != 0 || (!stopped && now < until)) continue;
    if (ended && now < until) continue;
    ::kill(-child, ended ? SIGKILL : SIGTERM);
    if (!ended) ended = now < until ? "it was ended, since the mount ends" : fmt::format("it was ended after {}", format_duration(limit_));
    until = now + kLastTime;
  }
  static_cast<void>(drain(ours.get(), printed));
  printed.flush();
  if (ended) return fail(Code::kIo, "the hook {} failed: {}", path, *ended);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const auto how = WIFEXITED(status) ? fmt::format("status {}", WEXITSTATUS(status)) : fmt::format("signal {}", WTERMSIG(status));
  return fail(Code::kIo, "the hook {} failed: {}{}{}", path, how, printed.last().empty() ? "" : ": ", printed.last());
}

void Hooks::run_logged(const std::string& name, const HookFacts& facts) {
  if (auto done = run(name, facts); !done) spdlog::warn("{}", done.error().message());
}

Result<> Hooks::before_commit() {
  auto asked = run("pre-commit", {});
  const auto now = env_.clock.monotonic_now();
  if (asked) {
    refused_since_.reset();
    return {};
  }
  if (!refused_since_) refused_since_ = now;
  if (now - *refused_since_ < kPutOffMax) return fail(asked.error().within("the commit is put off"));
  spdlog::warn("{}: it has put commits off for {}, and is not waited for any more", asked.error().message(), format_duration(kPutOffMax));
  return {};
}

void Hooks::after_commit(Generation generation) {
  if (directory_.empty()) return;
  MutexLock lock(mu_);
  if (stopped_) return;
  to_tell_ = generation;
  if (!teller_) teller_ = env_.executor.spawn("hooks", [this] { tell_commits(); });
  changed_->notify_all();
}

void Hooks::tell_commits() {
  for (;;) {
    Generation generation;
    {
      MutexLock lock(mu_);
      while (!to_tell_ && !stopped_) changed_->wait(mu_);
      if (stopped_) return;
      generation = *std::exchange(to_tell_, std::nullopt);
    }
    run_logged("post-commit", {{"GENERATION", fmt::format("{}", generation)}});
  }
}

}  // namespace s3crate::cli
