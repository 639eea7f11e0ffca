// SPDX-License-Identifier: GPL-3.0-or-later
// bucket check: asks a bucket all that matters for a volume in it, and prints what that means
// (bucket_findings.h).
//
// It leaves one object behind, segment::kProofName, because deleting is for prune, erase and revoke
// alone. The name is fixed, so that there is one only however often this runs.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/bucket_findings.h"
#include "cli/command.h"
#include "cli/stack.h"
#include "s3/bucket_config.h"
#include "segment/object_names.h"

namespace s3crate::cli {
namespace {

constexpr std::string_view kProofText =
    "Put here by s3crate-blk bucket check, to see that it cannot be put twice.\n";
constexpr std::size_t kReads = 20;
// Should the name be somebody else's.
constexpr std::uint64_t kProofMax = 1 << 20;

class Inspection {
 public:
  Inspection(Env env, const Url& url, Stack& stack) : env_(env), url_(url), stack_(stack) {}

  void run() {
    if (!reach()) return;
    prove();
    read();
    std::optional<Duration> ahead;
    if (const auto time = stack_.s3()->store_time()) ahead = *time - env_.clock.wall_now();
    if (ahead) facts_["clock_ahead_seconds"] = std::chrono::duration<double>(*ahead).count();
    add(judge_clock(ahead));
    configuration();
  }
  [[nodiscard]] const std::vector<Finding>& findings() const { return findings_; }
  [[nodiscard]] bool usable() const {
    return std::ranges::none_of(findings_,
                                [](const Finding& f) { return f.level == Level::problem; });
  }
  // Figures for JSON.
  [[nodiscard]] const nlohmann::json& facts() const { return facts_; }

 private:
  void add(Finding finding) { findings_.push_back(std::move(finding)); }
  BucketAnswer ask(const char* subresource, const char* permission) {
    return stack_.s3()->ask_bucket(subresource, permission);
  }

  bool reach() {
    const S3Place& place = stack_.s3_place();
    const auto who = place.access_key.empty()
                         ? std::string("as nobody, signing nothing")
                         : fmt::format("as {} from {}", place.access_key, place.keys_from);
    add({.check = "identity", .text = who});
    const char* style = place.virtual_host ? "virtual host" : "path";
    auto where = fmt::format("{}, region {}, {} style", place.endpoint, place.region, style);
    facts_ = {{"endpoint", place.endpoint},
              {"region", place.region},
              {"style", style},
              {"access_key", place.access_key},
              {"keys_from", place.keys_from}};
    const auto names = stack_.store().list("", "", 1);
    if (!names) {
      add({.check = "reachable",
           .level = Level::problem,
           .text = names.error().message(),
           .advice = "the rest was not looked at"});
      return false;
    }
    if (const auto answer = ask("location", "s3:GetBucketLocation")) {
      const auto location = s3::parse_location(*answer);
      if (location && !location->empty())
        where += fmt::format("; the bucket says that it is in {}", *location);
    }
    add({.check = "reachable", .text = where});
    return true;
  }

  void prove() {
    const std::string name(segment::kProofName);
    auto& store = stack_.store();
    Proof proof{.place = fmt::format("{}/{}", url_.text(), name),
                .first = store.put(name, as_bytes(kProofText)),
                .second = {}};
    if (proof.first) proof.second = store.put(name, as_bytes(kProofText));
    add(judge_proof(proof));
    const bool answered = proof.first || is(proof.first, Code::kExists);
    add(judge_checksums(answered ? stack_.s3()->put_check() : s3::PutCheck::unknown));
  }

  void read() {
    const auto before = stack_.retry_stats().retries;
    Reads reads{.verb_and_place = fmt::format("GETs of {}", segment::kProofName), .count = kReads};
    for (std::size_t i = 0; i < kReads && !reads.failure; ++i) {
      auto got = stack_.store().get(std::string(segment::kProofName), kProofMax);
      if (!got && !is(got, Code::kNotFound)) reads.failure = got.error();
    }
    const auto stats = stack_.stats()[store::Verb::get];
    reads.p50 = stats.p50;
    reads.p99 = stats.p99;
    reads.retries = stack_.retry_stats().retries - before;
    facts_["get_p50_seconds"] = std::chrono::duration<double>(stats.p50).count();
    facts_["get_p99_seconds"] = std::chrono::duration<double>(stats.p99).count();
    add(judge_reads(reads));
  }

  void configuration() {
    add(judge_versioning(ask("versioning", "s3:GetBucketVersioning")));
    add(judge_lifecycle(ask("lifecycle", "s3:GetLifecycleConfiguration"),
                        url_.prefix.empty() ? "" : url_.prefix + "/"));
    add(judge_lock(ask("object-lock", "s3:GetBucketObjectLockConfiguration")));
    add(judge_policy_status(ask("policyStatus", "s3:GetBucketPolicyStatus")));
    add(judge_access_block(ask("publicAccessBlock", "s3:GetBucketPublicAccessBlock")));
    add(judge_acl(ask("acl", "s3:GetBucketAcl")));
  }

  Env env_;
  const Url& url_;
  Stack& stack_;
  std::vector<Finding> findings_;
  nlohmann::json facts_ = nlohmann::json::object();
};

nlohmann::json json_of(const Finding& finding) {
  nlohmann::json json = {
      {"check", finding.check}, {"level", level_name(finding.level)}, {"text", finding.text}};
  if (!finding.advice.empty()) json["advice"] = finding.advice;
  return json;
}

}  // namespace

CommandResult run_bucket_check(Context& context) {
  const Url url = TRY(bucket_argument(context.arguments));
  auto stack = TRY(Stack::make(context.env, url, context.arguments, Outage::kFail));
  Inspection inspection(context.env, url, *stack);
  inspection.run();

  auto list = nlohmann::json::array();
  for (const Finding& finding : inspection.findings()) {
    const auto advice = finding.advice.empty() ? std::string() : ": " + finding.advice;
    context.out.print(fmt::format("{:<8} {:<20} {}{}", level_name(finding.level), finding.check,
                                  finding.text, advice));
    list.push_back(json_of(finding));
  }
  const bool usable = inspection.usable();
  context.out.print(fmt::format("{} is {} for a volume that is written to", url.text(),
                                usable ? "fit" : "not fit"));
  auto json = inspection.facts();
  json["url"] = url.text();
  json["usable"] = usable;
  json["findings"] = std::move(list);
  context.out.print_json(json);
  return usable ? kDone : kStoreAway;
}

}  // namespace s3crate::cli
