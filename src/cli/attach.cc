// SPDX-License-Identifier: GPL-3.0-or-later
// attach: from a URL to a directory with a filesystem in it. The volume is mounted in a place of its own (attachment.h); from then on
// this process does what a user would do by hand with losetup(8), mkfs(8) and mount(8).
#include "cli/attach.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/btrfs_id.h"
#include "cli/control.h"
#include "cli/loop_device.h"
#include "cli/mount.h"
#include "cli/process.h"
#include "cli/signals.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

constexpr auto kAnswerTime = std::chrono::seconds(5);

// The last line that mount(8) printed tells most, but for the one in which it speaks of dmesg; of a mkfs the first, as its usage may follow.
enum class Telling { kFirst, kLast };
std::string telling_line(std::string_view output, Telling telling) {
  std::string last = "without a word";
  while (!output.empty()) {
    const auto end = std::min(output.find('\n'), output.size());
    const auto line = output.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos && line.find("dmesg(1)") == std::string_view::npos) {
      last = line;
      if (telling == Telling::kFirst) break;
    }
    output.remove_prefix(std::min(end + 1, output.size()));
  }
  return last;
}

Result<> run_tool(const std::vector<std::string>& words, Telling telling, const Interrupts& interrupts, const std::string& package) {
  const auto ran = TRY(run_captured(words, [&](pid_t) { return !interrupts.came(); }));
  if (interrupts.came()) return fail(Code::kCancelled, "interrupted: what was done is undone");
  if (ran.status == 0) return {};
  if (ran.status == 127) return fail(Code::kUnsupported, "there is no {} on this machine: install {}", words[0], package);
  return fail(Code::kIo, "{} failed: {}", words[0], telling_line(ran.output, telling));
}

std::string package_of(Filesystem type) {
  switch (type) {
    case Filesystem::kBtrfs: return "btrfs-progs";
    case Filesystem::kXfs: return "xfsprogs";
    default: return "e2fsprogs";
  }
}

Result<Bytes> beginning_of(const OpenLoop& loop) {
  Bytes bytes(kSuperblockBytes);
  const auto n = ::pread(loop.fd.get(), bytes.data(), bytes.size(), 0);
  if (n < 0) return fail(system_error(errno, "read", loop.device));
  bytes.resize(static_cast<std::size_t>(n));
  return bytes;
}

