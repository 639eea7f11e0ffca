// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/bucket_findings.h"

#include <algorithm>
#include <array>

#include "base/time_text.h"
#include "s3/bucket_config.h"
#include "s3/xml.h"

namespace s3crate::cli {
namespace {

constexpr Duration kClockTolerance = std::chrono::seconds(30);
constexpr Duration kSlow = std::chrono::seconds(1);
// An object in these has to be restored before it can be read.
constexpr std::array<std::string_view, 4> kArchives = {"GLACIER", "DEEP_ARCHIVE", "ARCHIVE",
                                                       "COLD_ARCHIVE"};

Finding silent(std::string check, const Error& why) {
  return {.check = std::move(check),
          .level = Level::unknown,
          .text = fmt::format("the provider does not say ({})", why.message())};
}

std::string left_behind(const Proof& proof) {
  return fmt::format("{} stays there, for prune, erase and revoke alone delete", proof.place);
}

double ms(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

std::string rule_text(const s3::LifecycleRule& rule) {
  std::string text = fmt::format("rule \"{}\" for names that begin with \"{}\"", rule.id,
                                 s3::plain_text(rule.prefix));
  if (!rule.expires.empty()) text += fmt::format(" deletes them {}", rule.expires);
  if (!rule.moves_to.empty()) {
    text += fmt::format("{} moves them to {}", rule.expires.empty() ? "" : " and",
                        fmt::join(rule.moves_to, ", "));
  }
  return text;
}

Level rule_level(const s3::LifecycleRule& rule) {
  const bool archives = std::ranges::any_of(rule.moves_to, [](const std::string& c) {
    return std::ranges::find(kArchives, c) != kArchives.end();
  });
  if (!rule.expires.empty() || archives) return Level::problem;
  return rule.moves_to.empty() ? Level::ok : Level::warning;
}

}  // namespace

std::string_view level_name(Level level) {
  switch (level) {
    case Level::ok:
      return "ok";
    case Level::warning:
      return "warning";
    case Level::problem:
      return "problem";
    case Level::unknown:
      return "unknown";
  }
  return "";
}

Finding judge_proof(const Proof& proof) {
  Finding out{.check = "conditional_put", .text = {}};
  const auto refused = [&](const Error& error) {
    out.level = Level::problem;
    out.text = error.message();
    if (error.code() == Code::kUnsupported) {
      out.text +=
          ": conditional PUT is not offered, so the store cannot decide between two writers";
      out.advice =
          "use another store, or format --single-writer and take care that one machine writes at a "
          "time";
    } else if (error.code() == Code::kDenied) {
      out.advice =
          "a volume can be read here at most; s3crate-blk bucket policy --role writer prints what "
          "writing takes";
    } else {
      out.advice = "try again";
    }
    return out;
  };
  if (is(proof.first, Code::kExists)) {
    out.text = fmt::format("enforced: another PUT to {} was refused", proof.place);
    return out;
  }
  if (!proof.first) return refused(proof.first.error());
  if (proof.second && is(*proof.second, Code::kExists)) {
    out.text = fmt::format("enforced: the second PUT was refused; {}", left_behind(proof));
    return out;
  }
  if (proof.second && !*proof.second) return refused(proof.second->error());
  out.level = Level::problem;
  out.text = fmt::format("ignored: an object was replaced, so two machines could write at once; {}",
                         left_behind(proof));
  out.advice =
      "use another store (some enforce it only in buckets that keep no versions), or format "
      "--single-writer and "
      "take care that one machine writes at a time";
  return out;
}

Finding judge_checksums(s3::PutCheck check) {
  Finding out{.check = "checksums", .text = {}};
  switch (check) {
    case s3::PutCheck::unknown:
      out.level = Level::unknown;
      out.text = "nothing could be put";
      break;
    case s3::PutCheck::crc32c:
      out.text = "verified: what does not match its CRC-32C is refused";
      break;
    case s3::PutCheck::sha256:
      out.text = "verified: what does not match its SHA-256 is refused";
      break;
    case s3::PutCheck::nothing:
      out.level = Level::warning;
      out.text = "not verified: each object is compared by its ETag once it is stored, or read back";
      break;
  }
  return out;
}

Finding judge_reads(const Reads& reads) {
  Finding out{.check = "latency", .text = {}};
  if (reads.failure) {
    out.level = Level::problem;
    out.text = reads.failure->message();
    out.advice =
        reads.failure->code() == Code::kDenied ? "a volume has to be read: allow it" : "try again";
    return out;
  }
  out.text = fmt::format("p50 {:.1f} ms, p99 {:.1f} ms over {} {}", ms(reads.p50), ms(reads.p99),
                         reads.count, reads.verb_and_place);
  if (reads.p99 >= kSlow) {
    out.level = Level::warning;
    out.advice = "reads that miss the caches will be slow: use a store that is nearer";
  }
  if (reads.retries > 0) {
    out.level = Level::warning;
    out.text += fmt::format(", {} of them repeated", reads.retries);
    out.advice = "the store or the way to it fails at times: look there, or try again";
  }
  return out;
}

Finding judge_clock(std::optional<Duration> ahead) {
  Finding out{.check = "clock", .text = {}};
  if (!ahead) {
    out.level = Level::unknown;
    out.text = "the store does not say what time it is";
    return out;
  }
  const Duration apart = std::chrono::abs(*ahead);
  // The store tells whole seconds.
  if (apart < std::chrono::seconds(2)) {
    out.text = "this machine and the store agree on the time";
    return out;
  }
  out.text = fmt::format("the store's clock is {} {} of this machine's", format_duration(apart),
                         *ahead > Duration{} ? "ahead" : "behind");
  if (apart < kClockTolerance) return out;
  out.level = Level::warning;
  out.advice =
      "requests are signed with the store's time, so this works; set this machine's clock all the "
      "same";
  return out;
}

Finding judge_versioning(const BucketAnswer& answer) {
  Finding out{.check = "versioning", .text = {}};
  if (!answer) return silent(out.check, answer.error());
  const auto versioning = s3::parse_versioning(*answer);
  if (!versioning) return silent(out.check, versioning.error());
  switch (*versioning) {
    case s3::Versioning::enabled:
      out.text =
          "the bucket keeps old versions: what is replaced or deleted can be had back, and costs "
          "until it expires";
      break;
    case s3::Versioning::suspended:
      out.text = "the bucket keeps no new versions, but those from before";
      break;
    case s3::Versioning::off:
      out.text =
          "the bucket keeps no old versions: who steals keys that may write can replace objects";
      break;
  }
  return out;
}

Finding judge_lifecycle(const BucketAnswer& answer, std::string_view below) {
  Finding out{.check = "lifecycle", .text = "no rule deletes or moves objects here"};
  if (is(answer, Code::kNotFound)) return out;
  if (!answer) return silent(out.check, answer.error());
  const auto rules = s3::parse_lifecycle(*answer);
  if (!rules) return silent(out.check, rules.error());
  std::vector<std::string> bad;
  for (const auto& rule : *rules) {
    const Level level = rule_level(rule);
    if (level == Level::ok || !rule.concerns(below)) continue;
    bad.push_back(rule_text(rule));
    if (out.level != Level::problem) out.level = level;
  }
  if (bad.empty()) return out;
  out.text = fmt::format("{}", fmt::join(bad, "; "));
  out.advice =
      out.level == Level::problem
          ? "remove it, or a volume here will be lost: objects are in use for as long as it exists"
          : "old objects are read as well: mind what reading costs in that storage class";
  return out;
}

Finding judge_lock(const BucketAnswer& answer) {
  Finding out{.check = "object_lock", .text = "off"};
  if (is(answer, Code::kNotFound)) return out;
  if (!answer) return silent(out.check, answer.error());
  const auto lock = s3::parse_object_lock(*answer);
  if (!lock) return silent(out.check, lock.error());
  if (!lock->enabled) return out;
  out.text =
      lock->retention.empty()
          ? "on, with no retention but what is asked for"
          : fmt::format("on: new objects are kept in {}; until then nothing frees their space",
                        lock->retention);
  return out;
}

Finding judge_policy_status(const BucketAnswer& answer) {
  Finding out{.check = "policy", .text = "the bucket's policy does not make it public"};
  if (is(answer, Code::kNotFound)) {
    out.text = "the bucket has no policy";
    return out;
  }
  if (!answer) return silent(out.check, answer.error());
  const auto is_public = s3::parse_policy_status(*answer);
  if (!is_public) return silent(out.check, is_public.error());
  if (!*is_public) return out;
  out.level = Level::warning;
  out.text =
      "the bucket's policy makes it public: everybody sees names, sizes and times, and gets the "
      "encrypted objects";
  out.advice = "if that is not meant, take the policy back";
  return out;
}

Finding judge_access_block(const BucketAnswer& answer) {
  Finding out{.check = "public_access_block",
              .text = "everything is blocked that could make the bucket public"};
  const auto blocks = answer ? s3::parse_public_access_block(*answer) : Result<bool>(false);
  if (!answer && !is(answer, Code::kNotFound)) return silent(out.check, answer.error());
  if (!blocks) return silent(out.check, blocks.error());
  if (!*blocks) out.text = "not everything is blocked that could make the bucket public";
  return out;
}

Finding judge_acl(const BucketAnswer& answer) {
  Finding out{.check = "acl", .text = "the bucket's list of grants names no strangers"};
  if (!answer) return silent(out.check, answer.error());
  const auto grants = s3::parse_acl(*answer);
  if (!grants) return silent(out.check, grants.error());
  std::vector<std::string> open;
  for (const auto& grant : *grants) {
    const bool harmless = grant.permission == "READ" || grant.permission == "READ_ACP";
    if (out.level != Level::problem) out.level = harmless ? Level::warning : Level::problem;
    open.push_back(
        fmt::format("{} to {}", grant.permission,
                    grant.everybody ? "everybody" : "everybody with an account of the provider"));
  }
  if (open.empty()) return out;
  out.text = fmt::format("the bucket's list of grants gives {}", fmt::join(open, ", "));
  out.advice = out.level == Level::problem
                   ? "take it back: strangers can replace and delete objects"
                   : "if that is not meant, take it back";
  return out;
}

}  // namespace s3crate::cli
