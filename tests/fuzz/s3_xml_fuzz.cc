// SPDX-License-Identifier: GPL-3.0-or-later
// What S3, or somebody in its place, answers in XML.
#include "s3/bucket_config.h"
#include "s3/xml.h"

#include "tests/fuzz/fuzz.h"

namespace s3crate::fuzz {
namespace {

std::vector<Bytes> seeds() {
  std::vector<Bytes> out;
  for (std::string_view text :
       {"<?xml version=\"1.0\"?><Error><Code>PermanentRedirect</Code><Message>a&#27;b</Message>"
        "<Region>eu-west-1</Region><Endpoint>e</Endpoint></Error>",
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
        "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>t</NextContinuationToken>"
        "<Contents><Key>a%2Fb+c</Key><Size>12</Size></Contents>"
        "<Contents><Key>d</Key><Size>0</Size></Contents></ListBucketResult>",
        "<LifecycleConfiguration><Rule><ID>i</ID><Filter><And><Prefix>p/</Prefix></And></Filter>"
        "<Status>Enabled</Status><Expiration><Days>3</Days></Expiration><Transition><Days>1</Days>"
        "<StorageClass>GLACIER</StorageClass></Transition></Rule></LifecycleConfiguration>",
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
        "<DefaultRetention><Mode>GOVERNANCE</Mode><Years>1</Years></DefaultRetention></Rule>"
        "</ObjectLockConfiguration>",
        "<AccessControlPolicy><AccessControlList><Grant><Grantee>"
        "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>"
        "<Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>"}) {
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
  const auto holds = [](const auto& parsed) { CHECK(parsed || is_refusal(parsed.error())); };
  holds(s3::parse_versioning(input));
  holds(s3::parse_policy_status(input));
  holds(s3::parse_public_access_block(input));
  holds(s3::parse_object_lock(input));
  holds(s3::parse_acl(input));
  holds(s3::parse_location(input));
  const auto rules = s3::parse_lifecycle(input);
  holds(rules);
  if (!rules) return;
  CHECK(rules->size() <= 1000);
  for (const auto& rule : *rules) CHECK(rule.concerns(rule.prefix) && rule.id.size() <= 300);
}

const Target target("s3_xml", seeds, run);

}  // namespace
}  // namespace s3crate::fuzz
