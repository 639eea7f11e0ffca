// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/s3/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace s3crate::test::strict {
namespace {

constexpr std::array<std::string_view, kFaults> kFaultNames = {
    "none",     "error_500", "error_after", "slow_down", "reset", "lost_reply",
    "truncate", "corrupt",   "hang",        "stall",     "stale",      "tail"};

template <typename T>
bool parse_number(std::string_view text, T& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

std::vector<SettingInfo> make_table() {
  std::vector<SettingInfo> table = {
      {"bucket", "the name of the one bucket", &Settings::bucket, {}},
      {"bucket_state",
       "what it answers",
       &Settings::bucket_state,
       {"present", "missing", "forbidden"}},
      {"speaks",
       "page: to everything a web page with status 200, as of a hotel's network",
       &Settings::speaks,
       {"s3", "page"}},
      {"region", "the one that must be signed for", &Settings::region, {}},
      {"access_key", "", &Settings::access_key, {}},
      {"secret_key", "", &Settings::secret_key, {}},
      {"session_token", "must come with every request if set", &Settings::session_token, {}},
      {"anonymous_read",
       "1: unsigned GET, HEAD and LIST are served",
       &Settings::anonymous_read,
       {}},
      {"unsigned_payload",
       "1: UNSIGNED-PAYLOAD is taken over plain http, too",
       &Settings::unsigned_payload,
       {}},
      {"conditions",
       "what If-None-Match: * does",
       &Settings::conditions,
       {"enforced", "ignored", "501"}},
      {"checksums",
       "of bodies, and those in the signature",
       &Settings::checksums,
       {"verified", "ignored"}},
      {"crc32c",
       "what x-amz-checksum-crc32c does. swapped: the least significant byte must come first, as in an early Ceph; "
       "silent: the answer does not repeat it; with_algorithm: ignored without x-amz-sdk-checksum-algorithm; minio: "
       "verified, in other words; 500: what is wrong brings it into trouble",
       &Settings::crc32c,
       {"verified", "ignored", "501", "swapped", "silent", "with_algorithm", "minio", "500"}},
      {"conflict",
       "1: 409 for a conditional PUT while an earlier one of that key is under way",
       &Settings::conflict,
       {}},
      {"page_keys", "most keys in a page of a list", &Settings::page_keys, {}},
      {"etag", "the MD5, or something else (as with SSE-KMS)", &Settings::etag, {"md5", "opaque"}},
      {"forbid", "operations that answer 403, as PutObject,ListObjectsV2", &Settings::forbid, {}},
      {"clock_offset_s", "how far its clock is ahead", &Settings::clock_offset_s, {}},
      {"max_object", "largest object in bytes", &Settings::max_object, {}},
      {"versioning", "off, Enabled, Suspended, 403, 501 or XML", &Settings::versioning, {}},
      {"lifecycle", "off, 403, 501 or XML", &Settings::lifecycle, {}},
      {"policy_status", "off, public, private, 403, 501 or XML", &Settings::policy_status, {}},
      {"object_lock", "off, on, 403, 501 or XML", &Settings::object_lock, {}},
      {"public_access_block", "off, on, 403, 501 or XML", &Settings::public_access_block, {}},
      {"acl", "private, public-read, 403, 501 or XML", &Settings::acl, {}},
      {"retry_after_s", "Retry-After of SlowDown; 0: none", &Settings::retry_after_s, {}},
      {"stale_ms", "age of what a stale answer shows", &Settings::stale_ms, {}},
      {"tail_ms", "what a tail adds to latency_us", &Settings::tail_ms, {}},
      {"latency_us", "from a request's last byte to its answer", &Settings::latency_us, {}},
  };
  for (std::size_t i = 1; i < kFaults; ++i) {
    table.push_back({std::string(kFaultNames[i]), "share of requests, 0 to 1", Fault(i), {}});
  }
  return table;
}

}  // namespace

std::string_view fault_name(Fault fault) { return kFaultNames[static_cast<std::size_t>(fault)]; }

std::optional<Fault> fault_named(std::string_view name) {
  auto found = std::find(kFaultNames.begin(), kFaultNames.end(), name);
  if (found == kFaultNames.end()) return std::nullopt;
  return Fault(found - kFaultNames.begin());
}

const std::vector<SettingInfo>& all_settings() {
  static const std::vector<SettingInfo> table = make_table();
  return table;
}

std::string apply(Settings& settings, std::string_view name, std::string_view value) {
  for (const SettingInfo& info : all_settings()) {
    if (info.name != name) continue;
    if (const auto* text = std::get_if<std::string Settings::*>(&info.where)) {
      bool known = std::find(info.choices.begin(), info.choices.end(), value) != info.choices.end();
      if (!info.choices.empty() && !known)
        return fmt::format("{} may be: {}", name, fmt::join(info.choices, ", "));
      settings.*(*text) = value;
      return "";
    }
    if (const auto* number = std::get_if<std::int64_t Settings::*>(&info.where)) {
      return parse_number(value, settings.*(*number)) ? "" : fmt::format("{}: no number", name);
    }
    double rate = -1;
    if (!parse_number(value, rate) || rate < 0 || rate > 1)
      return fmt::format("{}: no number from 0 to 1", name);
    settings.rates[static_cast<std::size_t>(std::get<Fault>(info.where))] = rate;
    return "";
  }
  return fmt::format("there is no setting {}", name);
}

std::string show(const Settings& settings, const SettingInfo& info) {
  if (const auto* text = std::get_if<std::string Settings::*>(&info.where))
    return settings.*(*text);
  if (const auto* number = std::get_if<std::int64_t Settings::*>(&info.where))
    return fmt::format("{}", settings.*(*number));
  return fmt::format("{}", settings.rates[static_cast<std::size_t>(std::get<Fault>(info.where))]);
}

}  // namespace s3crate::test::strict
