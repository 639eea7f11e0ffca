// SPDX-License-Identifier: GPL-3.0-or-later
// status: one mount in detail, or a line for each.
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/control.h"

namespace s3crate::cli {
namespace {

using nlohmann::json;

constexpr auto kAnswerTime = std::chrono::seconds(5);

std::string no_direct_io(const LoopDevice& loop) {
  return fmt::format("{} has direct I/O off, which caches everything twice: losetup --direct-io=on {}", loop.device, loop.device);
}

std::pair<std::string, std::string> silence(const MountEntry& mount, const Result<ControlConnection>& connection) {
  if (connection) return {"no answer", "the process behind the mount does not answer"};
  if (!is(connection, Code::kNotFound)) return {"unknown", connection.error().message()};
  return {"dead", fmt::format("the process behind the mount is gone: s3crate-blk umount {}, then mount again", mount.mountpoint)};
}

// What the process behind the mount says, or why it says nothing.
json ask(const MountEntry& mount) {
  json status;
  auto connection = connect_control(control_socket_path(mount.mountpoint, mount.owner));
  Result<std::optional<json>> answer;
  if (connection && connection->send({{"command", "status"}})) answer = connection->receive(kAnswerTime);
  if (connection && answer && *answer && !(**answer).contains("error")) {
    status = std::move(**answer);
    status.erase("done");
  } else {
    status = {{"url", mount.url}, {"mountpoint", mount.mountpoint}};
    const auto [word, reason] = silence(mount, connection);
    status["health"] = word;
    status["health_reason"] = reason;
  }
  status["loop_devices"] = json::array();
  status["warnings"] = json::array();
  for (const auto& loop : loops_in(mount.mountpoint)) {
    status["loop_devices"].push_back({{"device", loop.device}, {"file", loop.file}, {"direct_io", loop.direct_io}});
    if (!loop.direct_io) status["warnings"].push_back(no_direct_io(loop));
  }
  return status;
}

std::uint64_t figure(const json& status, const char* group, const char* name) {
  return status.contains(group) ? status[group].value(name, std::uint64_t{0}) : 0;
}

std::string health(const json& status) {
  const auto word = status.value("health", ""), reason = status.value("health_reason", "");
  return reason.empty() ? word : fmt::format("{}: {}", word, reason);
}

void print_details(const Output& out, const json& status) {
  const auto line = [&](std::string_view name, const std::string& value) { out.print(fmt::format("{:<12} {}", name, value)); };
  line("mountpoint", status.value("mountpoint", ""));
  line("url", status.value("url", ""));
  line("health", health(status));
  if (status.contains("disk") && status.contains("volume")) {
    line("volume", status["volume"].value("fingerprint", ""));
    line("size", format_bytes(figure(status, "disk", "bytes")));
    line("generation", fmt::format("{}", figure(status, "disk", "generation")));
    line("epoch", fmt::format("{}", figure(status, "disk", "epoch")));
    const auto unsent = figure(status, "unsent", "bytes");
    const auto age = std::chrono::duration<double>(status["unsent"].value("age_seconds", 0.0));
    const auto oldest = fmt::format(", oldest {}", format_duration(std::chrono::duration_cast<Duration>(age)));
    line("unsent", format_bytes(unsent) + (unsent > 0 ? oldest : ""));
    line("reads", fmt::format("{}/s", format_bytes(figure(status, "reads", "bytes_per_second"))));
    line("writes", fmt::format("{}/s", format_bytes(figure(status, "writes", "bytes_per_second"))));
    line("guarantee", status.value("guarantee", ""));
  }
  for (const auto& loop : status["loop_devices"]) line("loop device", loop.value("device", ""));
  if (status["loop_devices"].empty() && status.contains("losetup")) line("to use it", status.value("losetup", ""));
  for (const auto& warning : status["warnings"]) line("warning", warning.get<std::string>());
}

}  // namespace

CommandResult run_status(Context& context) {
  const auto& positionals = context.arguments.positionals();
  if (!positionals.empty()) {
    const auto status = ask(TRY(find_volume(canonical_path(positionals[0]))));
    print_details(context.out, status);
    context.out.print_json(status);
    return status.contains("pid") ? kDone : kFailed;
  }
  json all = json::array();
  for (const auto& mount : our_mounts()) all.push_back(ask(mount));
  if (all.empty()) context.out.print("no volume is mounted");
  for (const auto& status : all) {
    auto text = fmt::format("{}  on {}  ", status.value("url", ""), status.value("mountpoint", ""));
    if (status.contains("disk")) {
      text += fmt::format("generation {}, {} unsent, ", figure(status, "disk", "generation"),
                          format_bytes(figure(status, "unsent", "bytes")));
    }
    context.out.print(text + health(status));
  }
  context.out.print_json({{"mounts", all}});
  return kDone;
}

}  // namespace s3crate::cli
