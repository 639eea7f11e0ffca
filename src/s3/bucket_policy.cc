// SPDX-License-Identifier: GPL-3.0-or-later
#include "s3/bucket_policy.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace s3crate::s3 {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<std::string_view, BucketRole>, 4> kRoles = {{
    {"reader", BucketRole::reader},
    {"writer", BucketRole::writer},
    {"pruner", BucketRole::pruner},
    {"public", BucketRole::everybody},
}};

std::string arn(const PolicyRequest& request) {
  const std::string_view region = request.region;
  const char* partition = region.starts_with("cn-") ? "aws-cn" : region.starts_with("us-gov-") ? "aws-us-gov" : "aws";
  return fmt::format("arn:{}:s3:::{}", partition, request.bucket);
}

Json actions(BucketRole role) {
  Json actions = {"s3:GetObject"};
  if (role == BucketRole::writer || role == BucketRole::pruner) actions.push_back("s3:PutObject");
  if (role == BucketRole::pruner) actions.push_back("s3:DeleteObject");
  return actions;
}

bool is_bucket_policy(const PolicyRequest& request) {
  return request.role == BucketRole::everybody || !request.principal.empty();
}

Json statement(const PolicyRequest& request, const char* id) {
  Json statement = {{"Sid", id}, {"Effect", "Allow"}};
  if (request.role == BucketRole::everybody) statement["Principal"] = "*";
  else if (!request.principal.empty()) statement["Principal"] = {{"AWS", {request.principal}}};
  return statement;
}

bool is_plain(std::string_view text) {
  constexpr std::string_view kPattern = "*?$\"\\";
  return std::ranges::all_of(text, [&](char c) { return c >= ' ' && c < 0x7f && kPattern.find(c) == std::string_view::npos; });
}

}  // namespace

std::optional<BucketRole> parse_bucket_role(std::string_view word) {
  const auto* found = std::ranges::find(kRoles, word, &std::pair<std::string_view, BucketRole>::first);
  if (found == kRoles.end()) return std::nullopt;
  return found->second;
}

Result<std::string> bucket_policy(const PolicyRequest& request) {
  if (!is_plain(request.prefix)) {
    return fail(Code::kBadArgument, "policies have a meaning of their own for a character in the prefix: use letters, digits and / . _ -");
  }
  if (!is_plain(request.principal)) {
    return fail(Code::kBadArgument, "name one principal, as arn:aws:iam::123456789012:user/backup; everybody is the role public");
  }
  if (request.role == BucketRole::everybody && !request.principal.empty()) {
    return fail(Code::kBadArgument, "the role public is for everybody: it takes no principal");
  }
  const auto below = request.prefix.empty() ? std::string("*") : fmt::format("{}/*", request.prefix);
  Json objects = statement(request, "S3crateObjects");
  objects["Action"] = actions(request.role);
  objects["Resource"] = {fmt::format("{}/{}", arn(request), below)};
  Json names = statement(request, "S3crateNames");
  names["Action"] = {"s3:ListBucket"};
  names["Resource"] = {arn(request)};
  if (!request.prefix.empty()) names["Condition"] = {{"StringLike", {{"s3:prefix", {below}}}}};
  const Json policy = {{"Version", "2012-10-17"}, {"Statement", {objects, names}}};
  return policy.dump(2);
}

std::string explain_bucket_policy(const PolicyRequest& request) {
  const auto place = fmt::format("s3://{}{}{}", request.bucket, request.prefix.empty() ? "" : "/", request.prefix);
  std::string out;
  switch (request.role) {
    case BucketRole::reader: out = fmt::format("Allows to read {}, and nothing else.\n", place); break;
    case BucketRole::writer:
      out = fmt::format("Allows to read {} and to add to it; nothing can be deleted. S3 cannot forbid to replace an object:\n"
                        "keep versions of the bucket's objects if these keys may be stolen.\n", place);
      break;
    case BucketRole::pruner: out = fmt::format("Allows to read {}, to add to it and to delete from it.\n", place); break;
    case BucketRole::everybody:
      out = fmt::format("Allows everybody to read {} without keys of S3 (--anonymous). What is in it stays encrypted; only who has a key of "
                        "the volume, or a public one, reads its content.\n", place);
      break;
  }
  if (!is_bucket_policy(request)) {
    out += "Attach it to the user or role whose keys are used, for instance with\n"
           "  aws iam put-user-policy --user-name NAME --policy-name s3crate-blk --policy-document file://policy.json\n";
    return out;
  }
  out += fmt::format("Put it into force with\n  aws s3api put-bucket-policy --bucket {} --policy file://policy.json\n"
                     "which replaces the policy that the bucket has: add its statements to those that are to stay.\n", request.bucket);
  if (request.role == BucketRole::everybody) {
    out += "Amazon refuses it until \"block public access\" is off for the bucket.\n";
  }
  if (!request.prefix.empty()) {
    out += "Some servers (Ceph before 2026) then say \"denied\" for objects that are missing; a bucket of its own for the volume helps.\n";
  }
  return out;
}

}  // namespace s3crate::s3
