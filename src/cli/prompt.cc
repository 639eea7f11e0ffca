// SPDX-License-Identifier: GPL-3.0-or-later
// Keys are read one by one with signals off, so that Ctrl-C cannot leave a terminal without echo behind.
#include "cli/prompt.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "cli/files.h"
#include "crypto/secret.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kLineMax = 4096;

class RawTerminal {
 public:
  RawTerminal(int fd, bool echo) : fd_(fd) {
    good_ = ::tcgetattr(fd_, &before_) == 0;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ISIG | ECHO);
    if (echo) raw.c_lflag |= ECHO;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (good_) ::tcsetattr(fd_, TCSAFLUSH, &raw);
  }
  ~RawTerminal() {
    if (good_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  int fd_;
  bool good_ = false;
  termios before_ = {};
};

void say(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::write(fd, text.data(), text.size());
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

Result<> read_keys(int fd, Bytes& line) {
  line.reserve(kLineMax);  // never moved, so wiping it wipes all of it
  for (;;) {
    std::uint8_t key = 0;
    const auto n = ::read(fd, &key, 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Code::kCancelled, "the terminal is gone");
    if (key == '\n' || key == '\r') return {};
    if (key == 3 || (key == 4 && line.empty())) return fail(Code::kCancelled, "stopped");
    if (key == 0x7f || key == 8) {
      if (!line.empty()) line.pop_back();
    } else if (key == 0x15) {
      line.clear();
    } else if (line.size() == kLineMax) {
      return fail(Code::kBadArgument, "that is longer than {} bytes", kLineMax);
    } else {
      line.push_back(key);
    }
  }
}

Result<std::optional<Bytes>> ask(const std::string& question, bool echo) {
  const Fd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal) return std::nullopt;
  Bytes line;
  Result<> done;
  {
    const RawTerminal raw(terminal.get(), echo);
    say(terminal.get(), question);
    done = read_keys(terminal.get(), line);
    say(terminal.get(), "\n");
  }
  if (!done) {
    crypto::wipe(line);
    return fail(std::move(done.error()));
  }
  return line;
}

}  // namespace

Result<std::optional<Bytes>> ask_secret(const std::string& question) { return ask(question, false); }

Result<std::optional<std::string>> ask_line(const std::string& question) {
  auto line = TRY(ask(question, true));
  if (!line) return std::nullopt;
  return std::string(as_chars(*line));
}

}  // namespace s3crate::cli
