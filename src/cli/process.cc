// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/process.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

namespace s3crate::cli {

namespace {
// The largest that glibc takes.
constexpr int kMappedMin = 32 << 20;
constexpr int kFreeKept = 64 << 20;
}  // namespace

void keep_no_dumps() {
  const rlimit none = {0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

bool become_io_flusher() {
#ifdef PR_SET_IO_FLUSHER
  return ::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0;
#else
  return false;
#endif
}

void share_freed_memory() {
#ifdef M_ARENA_MAX
  ::mallopt(M_ARENA_MAX, 1);
#endif
#ifdef M_TRIM_THRESHOLD
  ::mallopt(M_MMAP_THRESHOLD, kMappedMin);
  ::mallopt(M_TRIM_THRESHOLD, kFreeKept);
#endif
}

std::string host_name() {
  char name[HOST_NAME_MAX + 1] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

std::string boot_id() {
  auto text = read_small_file("/proc/sys/kernel/random/boot_id", 4096).value_or("unknown\n");
  return text.substr(0, text.find('\n'));
}

std::uint64_t memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) : 0;
}

int run_quietly(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) {
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2 && null >= 0; ++fd) ::dup2(null, fd);
    ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}

namespace {

constexpr std::size_t kOutputMax = 16 << 10;
constexpr int kPollMs = 200;

[[noreturn]] void become(std::vector<char*> argv, int output) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = ::open("/dev/null", O_RDONLY);
  ::dup2(null, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  const char* path = std::getenv("PATH");
  auto search = fmt::format("PATH={}:/usr/sbin:/usr/bin:/sbin:/bin", path == nullptr ? "" : path);
  std::string language = "LC_ALL=C";
  char* environment[] = {search.data(), language.data(), nullptr};
  ::setenv("PATH", search.c_str() + 5, 1);  // where execvpe looks
  ::execvpe(argv[0], argv.data(), environment);
  ::_exit(127);
}

}  // namespace

std::uint64_t bytes_written_by(pid_t process) {
  std::ifstream counts(fmt::format("/proc/{}/io", process));
  std::string name;
  for (std::uint64_t count; counts >> name >> count;)
    if (name == "wchar:") return count;
  return 0;
}

Result<Ran> run_captured(const std::vector<std::string>& words, const std::function<bool(pid_t)>& go_on) {
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(system_error(errno, "make", "a pipe"));
  Fd reading(ends[0]), writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail(system_error(errno, "start", words[0]));
  if (child == 0) become(std::move(argv), writing.get());
  writing.reset();
  Ran ran;
  for (;;) {
    // Again each time: what comes before the child has become the other program is taken by what this one does with signals.
    if (!go_on(child)) ::kill(child, SIGTERM);
    pollfd wait = {reading.get(), POLLIN, 0};
    if (::poll(&wait, 1, kPollMs) <= 0) continue;
    char piece[4096];
    const auto n = ::read(reading.get(), piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    ran.output.append(piece, std::min(static_cast<std::size_t>(n), kOutputMax - ran.output.size()));
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return fail(system_error(errno, "wait for", words[0]));
  }
  if (WIFEXITED(status)) ran.status = WEXITSTATUS(status);
  return ran;
}

namespace {

void leave_terminal() {
  ::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
  ::setsid();
  if (::chdir("/") != 0) std::fputs("s3crate-blk: cannot change to /\n", stderr);
  std::fflush(stdout);
  std::fflush(stderr);
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null.get(), fd);
}

// The child's first byte is its word; without one it died, and how it died is all there is to know.
Result<ExitStatus> wait_for_child(int pipe, pid_t child) {
  unsigned char status = 0;
  for (;;) {
    const auto n = ::read(pipe, &status, 1);
    if (n == 1) return static_cast<ExitStatus>(status);
    if (n == 0) break;
    if (errno != EINTR) return fail(system_error(errno, "read", "a pipe"));
  }
  int how = 0;
  if (::waitpid(child, &how, 0) == child && WIFSIGNALED(how)) {
    return fail(Code::kIo, "the background process was ended by signal {} before it was ready", WTERMSIG(how));
  }
  return fail(Code::kIo, "the background process ended before it was ready");
}

}  // namespace

Result<ExitStatus> run_in_background(const std::function<ExitStatus(const Ready&)>& body) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(system_error(errno, "make", "a pipe"));
  Fd reading(ends[0]), writing(ends[1]);
  std::fflush(stdout);
  std::fflush(stderr);
  const pid_t parent = ::getpid(), child = ::fork();
  if (child < 0) return fail(system_error(errno, "start", "a process"));
  if (child > 0) {
    writing.reset();
    return wait_for_child(reading.get(), child);
  }
  reading.reset();
  // Who ends the process in front, by whatever signal, ends what it was to wait for.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
  if (::getppid() != parent) ::_exit(kFailed);
  const auto tell = [&](ExitStatus status) {
    const auto byte = static_cast<unsigned char>(status);
    if (writing && ::write(writing.get(), &byte, 1) != 1) std::fputs("s3crate-blk: nobody waits for this\n", stderr);
    writing.reset();
  };
  const ExitStatus status = body([&] {
    leave_terminal();
    tell(kDone);
  });
  tell(status);
  std::fflush(stdout);
  std::fflush(stderr);
  ::_exit(status);
}

}  // namespace s3crate::cli
