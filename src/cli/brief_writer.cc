// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/brief_writer.h"

#include <algorithm>
#include <cstdio>

#include "cli/attachment.h"
#include "cli/mount_table.h"

namespace s3crate::cli {
namespace {
constexpr std::uint64_t kBlockCache = 1 << 20;
}  // namespace

void complete_for_command(MountPlan& plan, Stack& stack) {
  auto& disk = plan.disk;
  disk.durability = device::Durability::store;
  disk.block_cache_bytes = kBlockCache;
  disk.home = stack.home();
  disk.log = [](const std::string& line) { std::fprintf(stderr, "s3crate-blk: %s\n", line.c_str()); };
  disk.cancel_store = [&stack] { stack.cancel(); };
}

std::optional<std::string> mounted_at(const Error& error, const std::string& url) {
  const auto mounts = our_mounts();
  const auto mount = std::ranges::find(mounts, url, &MountEntry::url);
  if (error.code() != Code::kFenced || mount == mounts.end()) return std::nullopt;
  return mount->mountpoint;
}

Error unmount_first(const Error& error, const std::string& url) {
  const auto mountpoint = mounted_at(error, url);
  if (!mountpoint) return error;
  if (const auto directory = attached_on(*mountpoint); !directory.empty())
    return {Code::kFenced, fmt::format("{} is attached on {}: detach it first (s3crate-blk detach {})", url, directory, directory)};
  return {Code::kFenced, fmt::format("{} is mounted on {}: unmount it first (s3crate-blk umount {})", url, *mountpoint, *mountpoint)};
}

}  // namespace s3crate::cli
