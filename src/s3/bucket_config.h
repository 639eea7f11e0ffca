// SPDX-License-Identifier: GPL-3.0-or-later
// What a bucket says of itself in XML, as S3Store::ask_bucket() gets it. Pure functions; nothing of
// the text is trusted, what is kept of it is short and printable. All are kCorrupt if the text is
// something else: some servers answer questions that they do not know with a list of the bucket.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace s3crate::s3 {

enum class Versioning { off, enabled, suspended };
[[nodiscard]] Result<Versioning> parse_versioning(ByteView xml);

// What becomes of the newest version of an object. Rules for older versions do not concern what is
// in use.
struct LifecycleRule {
  std::string id;
  std::string prefix;                 // of the names that it is for
  std::string expires;                // "after 30 days", "on 2027-01-01T00:00:00Z"; empty: never
  std::vector<std::string> moves_to;  // storage classes

  // For some name that begins with `prefix`.
  [[nodiscard]] bool concerns(std::string_view names) const;
};
// Those that are in force for objects without tags.
[[nodiscard]] Result<std::vector<LifecycleRule>> parse_lifecycle(ByteView xml);

struct ObjectLock {
  bool enabled = false;
  std::string retention;  // of each new object: "COMPLIANCE for 30 days"; empty: none
};
[[nodiscard]] Result<ObjectLock> parse_object_lock(ByteView xml);

// Whether the bucket's policy makes it public.
[[nodiscard]] Result<bool> parse_policy_status(ByteView xml);
// Whether everything that could make it public is blocked.
[[nodiscard]] Result<bool> parse_public_access_block(ByteView xml);

struct PublicGrant {
  bool everybody = true;   // else: everybody with an account of the provider
  std::string permission;  // READ, WRITE, READ_ACP, WRITE_ACP, FULL_CONTROL
};
[[nodiscard]] Result<std::vector<PublicGrant>> parse_acl(ByteView xml);

// The region; empty for Amazon's first one.
[[nodiscard]] Result<std::string> parse_location(ByteView xml);

}  // namespace s3crate::s3
