// SPDX-License-Identifier: GPL-3.0-or-later
// What the answers of a bucket mean: what stops a volume is a problem, what merely costs is a
// warning, and what nobody says is not made up.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/bucket_findings.h"

namespace s3crate::cli {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

BucketAnswer xml(std::string_view text) {
  const ByteView bytes = as_bytes(text);
  return Bytes(bytes.begin(), bytes.end());
}
BucketAnswer none() { return fail(Code::kNotFound, "nothing"); }

BucketAnswer lifecycle(std::string_view prefix, std::string_view does) {
  return xml(
      fmt::format("<LifecycleConfiguration><Rule><ID>r1</ID><Filter><Prefix>{}</Prefix></"
                  "Filter><Status>Enabled</Status>{}"
                  "</Rule></LifecycleConfiguration>",
                  prefix, does));
}

Proof proof(Result<> first, std::optional<Result<>> second = {}) {
  return {"s3://b/p/check/conditional", std::move(first), std::move(second)};
}

TEST(BucketFindings, OnlyARefusalProvesThatConditionsAreEnforced) {
  const auto taken = [] { return Result<>(fail(Code::kExists, "taken")); };
  EXPECT_EQ(judge_proof(proof(taken())).level, Level::ok);
  const auto fresh = judge_proof(proof({}, taken()));
  EXPECT_EQ(fresh.level, Level::ok);
  EXPECT_THAT(fresh.text, HasSubstr("s3://b/p/check/conditional stays there"));
  const auto ignored = judge_proof(proof({}, Result<>()));
  EXPECT_EQ(ignored.level, Level::problem);
  EXPECT_THAT(ignored.text, HasSubstr("stays there"));
  EXPECT_THAT(ignored.advice, HasSubstr("--single-writer"));
}

TEST(BucketFindings, WhoCannotWriteIsToldWhatToDo) {
  const auto unsupported = judge_proof(proof(fail(Code::kUnsupported, "501")));
  EXPECT_EQ(unsupported.level, Level::problem);
  EXPECT_THAT(unsupported.advice, HasSubstr("--single-writer"));
  const auto denied = judge_proof(proof(fail(Code::kDenied, "403")));
  EXPECT_EQ(denied.level, Level::problem);
  EXPECT_THAT(denied.advice, HasSubstr("bucket policy --role writer"));
  EXPECT_EQ(judge_proof(proof({}, Result<>(fail(Code::kTransient, "503")))).level, Level::problem);
}

TEST(BucketFindings, AStoreThatVerifiesNothingCostsMore) {
  EXPECT_EQ(judge_checksums(s3::PutCheck::crc32c).level, Level::ok);
  EXPECT_EQ(judge_checksums(s3::PutCheck::sha256).level, Level::ok);
  EXPECT_EQ(judge_checksums(s3::PutCheck::nothing).level, Level::warning);
  EXPECT_EQ(judge_checksums(s3::PutCheck::unknown).level, Level::unknown);
}

TEST(BucketFindings, ReadsThatFailAreAProblemAndSlowOnesAWarning) {
  Reads reads{.verb_and_place = "GETs of x", .count = 20, .p50 = 2ms, .p99 = 30ms};
  EXPECT_EQ(judge_reads(reads).level, Level::ok);
  EXPECT_THAT(judge_reads(reads).text, HasSubstr("p50 2.0 ms, p99 30.0 ms over 20 GETs of x"));
  reads.retries = 3;
  EXPECT_EQ(judge_reads(reads).level, Level::warning);
  reads.retries = 0;
  reads.p99 = 1s;
  EXPECT_EQ(judge_reads(reads).level, Level::warning);
  reads.failure = Error(Code::kDenied, "403");
  EXPECT_EQ(judge_reads(reads).level, Level::problem);
}

TEST(BucketFindings, ClocksMayDifferALittle) {
  EXPECT_EQ(judge_clock(std::nullopt).level, Level::unknown);
  EXPECT_EQ(judge_clock(-1s).level, Level::ok);
  EXPECT_THAT(judge_clock(20s).text, HasSubstr("20 s ahead"));
  EXPECT_EQ(judge_clock(20s).level, Level::ok);
  EXPECT_THAT(judge_clock(-1h).text, HasSubstr("behind"));
  EXPECT_EQ(judge_clock(-1h).level, Level::warning);
}

TEST(BucketFindings, ARuleThatDeletesOrArchivesOurObjectsIsAProblem) {
  const char* expires = "<Expiration><Days>30</Days></Expiration>";
  const auto found = judge_lifecycle(lifecycle("disk/", expires), "disk/");
  EXPECT_EQ(found.level, Level::problem);
  EXPECT_THAT(
      found.text,
      HasSubstr("rule \"r1\" for names that begin with \"disk/\" deletes them after 30 days"));
  EXPECT_EQ(judge_lifecycle(lifecycle("", expires), "disk/").level, Level::problem);
  EXPECT_EQ(judge_lifecycle(lifecycle("disk/segments/", expires), "disk/").level, Level::problem);
  EXPECT_EQ(judge_lifecycle(lifecycle("logs/", expires), "disk/").level, Level::ok);
  EXPECT_EQ(judge_lifecycle(lifecycle("logs/", expires), "").level, Level::problem);
  const char* glacier =
      "<Transition><Days>1</Days><StorageClass>GLACIER</StorageClass></Transition>";
  EXPECT_EQ(judge_lifecycle(lifecycle("", glacier), "disk/").level, Level::problem);
  const char* seldom =
      "<Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition>";
  EXPECT_EQ(judge_lifecycle(lifecycle("", seldom), "disk/").level, Level::warning);
  const char* old =
      "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></"
      "NoncurrentVersionExpiration>";
  EXPECT_EQ(judge_lifecycle(lifecycle("", old), "disk/").level, Level::ok);
  EXPECT_EQ(judge_lifecycle(none(), "disk/").level, Level::ok);
}

TEST(BucketFindings, AMildRuleDoesNotHideABadOne) {
  const auto answer =
      xml("<LifecycleConfiguration>"
          "<Rule><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule>"
          "<Rule><Status>Enabled</Status><Transition><StorageClass>ONEZONE_IA</StorageClass></"
          "Transition></Rule>"
          "</LifecycleConfiguration>");
  EXPECT_EQ(judge_lifecycle(answer, "").level, Level::problem);
  EXPECT_THAT(judge_lifecycle(answer, "").text, HasSubstr("ONEZONE_IA"));
}

TEST(BucketFindings, StrangersWhoMayWriteAreAProblemAndReadersAWarning) {
  const auto acl = [](const char* group, const char* permission) {
    return xml(fmt::format(
        "<AccessControlPolicy><AccessControlList><Grant><Grantee><URI>http://acs.amazonaws.com/"
        "groups/global/{}</URI>"
        "</Grantee><Permission>{}</Permission></Grant></AccessControlList></AccessControlPolicy>",
        group, permission));
  };
  EXPECT_EQ(judge_acl(acl("AllUsers", "READ")).level, Level::warning);
  EXPECT_EQ(judge_acl(acl("AuthenticatedUsers", "WRITE")).level, Level::problem);
  EXPECT_EQ(judge_acl(acl("AllUsers", "FULL_CONTROL")).level, Level::problem);
  EXPECT_EQ(judge_acl(xml("<AccessControlPolicy/>")).level, Level::ok);
  EXPECT_EQ(
      judge_policy_status(xml("<PolicyStatus><IsPublic>true</IsPublic></PolicyStatus>")).level,
      Level::warning);
  EXPECT_EQ(
      judge_policy_status(xml("<PolicyStatus><IsPublic>false</IsPublic></PolicyStatus>")).level,
      Level::ok);
  EXPECT_EQ(judge_policy_status(none()).level, Level::ok);
  EXPECT_THAT(judge_access_block(none()).text, HasSubstr("not everything"));
}

TEST(BucketFindings, LocksAreTold) {
  const auto locked = judge_lock(xml(
      "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</"
      "ObjectLockEnabled><Rule><DefaultRetention>"
      "<Mode>COMPLIANCE</Mode><Days>9</Days></DefaultRetention></Rule></ObjectLockConfiguration>"));
  EXPECT_EQ(locked.level, Level::ok);
  EXPECT_THAT(locked.text, HasSubstr("COMPLIANCE for 9 days"));
  EXPECT_EQ(judge_lock(none()).text, "off");
}

TEST(BucketFindings, WhatIsNotSaidIsUnknown) {
  const BucketAnswer answers[] = {fail(Code::kDenied, "this needs s3:X"),
                                  fail(Code::kUnsupported, "501"), fail(Code::kTransient, "503"),
                                  xml("<ListBucketResult/>")};
  for (const auto& answer : answers) {
    for (const Finding& finding :
         {judge_versioning(answer), judge_lifecycle(answer, ""), judge_lock(answer),
          judge_policy_status(answer), judge_access_block(answer), judge_acl(answer)}) {
      EXPECT_EQ(finding.level, Level::unknown) << finding.check;
      EXPECT_THAT(finding.text, HasSubstr("does not say")) << finding.check;
      EXPECT_EQ(finding.advice, "");
    }
  }
}

TEST(BucketFindings, VersioningIsToldAsItIs) {
  EXPECT_THAT(
      judge_versioning(
          xml("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
          .text,
      HasSubstr("keeps old versions"));
  EXPECT_THAT(judge_versioning(xml("<VersioningConfiguration/>")).text,
              HasSubstr("keeps no old versions"));
  EXPECT_THAT(judge_versioning(xml("<VersioningConfiguration/>")).text,
              Not(HasSubstr("does not say")));
}

}  // namespace
}  // namespace s3crate::cli
