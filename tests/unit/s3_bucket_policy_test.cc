// SPDX-License-Identifier: GPL-3.0-or-later
// What each role is allowed, and that nothing else is.
#include "s3/bucket_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace s3crate::s3 {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using Set = std::set<std::string>;

// Every action of every statement.
Set allowed(const json& policy) {
  Set actions;
  for (const json& statement : policy.at("Statement")) {
    EXPECT_EQ(statement.at("Effect"), "Allow");
    for (const json& action : statement.at("Action")) actions.insert(action);
  }
  return actions;
}

json policy_of(const PolicyRequest& request) {
  const auto text = bucket_policy(request);
  EXPECT_TRUE(text) << text.error().message();
  return text ? json::parse(*text) : json();
}

TEST(BucketPolicy, RolesMayDoWhatTheyNeedAndNoMore) {
  const std::pair<BucketRole, Set> roles[] = {
      {BucketRole::reader, {"s3:GetObject", "s3:ListBucket"}},
      {BucketRole::writer, {"s3:GetObject", "s3:ListBucket", "s3:PutObject"}},
      {BucketRole::pruner, {"s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"}},
      {BucketRole::everybody, {"s3:GetObject", "s3:ListBucket"}},
  };
  for (const auto& [role, actions] : roles) {
    EXPECT_EQ(allowed(policy_of({.role = role, .bucket = "bucket", .prefix = "a/b"})), actions);
  }
}

TEST(BucketPolicy, StaysWithinThePrefix) {
  const json policy = policy_of({.role = BucketRole::writer, .bucket = "my.bucket", .prefix = "a/b"});
  EXPECT_EQ(policy, json::parse(R"({
    "Version": "2012-10-17",
    "Statement": [
      {"Sid": "S3crateObjects", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
       "Resource": ["arn:aws:s3:::my.bucket/a/b/*"]},
      {"Sid": "S3crateNames", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::my.bucket"],
       "Condition": {"StringLike": {"s3:prefix": ["a/b/*"]}}}
    ]})"));
}

TEST(BucketPolicy, ABucketOfItsOwnNeedsNoCondition) {
  const json policy = policy_of({.role = BucketRole::reader, .bucket = "bucket"});
  EXPECT_EQ(policy["Statement"][0]["Resource"], json({"arn:aws:s3:::bucket/*"}));
  EXPECT_FALSE(policy["Statement"][1].contains("Condition"));
}

TEST(BucketPolicy, IsForWhomItIsAttachedToOrThePrincipalOrEverybody) {
  const std::string backup = "arn:aws:iam::123456789012:user/backup";
  const json attached = policy_of({.bucket = "bucket"});
  const json named = policy_of({.bucket = "bucket", .principal = backup});
  const json open = policy_of({.role = BucketRole::everybody, .bucket = "bucket"});
  for (const std::size_t i : {0, 1}) {
    EXPECT_FALSE(attached["Statement"][i].contains("Principal"));
    EXPECT_EQ(named["Statement"][i]["Principal"]["AWS"], json::array({backup}));
    EXPECT_EQ(open["Statement"][i]["Principal"], "*");
  }
}

TEST(BucketPolicy, KnowsThePartsOfAmazon) {
  const auto resource = [](const char* region) -> std::string {
    return policy_of({.bucket = "b", .region = region})["Statement"][1]["Resource"][0];
  };
  EXPECT_EQ(resource("eu-central-1"), "arn:aws:s3:::b");
  EXPECT_EQ(resource("cn-north-1"), "arn:aws-cn:s3:::b");
  EXPECT_EQ(resource("us-gov-west-1"), "arn:aws-us-gov:s3:::b");
}

TEST(BucketPolicy, RefusesWhatWouldAllowMore) {
  for (const char* prefix : {"a*", "?", "${aws:username}", "a\"b", "a\\b", "\xc3\xbc", "a\n"}) {
    EXPECT_TRUE(is(bucket_policy({.bucket = "bucket", .prefix = prefix}), Code::kBadArgument)) << prefix;
  }
  EXPECT_TRUE(is(bucket_policy({.bucket = "bucket", .principal = "*"}), Code::kBadArgument));
  EXPECT_TRUE(is(bucket_policy({.role = BucketRole::everybody, .bucket = "bucket", .principal = "arn:x"}), Code::kBadArgument));
}

TEST(BucketPolicy, RolesHaveWords) {
  EXPECT_EQ(parse_bucket_role("reader"), BucketRole::reader);
  EXPECT_EQ(parse_bucket_role("writer"), BucketRole::writer);
  EXPECT_EQ(parse_bucket_role("pruner"), BucketRole::pruner);
  EXPECT_EQ(parse_bucket_role("public"), BucketRole::everybody);
  for (const char* word : {"", "Reader", "owner", "everybody"}) EXPECT_EQ(parse_bucket_role(word), std::nullopt) << word;
}

TEST(BucketPolicy, IsExplained) {
  const auto writer = explain_bucket_policy({.role = BucketRole::writer, .bucket = "bucket", .prefix = "p"});
  EXPECT_THAT(writer, HasSubstr("s3://bucket/p"));
  EXPECT_THAT(writer, HasSubstr("nothing can be deleted"));
  EXPECT_THAT(writer, HasSubstr("put-user-policy"));
  const auto everybody = explain_bucket_policy({.role = BucketRole::everybody, .bucket = "bucket"});
  EXPECT_THAT(everybody, HasSubstr("put-bucket-policy --bucket bucket"));
  EXPECT_THAT(everybody, HasSubstr("block public access"));
  EXPECT_THAT(everybody, Not(HasSubstr("Ceph")));
}

}  // namespace
}  // namespace s3crate::s3
