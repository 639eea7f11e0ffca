// SPDX-License-Identifier: GPL-3.0-or-later
// What users type: URLs, sizes, times, numbers.
#include "cli/parse.h"
#include "cli/url.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace cli;

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (std::string_view text : {"file:///srv/a%40b%2523/./c#0123456789abcdef@nightly", "s3://bucket/pre%40fix/#0123456789abcdef@3", "/srv",
                                "10G", "8M", "1E", "250ms", "2h ago", "1d", "2026-11-20T12:00:00Z", "2026-02-29",
                                "50%", "yes", "0123456789ABCDEF"})
    out.push_back(to_bytes(as_bytes(text)));
  return out;
}

void run(ByteView input) {
  const std::string_view text = as_chars(input);
  if (const auto url = parse_url(text)) {
    const auto again = parse_url(url->text());
    CHECK(again && again->kind == url->kind && again->fingerprint.empty());
    CHECK(again->directory == url->directory && again->bucket == url->bucket && again->prefix == url->prefix);
  } else {
    CHECK(is(url, Code::kBadArgument));
  }
  if (const auto bytes = parse_size(text)) CHECK(parse_size(short_size(*bytes)) == *bytes);
  if (const auto time = parse_duration(text)) CHECK(*time >= Duration::zero());
  // A number alone is a generation.
  if (const auto moment = parse_moment(text, WallTime())) CHECK(!parse_count(text));
  if (const auto percent = parse_percent(text)) CHECK(*percent >= 1 && *percent <= 100);
  (void)parse_flag(text);
  if (const auto print = parse_fingerprint(text)) CHECK(parse_fingerprint(*print) == *print);
}

const Target target("cli_value", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
