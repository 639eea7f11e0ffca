// SPDX-License-Identifier: GPL-3.0-or-later
// The server's URL and what else says where a bucket is: an input is one line each for URL, region and bucket.
#include "s3/endpoint.h"
#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

using namespace s3;

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (std::string_view text : {"https://S3.example.org:9000/\neu-west-1\nbucket", "http://127.0.0.1:80\n\nMy.Bucket",
                                "http://[::1]:1/\nr\nb-1", "\nus-gov-east-1\nbucket", "https://host\n\na.b"})
    out.push_back(to_bytes(as_bytes(text)));
  return out;
}

void run(ByteView input) {
  std::string_view rest = as_chars(input);
  const auto line = [&rest] {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string out(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return out;
  };
  EndpointOptions options{.url = line(), .region = line(), .bucket = line()};
  for (Style style : {Style::guess, Style::path, Style::virtual_host}) {
    options.style = style;
    const auto made = Endpoint::make(options);
    if (!made) {
      CHECK(is(made, Code::kBadArgument));
      continue;
    }
    CHECK(made->tls() || made->loopback());
    // What it says of itself is the same server.
    EndpointOptions again = options;
    again.url = made->text();
    again.region = made->region();
    const auto same = Endpoint::make(again);
    CHECK(same && same->text() == made->text() && same->host() == made->host() && same->path("k") == made->path("k"));
    CHECK(made->url(made->path("k"), "").starts_with(made->tls() ? "https://" : "http://"));
  }
}

const Target target("endpoint", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
