// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/freezer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/time_text.h"
#include "cli/block_device.h"

namespace s3crate::cli {
namespace {

enum Word : char { kWriteOut = 'w', kFreeze = 'f', kThaw = 't' };
// What the holder says: a word, and an errno.
enum Answer : int { kWritten = 1, kFrozen, kThawed, kFailed, kTimeOver };
struct Said {
  int answer = 0;
  int error = 0;
};

int milliseconds(Duration time) { return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(time).count()); }

bool wait_readable(int fd, int ms) {
  pollfd wait = {fd, POLLIN, 0};
  int ready;
  do ready = ::poll(&wait, 1, ms);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

void say(int socket, Answer answer, int error) {
  const Said said{answer, error};
  static_cast<void>(::send(socket, &said, sizeof said, MSG_NOSIGNAL));
}

// The holder, after fork: nothing here allocates. Whatever ends the wait, it thaws.
[[noreturn]] void hold(int socket, int directory, int limit_ms) {
  ::setsid();  // Ctrl-C is for the command
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::signal(signal, SIG_IGN);
  ::prctl(PR_SET_NAME, "s3crate-thaw");
  char word = 0;
  // What waits for a disk that waits for its store cannot be killed: so it is not the command that does.
  if (::read(socket, &word, 1) != 1 || word != kWriteOut) ::_exit(0);
  static_cast<void>(::syncfs(directory));
  say(socket, kWritten, 0);
  if (::read(socket, &word, 1) != 1 || word != kFreeze) ::_exit(0);
  if (::ioctl(directory, FIFREEZE, 0) != 0) {
    say(socket, kFailed, errno);
    ::_exit(0);
  }
  say(socket, kFrozen, 0);
  const bool told = wait_readable(socket, limit_ms);
  const int error = ::ioctl(directory, FITHAW, 0) != 0 ? errno : 0;
  // Left unread, it would be an error for who reads the answer.
  static_cast<void>(::recv(socket, &word, 1, MSG_DONTWAIT));
  say(socket, told ? kThawed : kTimeOver, error);
  ::_exit(0);
}

void tell(int socket, Word word) { static_cast<void>(::send(socket, &word, 1, MSG_NOSIGNAL)); }

// nullopt: no answer in time. An answer of 0: the holder is gone.
std::optional<Said> hear(int socket, int ms) {
  if (!wait_readable(socket, ms)) return std::nullopt;
  Said said;
  if (::recv(socket, &said, sizeof said, 0) != sizeof said) return Said{};
  return said;
}

std::string reason(int error) {
  if (error == EBUSY) return "it is frozen already, by somebody else";
  if (error == EOPNOTSUPP || error == ENOTTY) return "this filesystem cannot be frozen";
  if (error == EPERM) return "only root may freeze filesystems";
  return std::strerror(error);
}

}  // namespace

Result<Freezer> Freezer::make(const std::vector<std::string>& directories, const std::string& mountpoint, Duration limit) {
  Freezer freezer;
  freezer.limit_ = limit;
  std::vector<std::string> sources;
  for (const auto& path : directories) {
    Held held;
    held.path = path;
    held.directory = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!held.directory) return fail(Code::kBadArgument, "--freeze {}: {}", path, std::strerror(errno));
    auto source = TRY(source_of_filesystem(path));
    if (!rests_on(source, mountpoint))
      return fail(Code::kBadArgument, "--freeze {}: the filesystem there is not on the disk in {} (it is on {}): nothing was frozen", path,
                  mountpoint, source);
    if (std::find(sources.begin(), sources.end(), source) != sources.end())
      return fail(Code::kBadArgument, "--freeze {}: that filesystem is named twice", path);
    sources.push_back(std::move(source));
    freezer.held_.push_back(std::move(held));
  }
  for (Held& held : freezer.held_) TRY(freezer.start(held));
  return freezer;
}

Result<> Freezer::start(Held& held) {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) return fail(system_error(errno, "make", "a socket"));
  Fd ours(sockets[0]), theirs(sockets[1]);
  const pid_t child = ::fork();
  if (child < 0) return fail(system_error(errno, "start", "a process that thaws"));
  if (child == 0) {
    // What else is open belongs to the command: its end must be seen by all holders.
    for (const Held& other : held_)
      if (other.socket) ::close(other.socket.get());
    ::close(ours.get());
    hold(theirs.get(), held.directory.get(), milliseconds(limit_));
  }
  held.socket = std::move(ours);
  return {};
}

Freezer::~Freezer() {
  for (auto held = held_.rbegin(); held != held_.rend(); ++held) static_cast<void>(thaw(*held));
}

Result<> Freezer::freeze() {
  // What is dirty goes first, while nobody has to wait for it.
  for (const Held& held : held_) tell(held.socket.get(), kWriteOut);
  for (Held& held : held_) {
    const auto said = hear(held.socket.get(), milliseconds(limit_));
    if (said && said->answer == kWritten) continue;
    held.socket = Fd();
    if (said) return fail(Code::kIo, "{} was not frozen: the process that does it was killed", held.path);
    return fail(Code::kTransient, "{} could not be written out within {}: nothing was frozen", held.path, format_duration(limit_));
  }
  for (Held& held : held_) TRY(freeze(held));
  return {};
}

Result<> Freezer::freeze(Held& held) {
  tell(held.socket.get(), kFreeze);
  held.frozen = true;
  const auto said = hear(held.socket.get(), milliseconds(limit_));
  if (said && said->answer == kFrozen) return {};
  held.frozen = false;
  if (!said) {
    held.socket = Fd();
    return fail(Code::kTransient, "{} could not be frozen within {}: it is thawed as soon as it is", held.path, format_duration(limit_));
  }
  if (said->answer == kFailed) return fail(Code::kIo, "{} could not be frozen: {}", held.path, reason(said->error));
  static_cast<void>(::ioctl(held.directory.get(), FITHAW, 0));  // in its place
  return fail(Code::kIo, "{} could not be frozen: the process that does it was killed", held.path);
}

Result<> Freezer::thaw() {
  Result<> all;
  for (auto held = held_.rbegin(); held != held_.rend(); ++held)
    if (auto thawed = thaw(*held); !thawed && all) all = thawed;
  return all;
}

Result<> Freezer::thaw(Held& held) {
  if (!std::exchange(held.frozen, false)) return {};
  tell(held.socket.get(), kThaw);
  const auto said = hear(held.socket.get(), milliseconds(limit_));
  held.socket = Fd();
  if (said && said->answer == kThawed && said->error == 0) return {};
  if (said && said->answer == kTimeOver && said->error == 0)
    return fail(Code::kTransient, "{} was frozen for {} and thawed before this was done: --freeze-timeout gives it longer", held.path,
                format_duration(limit_));
  if (::ioctl(held.directory.get(), FITHAW, 0) == 0 || errno == EINVAL) {
    if (said && said->answer != 0) return fail(Code::kIo, "{} was thawed by somebody else", held.path);
    return fail(Code::kIo, "{} is thawed, but the process that held it was killed", held.path);
  }
  return fail(Code::kIo, "{} could not be thawed: {}: fsfreeze -u {} does it", held.path, std::strerror(errno), held.path);
}

}  // namespace s3crate::cli
