// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/mount_table.h"

#include <mntent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "cli/files.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kLineMax = 64 << 10;
constexpr std::size_t kSysfsMax = 64 << 10;

template <typename Visit>  // bool(const mntent&): go on?
void each_mount(Visit visit) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(::setmntent("/proc/self/mounts", "re"), ::endmntent);
  if (!file) return;
  mntent entry = {};
  std::vector<char> line(kLineMax);
  while (::getmntent_r(file.get(), &entry, line.data(), static_cast<int>(line.size())) != nullptr) {
    if (!visit(entry)) return;
  }
}

uid_t owner_of(const mntent& entry) {
  const char* option = ::hasmntopt(&entry, "user_id");
  if (option == nullptr) return 0;
  const std::string_view value(option + std::strlen("user_id="));
  uid_t owner = 0;
  std::from_chars(value.data(), value.data() + value.size(), owner);
  return owner;
}

std::string sysfs(const std::filesystem::path& path) {
  auto text = read_small_file(path, kSysfsMax).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

std::vector<MountEntry> our_mounts() {
  std::vector<MountEntry> found;
  each_mount([&](const mntent& entry) {
    if (std::strcmp(entry.mnt_type, "fuse.s3crate-blk") == 0) {
      found.push_back({entry.mnt_fsname, entry.mnt_dir, owner_of(entry)});
    }
    return true;
  });
  return found;
}

std::optional<MountEntry> find_mount(const std::string& mountpoint) {
  for (auto& entry : our_mounts()) {
    if (entry.mountpoint == mountpoint) return std::move(entry);
  }
  return std::nullopt;
}

bool is_mountpoint(const std::string& path) {
  bool found = false;
  each_mount([&](const mntent& entry) {
    found = entry.mnt_dir == path;
    return !found;
  });
  return found;
}

Result<> check_free_directory(const std::string& path) {
  struct stat st = {};
  if (::stat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return fail(Code::kNotFound, "there is no directory {}: make it first", path);
    return fail(system_error(errno, "use the directory", path));
  }
  if (!S_ISDIR(st.st_mode)) return fail(Code::kBadArgument, "{} is not a directory", path);
  if (is_mountpoint(path)) return fail(Code::kExists, "something else is mounted on {} already", path);
  std::error_code error;
  if (!std::filesystem::is_empty(path, error) || error) {
    return fail(Code::kBadArgument, "the directory {} is not empty: choose an empty one", path);
  }
  return {};
}

std::vector<KernelMount> kernel_mounts() {
  std::vector<KernelMount> all;
  each_mount([&](const mntent& entry) {
    all.push_back({entry.mnt_fsname, entry.mnt_dir, entry.mnt_type});
    return true;
  });
  return all;
}

std::string directory_behind(const std::string& device) {
  if (!device.starts_with("/dev/loop")) return "";
  const auto file = sysfs(std::filesystem::path("/sys/block") / device.substr(std::strlen("/dev/")) / "loop/backing_file");
  return file.substr(0, std::min(file.rfind('/'), file.size()));
}

bool has_block_device_on_it(const std::string& device) {
  std::error_code error;
  return !std::filesystem::is_empty(std::filesystem::path("/sys/block") / device.substr(std::strlen("/dev/")) / "holders", error) && !error;
}

std::vector<LoopDevice> loops_in(const std::string& directory) {
  std::vector<LoopDevice> loops;
  std::error_code error;
  for (const auto& block : std::filesystem::directory_iterator("/sys/block", error)) {
    const auto loop = block.path() / "loop";
    auto file = sysfs(loop / "backing_file");
    const auto slash = file.rfind('/');
    if (slash == std::string::npos || file.substr(0, slash) != directory) continue;
    loops.push_back({"/dev/" + block.path().filename().string(), std::move(file), sysfs(loop / "dio") == "1",
                     sysfs(loop / "autoclear") == "1"});
  }
  std::sort(loops.begin(), loops.end(), [](const LoopDevice& a, const LoopDevice& b) { return a.device < b.device; });
  return loops;
}

}  // namespace s3crate::cli
