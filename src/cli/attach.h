// SPDX-License-Identifier: GPL-3.0-or-later
// attach and its way back, for the commands that need a filesystem for a while.
#pragma once

#include <optional>
#include <string>

#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/filesystem.h"
#include "cli/umount.h"

namespace s3crate::cli {

struct AttachRequest {
  std::string directory;         // canonical
  bool filesystem = true;        // or stop at the loop device
  Filesystem mkfs = Filesystem::kUnknown;
  std::string options;           // of the filesystem, behind ours
};

struct Attached {
  std::string place;
  std::string device;
  std::string type;  // of the filesystem, as the kernel calls it
  bool read_only = false;
  bool scratch = false;  // the disk takes writes all the same, and forgets them
};

// `arguments` are those of an attach. What another one left half done is undone first, and whatever goes wrong, or if the user
// interrupts, all that was done. The caller has the lock. Another status than kDone was explained by the process behind the mount.
[[nodiscard]] CommandResult attach(Context& context, const AttachRequest& request, Attached& attached);

// What reads of the volume that is mounted there have ended with. nullopt: the process behind it does not say.
struct ReadsMet {
  std::uint64_t damaged = 0, others = 0;  // others: the store was away, say
  std::string damage;                     // the first, in words
  std::string trouble;                    // why it is not well now
};
[[nodiscard]] std::optional<ReadsMet> reads_met(const std::string& place);
// The same error (of kIo: an input/output error is all that the kernel says) with what is known of it: kCorrupt, or kTransient.
[[nodiscard]] Error explain_reads(const Error& error, const std::string& place);

// Undoes all that there is. What was not sent yet is sent first, within the limits of `request`. kNotFound: there is nothing.
[[nodiscard]] CommandResult detach(Context& context, const std::string& directory, const UnmountRequest& request);

}  // namespace s3crate::cli