// Of the map: holes are exact, so this is no guess from what the disk's beginning looks like.
Result<bool> is_empty(const std::string& disk) {
  const Fd fd(::open(disk.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(system_error(errno, "open", disk));
  if (::lseek(fd.get(), 0, SEEK_DATA) >= 0) return false;
  if (errno == ENXIO) return true;
  return fail(system_error(errno, "look for data in", disk));
}

Result<> make_filesystem(const OpenLoop& loop, Filesystem type, const Interrupts& interrupts) {
  auto made = run_tool({fmt::format("mkfs.{}", name_of(type)), "-q", loop.device}, Telling::kFirst, interrupts, package_of(type));
  if (made) return {};
  // It was empty, and nobody but mkfs has had it: so it is empty again, for the next attempt.
  std::uint64_t range[2] = {0, 0};
  if (::ioctl(loop.fd.get(), BLKGETSIZE64, &range[1]) == 0) static_cast<void>(::ioctl(loop.fd.get(), BLKDISCARD, range));
  return made;
}

// The kernel takes two filesystems of one id for one, and refuses the second, whichever comes first (from Linux 6.7 on it knows better,
// mostly). So what shows the past has an id of its own, which stays in memory like all that is written to it.
Result<> give_own_id(Random& random, const OpenLoop& loop, ByteView beginning) {
  const auto old = btrfs_id(beginning);
  if (!old) return {};
  const auto id = random.array<16>();
  Bytes super(kBtrfsSuperBytes);
  for (const auto offset : kBtrfsSuperOffsets) {
    const auto at = static_cast<off_t>(offset);
    const auto n = ::pread(loop.fd.get(), super.data(), super.size(), at);
    if (n < 0) return fail(system_error(errno, "read", loop.device));
    auto changed = change_btrfs_id(MutableByteView(super).first(static_cast<std::size_t>(n)), id);
    if (is(changed, Code::kNotFound)) continue;  // the disk is smaller
    std::error_code error;
    if (!changed && std::filesystem::exists("/sys/fs/btrfs/" + *old, error)) {
      return fail(Code::kExists, "a btrfs of the same id {} is mounted, beside which the kernel takes no other, and this one can be given no "
                  "other id: {}", *old, changed.error().message());
    }
    if (!changed) return {};
    if (::pwrite(loop.fd.get(), super.data(), super.size(), at) != n) return fail(system_error(errno, "write to", loop.device));
  }
  if (::fsync(loop.fd.get()) != 0) return fail(system_error(errno, "write to", loop.device));
  return {};
}

bool met_damage(const std::string& place) {
  const auto met = reads_met(place);
  return met && met->damaged > 0;
}

Result<> mount_filesystem(Random& random, const AttachRequest& request, const OpenLoop& loop, bool empty, const Interrupts& interrupts,
                          Attached& attached) {
  const auto beginning = TRY(beginning_of(loop));
  const auto type = identify(beginning);
  if (type == Filesystem::kUnknown && empty) {
    return fail(Code::kNotFound, "the volume is empty: --mkfs btrfs, ext4 or xfs makes a filesystem on it");
  }
  if (attached.scratch) TRY(give_own_id(random, loop, beginning));
  const auto purpose = attached.scratch ? MountFor::kReading : attached.read_only ? MountFor::kReadingAsIs : MountFor::kWriting;
  auto options = mount_options(type, purpose);
  if (!request.options.empty()) options += (options.empty() ? "" : ",") + request.options;
  std::vector<std::string> words = {"mount"};
  if (type != Filesystem::kUnknown) words.insert(words.end(), {"-t", std::string(name_of(type))});
  if (!options.empty()) words.insert(words.end(), {"-o", options});
  words.insert(words.end(), {"--", loop.device, request.directory});
  if (auto mounted = run_tool(words, Telling::kLast, interrupts, "mount"); !mounted) {
    const char* way = type == Filesystem::kUnknown ? " (for what is no filesystem there is --fs none)"
                      : attached.scratch && !met_damage(attached.place) ? " (its log is played back into memory: --scratch-size says how much of that it may take)" : "";
    return fail(mounted.error().code(), "{}{}", mounted.error().message(), way);
  }
  const auto found = find_attachment(request.directory);
  if (!found.filesystem) return fail(Code::kIo, "mount says that it mounted {}, but the kernel does not", loop.device);
  attached.type = found.filesystem->type;
  return {};
}

// Behind the mount of the volume.
Result<> go_on(Random& random, const AttachRequest& request, const MountPlan& plan, const Interrupts& interrupts, Attached& attached) {
  const auto disk = fmt::format("{}/{}", plan.mountpoint, plan.disk_name);
  const bool empty = TRY(is_empty(disk));
  const bool make = request.mkfs != Filesystem::kUnknown;
  if (make && !empty) return fail(Code::kExists, "there is data on the disk: --mkfs is for an empty one (without it, what is there is mounted)");
  const auto access = attached.read_only && !attached.scratch ? LoopAccess::kReadOnly : LoopAccess::kReadWrite;
  const auto loop = TRY(make_loop(disk, access, request.filesystem ? LoopEnd::kWithLastUser : LoopEnd::kWhenAsked));
  attached.device = loop.device;
  if (make) TRY(make_filesystem(loop, request.mkfs, interrupts));
  if (request.filesystem) TRY(mount_filesystem(random, request, loop, empty && !make, interrupts, attached));
  if (interrupts.came()) return fail(Code::kCancelled, "interrupted: what was done is undone");
  return {};
}

Context silent(const Context& context) { return {context.arguments, context.env, Output(true)}; }

// What an attach that was killed has left, or a detach that could not go on. A complete one is none of our business.
Result<> clear_remains(Context& context, const std::string& directory) {
  const auto found = find_attachment(directory);
  if (found.filesystem || (found.volume && found.place == directory)) {
    return fail(Code::kExists, "{} is attached on {} already (s3crate-blk detach {} undoes it)",
                found.volume ? found.volume->url : found.filesystem->source, directory, directory);
  }
  if (found.place.empty() || !found.volume) return {};
  auto quiet = silent(context);
  auto undone = detach(quiet, directory, {directory, "detached"});
  if (!undone) return fail(undone.error().within("what an earlier attach left"));
  return {};
}

// Says what went wrong with it, if anything did, behind what went wrong before.
Error undo(Context& context, const std::string& directory, const Error& why) {
  auto quiet = silent(context);
  const auto undone = detach(quiet, directory, {directory, "detached"});
  if (undone || is(undone, Code::kNotFound)) return why;
  return {why.code(), fmt::format("{}; and it could not be undone: {} (s3crate-blk detach {})", why.message(), undone.error().message(), directory)};
}

}  // namespace

std::optional<ReadsMet> reads_met(const std::string& place) {
  auto connection = connect_control(control_socket_path(place, ::geteuid()));
  if (!connection || !connection->send({{"command", "status"}})) return std::nullopt;
  const auto answer = connection->receive(kAnswerTime);
  if (!answer || !*answer || !(**answer).contains("failed_reads")) return std::nullopt;
  const auto& said = **answer;
  return ReadsMet{said["failed_reads"].value("damaged", std::uint64_t{0}), said["failed_reads"].value("others", std::uint64_t{0}),
                  said.value("damage", ""), said.value("health_reason", "")};
}

Error explain_reads(const Error& error, const std::string& place) {
  const auto met = error.code() == Code::kIo ? reads_met(place) : std::nullopt;
  if (met && met->others > 0) return {Code::kTransient, fmt::format("{}. Reads of the volume failed: {}", error.message(), met->trouble)};
  if (met && met->damaged > 0)
    return {Code::kCorrupt, fmt::format("{}. The volume is damaged: {} (s3crate-blk check --read-data tells all of it)", error.message(), met->damage)};
  return error;
}

CommandResult attach(Context& context, const AttachRequest& request, Attached& attached) {
  TRY(clear_remains(context, request.directory));
  TRY(check_free_directory(request.directory));
  attached.place = request.filesystem ? TRY(place_for(request.directory)) : request.directory;
  if (request.filesystem) TRY(make_place(attached.place));
  auto plan = plan_mount(context.arguments, attached.place);
  if (!plan) {
    remove_place(attached.place);
    return fail(std::move(plan.error()));
  }
  if (plan->disk.read_only && request.mkfs != Filesystem::kUnknown) {
    remove_place(attached.place);
    return fail(Code::kBadArgument, "--mkfs writes, and this is read-only: leave one of them out");
  }
  plan->greets = false;
  plan->json = context.arguments.flag("json");
  attached.read_only = plan->disk.read_only;
  attached.scratch = plan->scratch_bytes > 0;
  const auto mounted = mount_in_background(context, *plan);
  if (!mounted || *mounted != kDone) {
    remove_place(attached.place);
    return mounted;
  }
  Result<> done;
  {
    const Interrupts interrupts;
    done = go_on(context.env.random, request, *plan, interrupts, attached);
  }
  if (!done) return fail(undo(context, request.directory, explain_reads(done.error(), attached.place)));
  return kDone;
}

CommandResult run_attach(Context& context) {
  const auto& arguments = context.arguments;
  AttachRequest request;
  request.directory = canonical_path(arguments.positionals().at(1));
  request.filesystem = arguments.text("fs") == "auto";
  if (arguments.has("mkfs")) request.mkfs = filesystem_named(arguments.text("mkfs"));
  if (arguments.has("fs-options")) request.options = arguments.text("fs-options");
  if (!request.filesystem && (arguments.has("mkfs") || arguments.has("fs-options"))) {
    return fail(Code::kBadArgument, "--fs none stops before there is a filesystem: leave out --mkfs and --fs-options");
  }
  if (::geteuid() != 0) return fail(Code::kIo, "only root can use loop devices and mount a filesystem: as a user, there is mount");
  const auto lock = TRY(AttachLock::take(request.directory));
  Attached attached;
  if (const auto status = TRY(attach(context, request, attached)); status != kDone) return status;
  if (request.filesystem) {
    context.out.print(fmt::format("{} is attached on {}: {} on {}{}; the volume is mounted on {}", arguments.positionals().at(0), request.directory,
                                  attached.type, attached.device, attached.read_only ? ", read-only" : "", attached.place));
  } else {
    context.out.print(attached.device);
  }
  context.out.print_json({{"directory", request.directory}, {"device", attached.device}, {"mountpoint", attached.place},
                          {"filesystem", attached.type}, {"read_only", attached.read_only}});
  return kDone;
}

}  // namespace s3crate::cli
