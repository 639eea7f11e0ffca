// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>

namespace s3crate::cli {
namespace {

constexpr std::uint32_t kSectorBytes = 4096;
// Devices that others may take from under us before it is no coincidence any more.
constexpr int kTries = 64;

loop_config configuration(int fd, const std::string& file, LoopAccess access, LoopEnd end) {
  loop_config config = {};
  config.fd = static_cast<std::uint32_t>(fd);
  config.block_size = kSectorBytes;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO;
  if (access == LoopAccess::kReadOnly) config.info.lo_flags |= LO_FLAGS_READ_ONLY;
  if (end == LoopEnd::kWithLastUser) config.info.lo_flags |= LO_FLAGS_AUTOCLEAR;
  // For losetup -l; sysfs has the whole name.
  const auto shown = std::min<std::size_t>(file.size(), LO_NAME_SIZE - 1);
  std::copy_n(file.begin(), shown, reinterpret_cast<char*>(config.info.lo_file_name));
  return config;
}

Error refused(int error, const std::string& device, const std::string& file) {
  if (error == EINVAL || error == ENOTTY) {
    return {Code::kUnsupported, fmt::format("{} cannot be set up for {}: this needs Linux 5.8 or newer", device, file)};
  }
  return system_error(error, fmt::format("set up {} for", device), file);
}

}  // namespace

Result<OpenLoop> make_loop(const std::string& file, LoopAccess access, LoopEnd end) {
  const int mode = (access == LoopAccess::kReadOnly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  const Fd backing(::open(file.c_str(), mode));
  if (!backing) return fail(system_error(errno, "open", file));
  const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control) {
    return fail(Code::kUnsupported, "{}: load the kernel module (modprobe loop), or give loop devices to this container",
                system_error(errno, "open", "/dev/loop-control").message());
  }
  auto config = configuration(backing.get(), file, access, end);
  for (int tries = 0; tries < kTries; ++tries) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return fail(system_error(errno, "find", "a free loop device"));
    OpenLoop loop{fmt::format("/dev/loop{}", number), Fd{}};
    loop.fd.reset(::open(loop.device.c_str(), mode));
    if (!loop.fd) return fail(system_error(errno, "open", loop.device));
    if (::ioctl(loop.fd.get(), LOOP_CONFIGURE, &config) == 0) return loop;
    if (errno != EBUSY) return fail(refused(errno, loop.device, file));
  }
  return fail(Code::kIo, "no loop device stays free long enough to be taken: others take them all (losetup -l)");
}

Result<> clear_loop(const std::string& device) {
  const Fd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(system_error(errno, "open", device));
  if (::ioctl(fd.get(), LOOP_CLR_FD) == 0 || errno == ENXIO) return {};
  return fail(system_error(errno, "detach", device));
}

}  // namespace s3crate::cli
