// SPDX-License-Identifier: GPL-3.0-or-later
// What comes through the control socket of a mount, line by line.
#include "cli/control.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace cli;

constexpr std::size_t kInputMax = 100'000;  // what a socket holds at once

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (std::string_view text : {"{\"command\": \"sync\"}\n", "{\"done\": true, \"error\": {\"code\": 1}}\n{\"a\": [1.5e3, null]}\n",
                                "[[[[]]]]\n", "{\"\\ud83d\\ude00\": \"\\u0000\"}\n"})
    out.push_back(to_bytes(as_bytes(text)));
  return out;
}

void run(ByteView input) {
  if (input.size() > kInputMax) return;
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  ControlConnection connection{Fd(ends[0])};
  CHECK(::send(ends[1], input.data(), input.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(input.size()));
  ::close(ends[1]);
  for (;;) {
    const auto value = connection.receive(Duration::zero());
    if (is(value, Code::kTransient)) return;  // all is read
    if (!value) {
      CHECK(is(value, Code::kCorrupt));
      continue;
    }
    CHECK(*value && (*value)->is_object());
    // As requests and answers are looked at.
    (void)(**value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
}

const Target target("control", seeds, run, Pace::slow);

}  // namespace
}  // namespace s3crate::fuzz
