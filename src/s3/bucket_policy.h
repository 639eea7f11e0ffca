// SPDX-License-Identifier: GPL-3.0-or-later
// The least that each role needs of a bucket, in the policy language of S3. Pure functions.
//
//   role    GetObject  PutObject  DeleteObject  ListBucket   of whom
//   reader  x                                   x            the user that it is attached to, or the principal
//   writer  x          x                        x            likewise
//   pruner  x          x          x             x            likewise
//   public  x                                   x            everybody, also who signs nothing
//
// All of it within the prefix only. Listing belongs to reading: the newest generation is found by it, and whoever may not
// list gets "denied" instead of "not found" for an object that is missing. A writer may replace objects as far as the
// bucket is concerned (S3 has no permission that says "only if it is not there"), so backups against a stolen key of
// a writer want a versioned or locked bucket.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace s3crate::s3 {

enum class BucketRole { reader, writer, pruner, everybody };
// Of "reader", "writer", "pruner", "public".
[[nodiscard]] std::optional<BucketRole> parse_bucket_role(std::string_view word);

struct PolicyRequest {
  BucketRole role = BucketRole::reader;
  std::string bucket = {};
  std::string prefix = {};     // without slashes around it; may be empty
  std::string region = {};     // tells apart the parts of Amazon that have names of their own
  std::string principal = {};  // "arn:aws:iam::123456789012:user/backup"; empty: a policy to attach to a user or role
};

// JSON. kBadArgument: a prefix that a policy would take for a pattern, or a principal for everybody.
[[nodiscard]] Result<std::string> bucket_policy(const PolicyRequest& request);
// What it allows, and how it is put into force: some lines for a person.
[[nodiscard]] std::string explain_bucket_policy(const PolicyRequest& request);

}  // namespace s3crate::s3
