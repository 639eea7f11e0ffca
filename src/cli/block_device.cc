// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/block_device.h"

#include <mntent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "cli/files.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kLineMax = 64 << 10;
constexpr std::size_t kSysfsMax = 64 << 10;
constexpr int kLayersMax = 16;  // of devices over devices

std::string sysfs(const std::filesystem::path& path) {
  auto text = read_small_file(path, kSysfsMax).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// `device` is a directory of /sys that stands for one.
bool rests_on(const std::filesystem::path& device, const std::string& directory, int layers) {
  std::error_code error;
  const auto file = sysfs(device / "loop" / "backing_file");
  if (!file.empty()) return file.substr(0, file.rfind('/')) == directory;
  if (layers == 0) return false;
  if (std::filesystem::exists(device / "partition", error)) return rests_on(device.parent_path(), directory, layers - 1);
  for (const auto& below : std::filesystem::directory_iterator(device / "slaves", error)) {
    const auto real = std::filesystem::canonical(below.path(), error);
    if (!error && rests_on(real, directory, layers - 1)) return true;
  }
  return false;
}

}  // namespace

// The last line for a mountpoint is what is seen there; `path` is below the longest of them.
Result<std::string> source_of_filesystem(const std::string& path) {
  const auto real = canonical_path(path);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(::setmntent("/proc/self/mounts", "re"), ::endmntent);
  if (!file) return fail(system_error(errno, "read", "/proc/self/mounts"));
  mntent entry = {};
  std::vector<char> line(kLineMax);
  std::string source, longest;
  while (::getmntent_r(file.get(), &entry, line.data(), static_cast<int>(line.size())) != nullptr) {
    const std::string at = entry.mnt_dir;
    const bool inside = at == "/" || real == at || real.starts_with(at + "/");
    if (!inside || at.size() < longest.size()) continue;
    longest = at;
    source = entry.mnt_fsname;
  }
  if (source.empty()) return fail(Code::kNotFound, "{}: the kernel does not say what filesystem is there", path);
  return source;
}

bool rests_on(const std::string& device, const std::string& directory) {
  struct stat st = {};
  if (::stat(device.c_str(), &st) != 0 || !S_ISBLK(st.st_mode)) return false;
  std::error_code error;
  const auto place = std::filesystem::canonical(
      fmt::format("/sys/dev/block/{}:{}", major(st.st_rdev), minor(st.st_rdev)), error);
  return !error && rests_on(place, directory, kLayersMax);
}

}  // namespace s3crate::cli
