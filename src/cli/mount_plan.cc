// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/mount_plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "cli/files.h"
#include "cli/keys.h"
#include "cli/log.h"
#include "cli/mount_table.h"
#include "cli/process.h"
#include "cli/stack.h"
#include "io/file_io.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kMi = 1 << 20, kGi = 1 << 30;
constexpr std::uint64_t kSmallMachine = 2 * kGi;
constexpr std::uint64_t kPercentOfFree = 10;
constexpr std::uint64_t kCacheFileMin = 4 * kMi, kCacheFileUsual = 20 * kGi;

Result<> check_mountpoint(const std::string& path) {
  if (find_mount(path)) {
    return fail(Code::kExists, "a volume is mounted on {} already (s3crate-blk status {} shows it)", path, path);
  }
  return check_free_directory(path);
}

Result<> check_fuse() {
  const Fd fuse(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (fuse) return {};
  if (errno == ENOENT || errno == ENODEV || errno == ENXIO) {
    return fail(Code::kUnsupported, "there is no /dev/fuse: load the kernel module (modprobe fuse), or give it to this container");
  }
  return fail(Code::kIo, "{}", system_error(errno, "open", "/dev/fuse").message());
}

Result<> check_file_name(std::string_view option, const std::string& name) {
  if (name.empty() || name.size() > 200 || name == "." || name == ".." || name.find('/') != std::string::npos) {
    return fail(Code::kBadArgument, "--{}: \"{}\" cannot be the name of a file", option, name);
  }
  return {};
}

// The store, what this machine keeps beside it, and the mount: none may swallow the other.
Result<> check_places(const MountPlan& plan) {
  // A bucket is in no place of this machine.
  const auto store = plan.url.kind == Url::Kind::directory ? canonical_path(plan.url.directory) : plan.url.text();
  const auto& state = plan.disk.state_dir;
  struct Pair {
    const char *inner_name, *outer_name;
    const std::string &inner, &outer;
  };
  for (const auto& p : {Pair{"the state directory", "the mountpoint", state, plan.mountpoint},
                        Pair{"the volume", "the mountpoint", store, plan.mountpoint},
                        Pair{"the mountpoint", "the volume", plan.mountpoint, store},
                        Pair{"the state directory", "the volume", state, store}}) {
    if (!p.inner.empty() && !p.outer.empty() && is_inside(p.inner, p.outer)) {
      return fail(Code::kBadArgument, "{} ({}) cannot be in {} ({})", p.inner_name, p.inner, p.outer_name, p.outer);
    }
  }
  return {};
}

Result<> check_state_directory(const std::string& path) {
  const auto remedy = "choose another with --state-dir";
  auto made = io::posix_file_io().make_directories(path);
  if (!made) return fail(Code::kIo, "the state directory cannot be made: {}; {}", made.error().message(), remedy);
  if (::access(path.c_str(), R_OK | W_OK | X_OK) != 0) {
    return fail(Code::kIo, "the state directory is of no use: {}; {}", system_error(errno, "write in", path).message(), remedy);
  }
  return {};
}

std::uint64_t memory_default(const Arguments& arguments, std::string_view option, std::uint64_t normal) {
  if (arguments.has(option)) return arguments.size(option);
  return memory_bytes() < kSmallMachine ? normal / 2 : normal;
}

Result<std::uint64_t> journal_bytes(const Arguments& arguments, const std::string& state_dir) {
  if (arguments.has("journal-size")) return arguments.size("journal-size");
  auto free = io::posix_file_io().free_bytes(state_dir);
  if (!free) return fail(Code::kIo, "the state directory is of no use: {}", free.error().message());
  return std::clamp(*free / 100 * kPercentOfFree, kGi, 32 * kGi);
}

// Where the volume is a directory on the same disk, a second copy there would be of no use.
bool is_on_disk_of(const Url& url, const std::string& state_dir) {
  if (url.kind != Url::Kind::directory) return false;
  const auto store = io::posix_file_io().identity(canonical_path(url.directory));
  const auto state = io::posix_file_io().identity(state_dir);
  return store && state && store->device == state->device;
}

Result<> plan_cache_file(const Arguments& arguments, MountPlan& plan) {
  auto& disk = plan.disk;
  if (arguments.has("cache-file-size")) {
    disk.cache_file_bytes = arguments.size("cache-file-size");
    if (disk.cache_file_bytes > 0 && disk.cache_file_bytes < kCacheFileMin)
      return fail(Code::kBadArgument, "--cache-file-size: at least 4M, or 0 for none");
    return {};
  }
  // A read-only mount has no other use for the directory: without it, it goes on.
  if (!io::posix_file_io().make_directories(disk.state_dir) || is_on_disk_of(plan.url, disk.state_dir)) return {};
  const auto free = io::posix_file_io().free_bytes(disk.state_dir);
  if (!free || *free / 100 * kPercentOfFree < kCacheFileMin) return {};
  disk.cache_file_bytes = std::min(*free / 100 * kPercentOfFree, kCacheFileUsual);
  // Or each mount, which finds a little more or less free, would throw away what the last one collected.
  disk.cache_file_kept_max = std::min(2 * disk.cache_file_bytes, kCacheFileUsual);
  return {};
}

segment::Uuid boot_uuid() {
  auto text = boot_id();
  std::erase(text, '-');
  segment::Uuid boot{};
  if (!from_hex(text, boot)) boot = {};
  return boot;
}

Result<> plan_disk(const Arguments& arguments, MountPlan& plan) {
  auto& disk = plan.disk;
  disk.point = TRY(point_of(plan.url, system_clock().wall_now()));
  disk.read_only = arguments.flag("read-only") || disk.point;
  if (disk.read_only && (arguments.flag("take-over") || arguments.flag("moved"))) {
    return fail(Code::kBadArgument, "a read-only mount needs no {}: it takes nothing from anybody",
                arguments.flag("take-over") ? "--take-over" : "--moved");
  }
  if (!disk.read_only && (arguments.flag("follow") || arguments.has("follow-interval")))
    return fail(Code::kBadArgument, "--follow is for a read-only mount: who writes sees what comes anyway");
  disk.follow = arguments.flag("follow") || arguments.has("follow-interval");
  if (disk.follow) disk.history_age_max = arguments.time("follow-interval");
  disk.durability = arguments.text("durability") == "store" ? device::Durability::store : device::Durability::local;
  TRY(plan_writer(arguments, plan));
  TRY(plan_cache_file(arguments, plan));
  disk.drop_cache_file = disk.cache_file_bytes == 0;
  disk.dirty_max = memory_default(arguments, "dirty-max", 64 * kMi);
  disk.block_cache_bytes = memory_default(arguments, "block-cache-size", 256 * kMi);
  disk.map_cache_bytes = memory_default(arguments, "map-cache-size", 64 * kMi);
  disk.read_ahead_bytes = arguments.size("read-ahead");
  disk.read_ahead_trigger = arguments.count("read-ahead-trigger");
  disk.read_ahead_threads = static_cast<std::uint32_t>(arguments.count("read-ahead-threads"));
  disk.upload_delay = arguments.time("upload-delay");
  plan_uploads(arguments, plan);
  return {};
}

Result<> plan_scratch(const Arguments& arguments, MountPlan& plan) {
  const bool given = arguments.has("scratch-size");
  // Of what stands in a config file no writing mount need take notice.
  if (!plan.disk.read_only) {
    if (!arguments.typed("scratch-size")) return {};
    return fail(Code::kBadArgument, "--scratch-size is for what is read-only: --read-only, or a point of the past");
  }
  const bool for_filesystem = arguments.command() == Command::kAttach && arguments.text("fs") == "auto";
  if (given || for_filesystem) plan.scratch_bytes = memory_default(arguments, "scratch-size", 256 * kMi);
  return {};
}

}  // namespace

