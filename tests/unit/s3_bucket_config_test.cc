// SPDX-License-Identifier: GPL-3.0-or-later
// What buckets say of themselves is read as it is meant, in the forms that servers give it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/bucket_config.h"

namespace s3crate::s3 {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kNamespace = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

Result<std::vector<LifecycleRule>> lifecycle(const std::string& rules) {
  return parse_lifecycle(as_bytes(
      fmt::format("<?xml version=\"1.0\"?><LifecycleConfiguration{}>{}</LifecycleConfiguration>",
                  kNamespace, rules)));
}
Result<std::vector<LifecycleRule>> rule(const std::string& parts) {
  return lifecycle("<Rule><ID>r</ID><Status>Enabled</Status>" + parts + "</Rule>");
}

TEST(BucketConfig, VersioningIsOffUnlessItSaysOtherwise) {
  const auto versioning = [](std::string_view inside) {
    return *parse_versioning(as_bytes(fmt::format(
        "<VersioningConfiguration{}>{}</VersioningConfiguration>", kNamespace, inside)));
  };
  EXPECT_EQ(versioning(""), Versioning::off);
  EXPECT_EQ(versioning("<Status>Enabled</Status>"), Versioning::enabled);
  EXPECT_EQ(versioning("<Status>Suspended</Status>"), Versioning::suspended);
}

TEST(BucketConfig, APrefixOfARuleStandsInAnyOfThreePlaces) {
  for (const char* form : {"<Prefix>a/</Prefix>", "<Filter><Prefix>a/</Prefix></Filter>",
                           "<Filter><And><Prefix>a/</Prefix><ObjectSizeGreaterThan>1</"
                           "ObjectSizeGreaterThan></And></Filter>"}) {
    const auto rules = rule(std::string(form) + "<Expiration><Days>30</Days></Expiration>");
    ASSERT_TRUE(rules && rules->size() == 1) << form;
    EXPECT_EQ(rules->at(0).prefix, "a/") << form;
    EXPECT_EQ(rules->at(0).expires, "after 30 days");
  }
  EXPECT_EQ(rule("<Filter/>")->at(0).prefix, "");
}

TEST(BucketConfig, RulesForNamesAroundOursConcernUs) {
  LifecycleRule rule;
  for (const char* prefix : {"", "d", "disk/", "disk/segments/"}) {
    rule.prefix = prefix;
    EXPECT_TRUE(rule.concerns("disk/")) << prefix;
    EXPECT_TRUE(rule.concerns("")) << prefix;
  }
  for (const char* prefix : {"disk2/", "e", "disk-old/"}) {
    rule.prefix = prefix;
    EXPECT_FALSE(rule.concerns("disk/")) << prefix;
  }
}

TEST(BucketConfig, RulesNotInForceOrForTagsOrForOldVersionsChangeNothing) {
  EXPECT_THAT(
      *lifecycle("<Rule><Status>Disabled</Status><Expiration><Days>1</Days></Expiration></Rule>"),
      IsEmpty());
  EXPECT_THAT(*rule("<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter><Expiration><Days>1</"
                    "Days></Expiration>"),
              IsEmpty());
  EXPECT_THAT(*rule("<Filter><And><Prefix/><Tag><Key>a</Key></Tag></And></"
                    "Filter><Expiration><Days>1</Days></Expiration>"),
              IsEmpty());
  const auto old = rule(
      "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></"
      "NoncurrentVersionExpiration>"
      "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
      "<NoncurrentVersionTransition><StorageClass>GLACIER</StorageClass></"
      "NoncurrentVersionTransition>");
  ASSERT_TRUE(old && old->size() == 1);
  EXPECT_EQ(old->at(0).expires, "");
  EXPECT_THAT(old->at(0).moves_to, IsEmpty());
}

TEST(BucketConfig, AllStorageClassesOfARuleAreNamed) {
  const auto rules = rule(
      "<Expiration><Date>2027-01-01T00:00:00Z</Date></Expiration>"
      "<Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"
      "<Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition>");
  ASSERT_TRUE(rules);
  EXPECT_EQ(rules->at(0).expires, "on 2027-01-01T00:00:00Z");
  EXPECT_THAT(rules->at(0).moves_to, ElementsAre("STANDARD_IA", "GLACIER"));
}

TEST(BucketConfig, LocksSayHowLongTheyHold) {
  const auto lock = [](const std::string& inside) {
    return *parse_object_lock(
        as_bytes("<ObjectLockConfiguration>" + inside + "</ObjectLockConfiguration>"));
  };
  const std::string on = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>";
  EXPECT_FALSE(lock("").enabled);
  EXPECT_TRUE(lock(on).enabled);
  EXPECT_EQ(lock(on).retention, "");
  EXPECT_EQ(lock(on + "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></"
                      "DefaultRetention></Rule>")
                .retention,
            "COMPLIANCE for 30 days");
  EXPECT_EQ(lock(on + "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Years>2</Years></"
                      "DefaultRetention></Rule>")
                .retention,
            "GOVERNANCE for 2 years");
}

TEST(BucketConfig, PrivacyIsReadFromAllThreePlaces) {
  EXPECT_TRUE(
      *parse_policy_status(as_bytes("<PolicyStatus><IsPublic>TRUE</IsPublic></PolicyStatus>")));
  EXPECT_FALSE(
      *parse_policy_status(as_bytes("<PolicyStatus><IsPublic>false</IsPublic></PolicyStatus>")));
  const auto block = [](const char* last) {
    return *parse_public_access_block(as_bytes(
        fmt::format("<PublicAccessBlockConfiguration><BlockPublicAcls>true</"
                    "BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>"
                    "<BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>{}</"
                    "RestrictPublicBuckets></PublicAccessBlockConfiguration>",
                    last)));
  };
  EXPECT_TRUE(block("true"));
  EXPECT_FALSE(block("false"));
  const auto grant = [](const char* whom, const char* what) {
    return fmt::format(
        "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
        "xsi:type=\"Group\">{}</Grantee>"
        "<Permission>{}</Permission></Grant>",
        whom, what);
  };
  const auto grants = parse_acl(as_bytes(fmt::format(
      "<AccessControlPolicy{}><Owner><ID>1</ID></Owner><AccessControlList>{}{}{}{}</"
      "AccessControlList></AccessControlPolicy>",
      kNamespace, grant("<ID>1</ID>", "FULL_CONTROL"),
      grant("<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>", "READ"),
      grant("<URI>http://acs.amazonaws.com/groups/global/AuthenticatedUsers</URI>", "WRITE"),
      grant("<URI>http://acs.amazonaws.com/groups/s3/LogDelivery</URI>", "WRITE"))));
  ASSERT_TRUE(grants && grants->size() == 2);
  EXPECT_TRUE(grants->at(0).everybody);
  EXPECT_EQ(grants->at(0).permission, "READ");
  EXPECT_FALSE(grants->at(1).everybody);
  EXPECT_EQ(grants->at(1).permission, "WRITE");
}

TEST(BucketConfig, TheBlockIsKnownByCephsNameToo) {
  const auto block = parse_public_access_block(as_bytes(
      "<BlockPublicAccessBlockConfiguration><BlockPublicAcls>false</BlockPublicAcls>"
      "<IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy>"
      "<RestrictPublicBuckets>false</RestrictPublicBuckets></"
      "BlockPublicAccessBlockConfiguration>"));
  ASSERT_TRUE(block);
  EXPECT_FALSE(*block);
}

TEST(BucketConfig, AnAnswerAboutSomethingElseIsNone) {
  const std::string_view texts[] = {
      "", "no", "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
      "<PolicyStatus/>", "<PublicAccessBlockConfiguration/>"};
  for (const auto text : texts) {
    EXPECT_TRUE(is(parse_versioning(as_bytes(text)), Code::kCorrupt)) << text;
    EXPECT_TRUE(is(parse_lifecycle(as_bytes(text)), Code::kCorrupt)) << text;
    EXPECT_TRUE(is(parse_object_lock(as_bytes(text)), Code::kCorrupt)) << text;
    EXPECT_TRUE(is(parse_policy_status(as_bytes(text)), Code::kCorrupt)) << text;
    EXPECT_TRUE(is(parse_public_access_block(as_bytes(text)), Code::kCorrupt)) << text;
    EXPECT_TRUE(is(parse_acl(as_bytes(text)), Code::kCorrupt)) << text;
    EXPECT_TRUE(is(parse_location(as_bytes(text)), Code::kCorrupt)) << text;
  }
}

TEST(BucketConfig, NothingOfATextPlaysWithATerminal) {
  EXPECT_EQ(*parse_location(as_bytes("<LocationConstraint>eu\xc3\xa9-1</LocationConstraint>")),
            std::string("eu") + "?" + "?-1");
}

TEST(BucketConfig, EndlessListsAreRefused) {
  std::string many;
  for (int i = 0; i <= 1000; ++i) many += "<Rule><Status>Enabled</Status></Rule>";
  EXPECT_TRUE(is(lifecycle(many), Code::kCorrupt));
}

}  // namespace
}  // namespace s3crate::s3
