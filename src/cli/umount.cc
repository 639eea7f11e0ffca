// SPDX-License-Identifier: GPL-3.0-or-later
// umount: the kernel's part is done at once; then it waits for the process behind the mount, which sends what is left.
#include "cli/umount.h"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/time_text.h"
#include "cli/mount_table.h"
#include "cli/process.h"
#include "fuse/server.h"

namespace s3crate::cli {
namespace {

// From the last word of the process behind the mount to its end.
constexpr auto kExitTime = std::chrono::seconds(10);
constexpr auto kLoopTime = std::chrono::seconds(5);
// A loop device that ends lets go of its file a moment after it no longer says that it ends, or is to be seen at all.
constexpr auto kLetGoTime = std::chrono::milliseconds(500);
constexpr auto kLoopPause = std::chrono::milliseconds(50);

tl::unexpected<Error> busy(const std::string& mountpoint) {
  std::string who = "programs have files in it open (fuser -vm shows them)";
  auto loops = loops_in(mountpoint);
  const auto past = loops_in(fmt::format("{}/{}", mountpoint, fuse::kHistoryName));
  loops.insert(loops.end(), past.begin(), past.end());
  if (!loops.empty()) {
    const auto& device = loops[0].device;
    const auto mounts = kernel_mounts();
    const bool hidden = loops[0].going && std::ranges::none_of(mounts, [&](const KernelMount& mount) { return mount.source == device; });
    who = hidden ? fmt::format("{} on its disk ends with its last user, and has one that does not show here, perhaps a container "
                               "with its own copy of what was mounted: grep -l {} /proc/[0-9]*/mounts names its processes", device, device)
                 : fmt::format("{} is on its disk: unmount what is on that, then losetup -d {}", device, device);
  }
  return fail(Code::kExists, "{} is in use: {}", mountpoint, who);
}

// After losetup -d: whoever looked at the device just then (udev does) delays its end.
bool only_ending_loops(const std::string& mountpoint) {
  const auto loops = loops_in(mountpoint);
  return !loops.empty() && std::ranges::all_of(loops, &LoopDevice::going);
}

Result<> unmount(Env env, const std::string& mountpoint) {
  const MonotonicTime begin = env.clock.monotonic_now();
  if (::geteuid() == 0) {
    for (;;) {
      if (::umount2(mountpoint.c_str(), UMOUNT_NOFOLLOW) == 0) return {};
      if (errno != EBUSY) break;
      const Duration waited = env.clock.monotonic_now() - begin;
      if (waited > kLoopTime || (waited > kLetGoTime && !only_ending_loops(mountpoint))) return busy(mountpoint);
      nap(env.clock, env.executor, kLoopPause);
    }
    return fail(system_error(errno, "unmount", mountpoint));
  }
  const int status = run_quietly({"fusermount3", "-u", "--", mountpoint});
  if (status == 0) return {};
  if (status < 0) return fail(Code::kIo, "cannot unmount {}: fusermount3 is not there (package fuse3)", mountpoint);
  return busy(mountpoint);
}

// Nobody is there to wait for.
CommandResult bury(Context& context, const UnmountRequest& what) {
  context.out.print(fmt::format("{} is {}; the process behind it was dead. What it had acknowledged and not sent is in the "
                                "journal of this machine: mount the volume again to send it", what.name, what.done));
  return kDone;
}

CommandResult conclude(Context& context, const UnmountRequest& what, const nlohmann::json& ending) {
  const int status = ending.value("status", static_cast<int>(kFailed));
  const auto message = ending.value("message", "");
  if (status == kDone && ending.value("read_only", false)) {
    context.out.print(fmt::format("{} is {}", what.name, what.done));
  } else if (status == kDone) {
    context.out.print(fmt::format("{} is {}; the store has everything (generation {})", what.name, what.done, ending.value("generation", std::uint64_t{0})));
  } else {
    std::fprintf(stderr, "s3crate-blk: %s\n", message.c_str());
  }
  return static_cast<ExitStatus>(status);
}

CommandResult wait_for_end(Context& context, const UnmountRequest& what, const std::string& socket, ControlConnection& connection) {
  auto ending = wait_with_progress(context.env.clock, connection, socket, what.progress, what.timeout);
  if (is(ending, Code::kTransient)) {
    return fail(Code::kTransient, "{} is {}, but the process behind it ended without a word; what was not sent is in the "
                "journal: mount the volume again", what.name, what.done);
  }
  if (!ending) return fail(std::move(ending.error()));
  if (*ending) {
    // The next mount may come at once, and would find the volume locked.
    connection.wait_for_exit(kExitTime);
    return conclude(context, what, **ending);
  }

  std::optional<std::uint64_t> unsent;
  auto status = connect_control(socket);
  if (status && status->send({{"command", "status"}})) {
    auto answer = status->receive(std::chrono::seconds(2));
    if (answer && *answer && (**answer).contains("unsent")) unsent = (**answer)["unsent"].value("bytes", std::uint64_t{0});
  }
  auto left = std::string("what is not sent yet is still being sent");
  if (unsent) left = *unsent == 0 ? "nothing is left to send" : format_bytes(*unsent) + " exist only on this machine, and are still being sent";
  const auto text = fmt::format("{} is {}; {}", what.name, what.done, left);
  if (!what.no_wait) return fail(Code::kTransient, "{}", text);
  context.out.print(text);
  return kDone;
}

}  // namespace

UnmountRequest unmount_request(const Arguments& arguments, std::string name, std::string_view done) {
  UnmountRequest request{std::move(name), done};
  request.no_wait = arguments.flag("no-wait");
  if (arguments.has("timeout")) request.timeout = arguments.time("timeout");
  if (request.no_wait) request.timeout = std::chrono::milliseconds(1);
  request.progress = progress_style(arguments.text("progress"));
  return request;
}

CommandResult unmount_volume(Context& context, const std::string& mountpoint, const UnmountRequest& what) {
  const auto mount = find_mount(mountpoint);
  const auto socket = control_socket_path(mountpoint, mount ? mount->owner : ::geteuid());
  auto connection = connect_control(socket);
  if (!mount && !connection) return fail(Code::kNotFound, "no volume is mounted on {}", mountpoint);
  // A hook may refuse.
  if (auto asked = connect_control(socket); mount && asked && asked->send({{"command", "before-umount"}})) {
    auto answer = wait_with_progress(context.env.clock, *asked, socket, what.progress, std::nullopt);
    if (answer && (**answer).contains("refused")) return fail(Code::kIo, "{} stays mounted: {}", mountpoint, (**answer).value("refused", ""));
  }
  // Before the unmount, so that its end is not missed.
  if (connection) TRY(connection->send({{"command", "wait"}}));
  // As long as the dead mount is there, no other one can listen.
  if (is(connection, Code::kNotFound) && !socket.empty()) ::unlink(socket.c_str());
  if (mount) TRY(unmount(context.env, mountpoint));
  if (!connection) return bury(context, what);
  return wait_for_end(context, what, socket, *connection);
}

CommandResult run_umount(Context& context) {
  const auto mountpoint = canonical_path(context.arguments.positionals().at(0));
  return unmount_volume(context, mountpoint, unmount_request(context.arguments, mountpoint, "unmounted"));
}

}  // namespace s3crate::cli
