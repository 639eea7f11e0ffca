// SPDX-License-Identifier: GPL-3.0-or-later
// The config file.
#include <sys/mman.h>
#include <unistd.h>

#include "cli/config_file.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace cli;

std::vector<Bytes> seeds() {
  constexpr std::string_view kText =
      "# all kinds of values\nkey-file = /root/disk.key\nread-only = yes\ndurability=store\n"
      "journal-size = 2G\nupload-delay = 10s\n upload-threads = 8 \r\n\nlog-level = debug";
  return {to_bytes(as_bytes(kText))};
}

void run(ByteView input) {
  static const int file = ::memfd_create("config", 0);
  CHECK(file >= 0 && ::ftruncate(file, 0) == 0);
  CHECK(::pwrite(file, input.data(), input.size(), 0) == static_cast<ssize_t>(input.size()));
  Arguments arguments(Command::kMount, {"file:///a", "/b"});
  const auto read = read_config_file(fmt::format("/proc/self/fd/{}", file), arguments);
  if (!read) CHECK(is(read, Code::kBadArgument) && !arguments.has("key-file"));
  else if (arguments.has("upload-threads")) CHECK(arguments.count("upload-threads") <= 64);
}

const Target target("config_file", seeds, run, Pace::slow);

}  // namespace
}  // namespace s3crate::fuzz
