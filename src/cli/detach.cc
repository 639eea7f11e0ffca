// SPDX-License-Identifier: GPL-3.0-or-later
// detach: the steps of attach, backwards; those that are undone already are none.
#include <unistd.h>

#include "cli/attach.h"

namespace s3crate::cli {

CommandResult detach(Context& context, const std::string& directory, const UnmountRequest& request) {
  const auto attachment = find_attachment(directory);
  if (attachment.place.empty()) return fail(Code::kNotFound, "nothing is attached on {}", directory);
  TRY(release(context.env, attachment));
  auto ended = unmount_volume(context, attachment.place, request);
  if (ended || is(ended, Code::kNotFound)) remove_place(attachment.place);
  if (is(ended, Code::kNotFound)) return fail(Code::kNotFound, "nothing is attached on {}", directory);
  return ended;
}

CommandResult run_detach(Context& context) {
  if (::geteuid() != 0) return fail(Code::kIo, "only root can take down what attach made: as a user, there is umount");
  const auto directory = canonical_path(context.arguments.positionals().at(0));
  const auto lock = TRY(AttachLock::take(directory));
  return detach(context, directory, unmount_request(context.arguments, directory, "detached"));
}

}  // namespace s3crate::cli
