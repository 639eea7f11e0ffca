// SPDX-License-Identifier: GPL-3.0-or-later
// The shared files of the AWS tools. What is found lies in a file that outlives its move; what is refused is not
// repeated.
#include "s3/ini_file.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace s3;

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (std::string_view text :
       {"# comment\n[default]\naws_access_key_id = A\naws_secret_access_key=s/+= ; comment\r\n\n[work]\n  region = r\n",
        "\xef\xbb\xbf[profile \"a b\"] # x\ns3 =\n  endpoint_url = u\n  addressing_style = path\nservices = s\nlong = 1\n\t2\n",
        "[services s]\ns3 =\n endpoint_url = v\n[services s]\nsqs=\n x = y\n"})
    out.push_back(to_bytes(as_bytes(text)));
  return out;
}

void run(ByteView input) {
  auto parsed = IniFile::parse(to_bytes(input), "/f");
  if (!parsed) {
    CHECK(is(parsed, Code::kBadArgument) && parsed.error().message().starts_with("/f:"));
    CHECK(parsed.error().message().size() < 80);
    return;
  }
  const IniFile file = std::move(*parsed);
  for (const std::string& section : file.sections()) {
    CHECK(file.has(section) && std::ranges::count(file.sections(), section) == 1);
    for (const char* part : {"", "s3"}) {
      for (const char* name : {"region", "endpoint_url", "aws_secret_access_key", "s3", "long"}) {
        const auto value = file.find(section, name, part);
        if (!value) continue;
        CHECK(!value->empty() && as_chars(input).find(*value) != std::string_view::npos);
        CHECK(value->front() != ' ' && value->back() != ' ' && value->back() != '\r');
      }
    }
  }
}

const Target target("ini_file", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
