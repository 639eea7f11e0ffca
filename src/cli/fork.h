// SPDX-License-Identifier: GPL-3.0-or-later
// What fork is made of, for the other commands that make one: where it may be, and its making.
#pragma once

#include <atomic>
#include <functional>

#include "cli/command.h"
#include "cli/stack.h"

namespace s3crate::cli {

// kBadArgument: in or around the origin, or with a fingerprint.
[[nodiscard]] Result<Url> place_of_fork(Url url, const Url& origin);

// Makes a fork of the point in `url`, or of the newest generation, and tells of it. `view_of` says what stands in that generation;
// it ends with kCancelled once `stopped` is set.
using ViewOf = std::function<Result<volume::View>(volume::Volume& origin, const volume::Commit& point, const std::atomic<bool>* stopped)>;
[[nodiscard]] CommandResult fork_into(Context& context, const Url& url, const Url& fork_url, const ViewOf& view_of);

}  // namespace s3crate::cli
