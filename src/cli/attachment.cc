// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/attachment.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cli/control.h"
#include "cli/holders.h"
#include "cli/loop_device.h"
#include "crypto/crypto.h"

namespace s3crate::cli {
namespace {

constexpr std::size_t kNameMax = 200;
// Whoever looks at a device that has just come, as udev does, has it open for a moment.
constexpr auto kGlanceTime = std::chrono::seconds(3);
constexpr auto kGlancePause = std::chrono::milliseconds(50);

std::string places() { return runtime_directory(0) + "/attach"; }

bool is_on(const KernelMount& mount, const std::string& device) {
  // The device, or a partition of it: /dev/loop0p1.
  return mount.source == device || mount.source.starts_with(device + "p");
}

tl::unexpected<Error> in_use(const std::string& what, const std::string& by) {
  return fail(Code::kExists, "{} is in use: {}", what, by);
}

// Before anything is undone, so that nothing is undone by halves.
Result<> check_unused(const Attachment& attachment) {
  const auto mounts = kernel_mounts();
  for (const auto& loop : attachment.loops) {
    bool own_seen = false;  // of two on the directory, the upper one is ours to unmount
    for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
      if (!is_on(*mount, loop.device)) continue;
      if (!own_seen && attachment.filesystem && mount->directory == attachment.directory) own_seen = true;
      else return in_use(loop.device, fmt::format("what is on it is mounted on {} too: unmount that first", mount->directory));
    }
    if (has_block_device_on_it(loop.device)) {
      return in_use(loop.device, fmt::format("another block device is made of it (lsblk {} shows it): take that down first", loop.device));
    }
    if (const auto holders = holders_of(loop.device); !holders.empty()) return in_use(loop.device, "by " + to_text(holders));
    // A swap area or a pool of zfs has it without any process that shows.
    const Fd alone(::open(loop.device.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    if (!alone && errno == EBUSY && !own_seen) return in_use(loop.device, "by the kernel, for a pool or for swap: give that up first");
  }
  if (!attachment.volume) return {};
  if (const auto holders = holders_of(attachment.place); !holders.empty()) return in_use(attachment.place, "by " + to_text(holders));
  return {};
}

Result<> unmount_filesystem(const std::string& directory) {
  if (::umount2(directory.c_str(), UMOUNT_NOFOLLOW) == 0) return {};
  if (errno != EBUSY) return fail(system_error(errno, "unmount", directory));
  const auto mounts = kernel_mounts();
  const auto inner = std::ranges::find_if(mounts, [&](const KernelMount& mount) {
    return mount.directory != directory && is_inside(mount.directory, directory);
  });
  if (inner != mounts.end()) return in_use(directory, fmt::format("{} is mounted in it: unmount that first", inner->directory));
  const auto holders = holders_of(directory);
  return in_use(directory, holders.empty() ? fmt::format("fuser -vm {} shows by whom", directory) : "by " + to_text(holders));
}

}  // namespace

Attachment find_attachment(const std::string& directory) {
  Attachment found;
  found.directory = directory;
  if (find_mount(directory)) {
    found.place = directory;
  } else {
    found.place = place_for(directory).value_or("");
    for (auto& mount : kernel_mounts()) {
      if (mount.directory != directory) continue;
      found.filesystem.reset();  // what lies over it is the one that would be unmounted
      const auto behind = directory_behind(mount.source);
      if (behind.empty() || !find_mount(behind)) continue;
      found.place = behind;
      found.filesystem = std::move(mount);
    }
  }
  if (found.place.empty()) return found;
  found.volume = find_mount(found.place);
  found.loops = loops_in(found.place);
  return found;
}

Result<MountEntry> find_volume(const std::string& directory) {
  if (auto volume = find_attachment(directory).volume) return std::move(*volume);
  return fail(Code::kNotFound, "no volume is mounted on {}, nor attached on it", directory);
}

std::string attached_on(const std::string& place) {
  if (!place.starts_with(places() + "/")) return {};
  for (const auto& mount : kernel_mounts())
    if (directory_behind(mount.source) == place) return mount.directory;
  return {};
}

Result<std::string> place_for(const std::string& directory) {
  std::string name;
  for (const char c : directory.substr(std::min<std::size_t>(1, directory.size()))) {
    if (c == '/') name += '-';
    else if (c == '-' || c == '%' || c == ' ' || (c == '.' && name.empty())) name += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    else name += c;
  }
  if (name.empty()) return fail(Code::kBadArgument, "nothing can be attached on {}", directory);
  if (name.size() > kNameMax) return fail(Code::kBadArgument, "the name of {} is too long: choose a shorter directory", directory);
  return fmt::format("{}/{}", places(), name);
}

Result<> make_place(const std::string& place) {
  TRY(make_private_directory(runtime_directory(0)));
  TRY(make_private_directory(places()));
  return make_private_directory(place);
}

void remove_place(const std::string& place) {
  if (place.starts_with(places() + "/")) ::rmdir(place.c_str());
}

Result<AttachLock> AttachLock::take(const std::string& directory) {
  TRY(make_private_directory(runtime_directory(0)));
  const auto path = runtime_directory(0) + "/attach.lock";
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail(system_error(errno, "open", path));
  // A byte of one file for each directory. Of a process, not of the open file: the one behind the mount does not inherit it.
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  const auto hash = crypto::blake2b(as_bytes(directory));
  std::uint32_t place = 0;
  std::memcpy(&place, hash.data(), sizeof place);
  lock.l_start = place;
  lock.l_len = 1;
  if (::fcntl(fd.get(), F_SETLK, &lock) == 0) return AttachLock(std::move(fd));
  if (errno != EAGAIN && errno != EACCES) return fail(system_error(errno, "lock", path));
  return fail(Code::kFenced, "another process is just attaching or detaching {}", directory);
}

Result<> release(Env env, const Attachment& attachment) {
  const auto give_up = env.clock.monotonic_now() + kGlanceTime;
  for (;;) {
    auto unused = check_unused(attachment);
    if (unused) break;
    if (env.clock.monotonic_now() > give_up) return unused;
    nap(env.clock, env.executor, kGlancePause);
  }
  if (attachment.filesystem) TRY(unmount_filesystem(attachment.directory));
  for (const auto& loop : attachment.loops) TRY(clear_loop(loop.device));
  return {};
}

}  // namespace s3crate::cli
