// SPDX-License-Identifier: GPL-3.0-or-later
// Command lines: an input is one word a line.
#include "cli/command_line.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace cli;

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (std::string_view text :
       {"mount\n--key-file=/k\n-o\nro,journal_size=1G,x-systemd.automount,nofail\nfile:///srv/a\n/mnt",
        "format\n--size\n10G\n--block-size=8K\n--json\ns3://b/p", "mount\n-f\n-o\nca-file=/a\\,b\\\\c\ns3://b\n/m",
        "check\n--read-data\nfile:///a#0123456789abcdef@nightly", "help\nmount", "--version", "keys\nlist\n--help", "mont"})
    out.push_back(to_bytes(as_bytes(text)));
  return out;
}

void run(ByteView input) {
  std::vector<std::string> words;
  for (std::string_view rest = as_chars(input); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    words.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  (void)wants_json(words);
  const auto parsed = parse_command_line(words, {});
  if (!parsed) return CHECK(is(parsed, Code::kBadArgument) && !parsed.error().message().empty());
  CHECK(parsed->arguments.has_value() == parsed->text.empty());
}

// A parser is made for each.
const Target target("command_line", seeds, run, Pace::slow);

}  // namespace
}  // namespace s3crate::fuzz
