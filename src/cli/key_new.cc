// SPDX-License-Identifier: GPL-3.0-or-later
// key new: 32 random bytes in a file of its owner alone. Never over a file that is there.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cli/command.h"
#include "cli/files.h"
#include "crypto/crypto.h"

namespace s3crate::cli {

CommandResult run_key_new(Context& context) {
  const auto& path = context.arguments.positionals().at(0);
  TRY(crypto::initialise());
  const crypto::Secret key(context.env.random);
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file && errno == EEXIST) return fail(Code::kExists, "{} is there already, and a key file is never overwritten", path);
  if (!file) return fail(system_error(errno, "make", path));
  const auto bytes = key.view();
  if (::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) || ::fsync(file.get()) != 0) {
    const auto error = system_error(errno, "write", path);
    ::unlink(path.c_str());
    return fail(error);
  }
  context.out.print(fmt::format("{} is a new key file: keep a copy in a safe place, a volume cannot be opened without its keys", path));
  return kDone;
}

}  // namespace s3crate::cli
