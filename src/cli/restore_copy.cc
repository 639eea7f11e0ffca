// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/restore_copy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "cli/files.h"
#include "cli/process.h"

namespace s3crate::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLinksMax = 100'000;  // what is linked more often counts as more, in the progress alone
constexpr std::size_t kCompared = 1 << 20;

Error interrupted() { return {Code::kCancelled, "interrupted: nothing was restored"}; }

// What all of it takes on the disk, holes left out, each file once.
Result<std::uint64_t> bytes_of(const std::vector<Wanted>& wanted, const Interrupts& interrupts) {
  std::uint64_t bytes = 0;
  std::set<std::pair<dev_t, ino_t>> linked;
  const auto add = [&](const std::string& path) {
    struct stat st = {};
    if (::lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    const bool known = st.st_nlink > 1 && linked.size() < kLinksMax && !linked.emplace(st.st_dev, st.st_ino).second;
    if (known) return;
    bytes += std::min<std::uint64_t>(static_cast<std::uint64_t>(st.st_blocks) * 512, static_cast<std::uint64_t>(st.st_size));
  };
  for (const auto& one : wanted) {
    add(one.from);
    std::error_code error;  // cp will say so
    if (!fs::is_directory(fs::symlink_status(one.from, error))) continue;
    for (fs::recursive_directory_iterator it(one.from, fs::directory_options::skip_permission_denied, error), end; !error && it != end; it.increment(error)) {
      if (interrupts.came()) return fail(interrupted());
      add(it->path());
    }
  }
  return bytes;
}

// EIO, EUCLEAN and EBADMSG are what filesystems say of damage.
bool may_be_damage(std::string_view line) {
  constexpr std::array<std::string_view, 3> kEnds = {": Input/output error", ": Structure needs cleaning", ": Bad message"};
  constexpr std::array<std::string_view, 3> kOfTheTarget = {"cp: cannot create ", "cp: error writing ", "cp: failed to "};
  return std::ranges::any_of(kEnds, [&](std::string_view words) { return line.ends_with(words); }) &&
         std::ranges::none_of(kOfTheTarget, [&](std::string_view words) { return line.starts_with(words); });
}

// Whether all that is said may be; the last line may be cut off.
bool may_be_damage_alone(std::string_view output) {
  std::size_t lines = 0;
  for (std::size_t end; (end = output.find('\n')) != std::string_view::npos; output.remove_prefix(end + 1), ++lines)
    if (!may_be_damage(output.substr(0, end))) return false;
  return lines > 0;
}

enum class Copy { whole, unread, other };

// cp gives a copy its times once all of its content is there; a target may have coarser ones.
Copy look_at_file(const std::string& from, const std::string& to, const struct stat& source, const Interrupts& interrupts) {
  struct stat copy = {};
  const bool there = ::lstat(to.c_str(), &copy) == 0;
  const auto same_time = [](const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; };
  if (there && source.st_size == copy.st_size && same_time(source.st_mtim, copy.st_mtim)) return Copy::whole;
  const Fd in(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)), out(::open(to.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!in || !there) return Copy::unread;  // cp may not have come so far, in a directory that cannot be read to its end
  std::vector<char> a(kCompared), b(kCompared);
  bool same = static_cast<bool>(out);
  for (off_t at = 0; !interrupts.came();) {
    const ssize_t n = ::pread(in.get(), a.data(), a.size(), at);
    if (n < 0) return Copy::unread;
    if (n == 0) return same && copy.st_size == at ? Copy::whole : Copy::other;
    same = same && ::pread(out.get(), b.data(), static_cast<std::size_t>(n), at) == n && std::memcmp(a.data(), b.data(), static_cast<std::size_t>(n)) == 0;
    at += n;
  }
  return Copy::other;
}

// What is not whole is taken out of the copy. False: something else is wrong with it than that it cannot be read.
Result<bool> take_out_unread(const Wanted& top, const std::string& directory, const Interrupts& interrupts, Unread& unread) {
  std::vector<std::string> left = {""};  // below the top
  const auto note = [&](const std::string& path) {
    if (unread.count++ < Unread::kListedMax) unread.paths.push_back(path);
  };
  while (!left.empty()) {
    if (interrupts.came()) return fail(interrupted());
    const std::string below = std::move(left.back());
    left.pop_back();
    const std::string from = top.from + below, to = directory + "/" + top.name + below;
    struct stat st = {};
    if (::lstat(from.c_str(), &st) != 0) {
      note(from);
    } else if (S_ISDIR(st.st_mode)) {
      struct stat copy = {};
      const bool there = ::lstat(to.c_str(), &copy) == 0;
      std::error_code error;
      for (fs::directory_iterator it(from, error), end; there && !error && it != end; it.increment(error)) left.push_back(below + "/" + it->path().filename().string());
      if (error || !there) note(from);
    } else if (S_ISREG(st.st_mode)) {
      const Copy copy = look_at_file(from, to, st, interrupts);
      if (copy == Copy::other) return false;
      if (copy == Copy::whole) continue;
      if (::unlink(to.c_str()) != 0 && errno != ENOENT) return fail(system_error(errno, "remove", to));
      note(from);
    } else if (::lstat(to.c_str(), &st) != 0) {
      note(from);
    }
  }
  return true;
}

}  // namespace

Result<Unread> copy_wanted(const std::vector<Wanted>& wanted, const std::string& directory, const Interrupts& interrupts, ProgressLine& progress) {
  const auto total = TRY(bytes_of(wanted, interrupts));
  // All at once, so that hard links between them stay. Attributes that the target cannot hold are errors, which -a would pass over.
  std::vector<std::string> words = {"cp", "-dR", "--preserve=mode,ownership,timestamps,links,xattr", "--"};
  for (const auto& one : wanted) words.push_back(one.from);
  words.push_back(directory);
  const auto ran = TRY(run_captured(words, [&](pid_t child) {
    const auto done = bytes_written_by(child);
    progress.show({.phase = "copying", .done = done, .total = std::max(done, total), .bytes = done, .in_bytes = true});
    return !interrupts.came();
  }));
  if (interrupts.came()) return fail(interrupted());
  Unread unread;
  if (ran.status == 0) return unread;
  bool damage = may_be_damage_alone(ran.output);
  for (const auto& one : wanted) damage = damage && TRY(take_out_unread(one, directory, interrupts, unread));
  const auto why = ran.output.substr(0, ran.output.find('\n'));
  if (damage && unread.count == 0) unread.attributes = why;
  if (damage) return unread;
  const bool full = ran.output.find("No space left") != std::string::npos || ran.output.find("quota exceeded") != std::string::npos;
  return fail(full ? Code::kNoSpace : Code::kIo, "nothing was restored: {}", why.empty() ? "cp failed" : why);
}

}  // namespace s3crate::cli
