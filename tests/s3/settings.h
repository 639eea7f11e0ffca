// SPDX-License-Identifier: GPL-3.0-or-later
// What can be set on the strict server, by name, before and while it runs. One table serves C++
// tests (StrictS3::set), the program's options and its control address.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace s3crate::test::strict {

// What is done to a request instead of, or after, serving it.
enum class Fault {
  kNone,
  kError500,    // not done, 500 InternalError
  kErrorAfter,  // done, 500 InternalError all the same
  kSlowDown,    // not done, 503 SlowDown; with Retry-After if retry_after_s is set
  kReset,       // not done, connection reset
  kLostReply,   // done, connection reset
  kTruncate,    // done, the body ends early
  kCorrupt,     // done, one byte of the body is flipped
  kHang,        // not done, no answer until the client gives up
  kStall,       // done, half of the body, then nothing until the client gives up
  kStale,       // GET, HEAD and LIST show what was there stale_ms ago
  kTail,        // done, answered tail_ms later than the others
};
constexpr std::size_t kFaults = 12;
[[nodiscard]] std::string_view fault_name(Fault fault);  // "lost_reply"
[[nodiscard]] std::optional<Fault> fault_named(std::string_view name);

struct Settings {
  std::string bucket = "bucket";
  std::string bucket_state = "present";
  std::string speaks = "s3";
  std::string region = "us-east-1";
  std::string access_key = "strictaccess";
  std::string secret_key = "strictsecret";
  std::string session_token;
  std::int64_t anonymous_read = 0;
  std::int64_t unsigned_payload = 0;

  std::string conditions = "enforced";
  std::string checksums = "verified";
  std::string crc32c = "verified";
  std::int64_t conflict = 0;
  std::int64_t page_keys = 3;
  std::string etag = "md5";
  std::string forbid;
  std::int64_t clock_offset_s = 0;
  std::int64_t max_object = 256 << 20;

  std::string versioning = "off";
  std::string lifecycle = "off";
  std::string policy_status = "off";
  std::string object_lock = "off";
  std::string public_access_block = "off";
  std::string acl = "private";

  std::array<double, kFaults> rates{};  // of each Fault
  std::int64_t retry_after_s = 0;
  std::int64_t stale_ms = 1000;
  std::int64_t tail_ms = 300;
  std::int64_t latency_us = 0;
};

struct SettingInfo {
  std::string name;
  std::string help;
  std::variant<std::string Settings::*, std::int64_t Settings::*, Fault> where;
  std::vector<std::string> choices;  // empty: anything
};
[[nodiscard]] const std::vector<SettingInfo>& all_settings();

// "" if done, else what is wrong.
[[nodiscard]] std::string apply(Settings& settings, std::string_view name, std::string_view value);
[[nodiscard]] std::string show(const Settings& settings, const SettingInfo& info);

}  // namespace s3crate::test::strict