Result<std::string> state_directory(const Arguments& arguments) {
  if (arguments.has("state-dir")) return canonical_path(arguments.text("state-dir"));
  if (::geteuid() == 0) return "/var/lib/s3crate-blk";
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return canonical_path(fmt::format("{}/s3crate-blk", state));
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return canonical_path(fmt::format("{}/.local/state/s3crate-blk", home));
  return fail(Code::kBadArgument, "there is no home directory to keep journals in: give --state-dir");
}

Result<> plan_writer(const Arguments& arguments, MountPlan& plan) {
  auto& disk = plan.disk;
  disk.take_over = arguments.flag("take-over");
  disk.accept_rollback = arguments.flag("accept-rollback");
  disk.moved = arguments.flag("moved");
  disk.state_dir = TRY(state_directory(arguments));
  TRY(check_places(plan));
  if (!disk.read_only) {
    TRY(check_state_directory(disk.state_dir));
    disk.journal_bytes = TRY(journal_bytes(arguments, disk.state_dir));
  }
  disk.boot = boot_uuid();
  disk.host = host_name();
  disk.url = plan.url.text();
  return {};
}

void plan_uploads(const Arguments& arguments, MountPlan& plan) {
  if (arguments.has("upload-threads")) plan.disk.upload_threads = static_cast<std::uint32_t>(arguments.count("upload-threads"));
  plan.disk.compression_level = static_cast<int>(arguments.count("compression"));
}

Result<MountPlan> plan_mount(const Arguments& arguments, const std::string& mountpoint) {
  MountPlan plan;
  plan.url = TRY(url_argument(arguments, TakesPoint::yes));
  plan.mountpoint = mountpoint;
  plan.disk_name = arguments.text("file-name");
  plan.stats_name = arguments.text("stats-name");
  TRY(check_file_name("file-name", plan.disk_name));
  TRY(check_file_name("stats-name", plan.stats_name));
  plan.allow_other = arguments.flag("allow-other");
  plan.outage_timeout = arguments.time("outage-timeout");
  plan.drain_timeout = arguments.time("drain-timeout");
  if (arguments.has("hook")) plan.hooks = canonical_path(arguments.text("hook"));
  plan.hook_timeout = arguments.time("hook-timeout");
  plan.log_level = arguments.text("log-level");
  const bool in_front = arguments.command() == Command::kMount && arguments.flag("foreground");
  const auto front = std::string(in_front ? kLogToStderr : kLogToSyslog);
  plan.log_to = arguments.has("log-to") ? arguments.text("log-to") : front;
  if (plan.log_to != kLogToStderr && plan.log_to != kLogToSyslog) plan.log_to = canonical_path(plan.log_to);
  TRY(check_mountpoint(plan.mountpoint));
  TRY(check_fuse());
  TRY(check_key_options(arguments));
  TRY(plan_disk(arguments, plan));
  TRY(plan_scratch(arguments, plan));
  return plan;
}

}  // namespace s3crate::cli
