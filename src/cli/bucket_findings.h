// SPDX-License-Identifier: GPL-3.0-or-later
// What the answers of a bucket mean for a volume in it. Pure functions, one for each thing that is
// looked at.
//
//   ok        as it should be
//   warning   a volume works, but something costs, is slow, or is open to others
//   problem   a volume cannot be used for writing, or would be lost
//   unknown   the provider does not say
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "s3/s3_store.h"

namespace s3crate::cli {

enum class Level { ok, warning, problem, unknown };
[[nodiscard]] std::string_view level_name(Level level);  // stable, for JSON

struct Finding {
  std::string check;  // "versioning": stable, for JSON
  Level level = Level::ok;
  std::string text;
  std::string advice = {};  // empty: nothing is to be done
};

// Of S3Store::ask_bucket().
using BucketAnswer = Result<Bytes>;

// A small object was put with If-None-Match, and once more if that went well.
struct Proof {
  std::string place;  // of the object
  Result<> first;
  std::optional<Result<>> second;
};
[[nodiscard]] Finding judge_proof(const Proof& proof);

// What the store verifies of what it gets; unknown: it took nothing.
[[nodiscard]] Finding judge_checksums(s3::PutCheck check);

struct Reads {
  std::string verb_and_place;
  std::size_t count = 0;
  Duration p50{}, p99{};
  std::uint64_t retries = 0;
  std::optional<Error> failure = {};  // of any; that nothing is there is none
};
[[nodiscard]] Finding judge_reads(const Reads& reads);

// How far the store's clock is ahead of ours; nullopt: it did not say.
[[nodiscard]] Finding judge_clock(std::optional<Duration> ahead);

[[nodiscard]] Finding judge_versioning(const BucketAnswer& answer);
// `below`: what the names of the volume's objects begin with.
[[nodiscard]] Finding judge_lifecycle(const BucketAnswer& answer, std::string_view below);
[[nodiscard]] Finding judge_lock(const BucketAnswer& answer);
// Each is one reason why a bucket may be open to others.
[[nodiscard]] Finding judge_policy_status(const BucketAnswer& answer);
[[nodiscard]] Finding judge_access_block(const BucketAnswer& answer);
[[nodiscard]] Finding judge_acl(const BucketAnswer& answer);

}  // namespace s3crate::cli
