// SPDX-License-Identifier: GPL-3.0-or-later
// What S3, or somebody in its place, answers in XML.
#include "s3/xml.h"

#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (std::string_view text :
       {"<?xml version=\"1.0\"?><Error><Code>PermanentRedirect</Code><Message>a&#27;b</Message>"
        "<Region>eu-west-1</Region><Endpoint>e</Endpoint></Error>",
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>t</NextContinuationToken>"
        "<Contents><Key>a%2Fb+c</Key><Size>12</Size></Contents>"
        "<Contents><Key>d</Key><Size>0</Size></Contents></ListBucketResult>"}) {
    out.push_back(to_bytes(as_bytes(text)));
  }
  return out;
}

void run(ByteView input) {
  const s3::Refusal refusal = s3::parse_refusal(400, input);
  for (const std::string& text : {refusal.code, refusal.message, refusal.region, refusal.endpoint}) {
    CHECK(text.size() <= 300);
    CHECK(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }));
  }
  const auto listing = s3::parse_listing(input, 2);
  if (listing) CHECK(listing->keys.size() <= 2);
  else CHECK(is_refusal(listing.error()));
}

}  // namespace s3crate::fuzz
