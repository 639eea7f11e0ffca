// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/holders.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "cli/files.h"

namespace s3crate::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kShown = 4;

bool leads_into(const fs::path& link, const std::string& path) {
  std::error_code error;
  const auto target = fs::read_symlink(link, error);
  return !error && is_inside(target, path);
}

bool holds(const fs::path& process, const std::string& path) {
  for (const char* link : {"cwd", "root", "exe"}) {
    if (leads_into(process / link, path)) return true;
  }
  std::error_code error;
  for (fs::directory_iterator it(process / "fd", error), end; !error && it != end; it.increment(error)) {
    if (leads_into(it->path(), path)) return true;
  }
  return false;
}

}  // namespace

std::vector<Holder> holders_of(const std::string& path) {
  std::vector<Holder> found;
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const auto number = it->path().filename().string();
    pid_t pid = 0;
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), pid);
    if (parsed.ptr != number.data() + number.size() || pid == ::getpid() || !holds(it->path(), path)) continue;
    auto name = read_small_file(it->path() / "comm", 4096).value_or("?");
    found.push_back({pid, name.substr(0, name.find('\n'))});
  }
  return found;
}

std::string to_text(const std::vector<Holder>& holders) {
  std::string text;
  for (std::size_t i = 0; i < holders.size() && i < kShown; ++i) {
    text += fmt::format("{}{} ({})", i == 0 ? "" : ", ", holders[i].name, holders[i].pid);
  }
  if (holders.size() > kShown) text += fmt::format(" and {} more", holders.size() - kShown);
  return text;
}

}  // namespace s3crate::cli
