// SPDX-License-Identifier: GPL-3.0-or-later
// Extension 10 of a body, empty: its writer's journal noted this commit before it was put (journal/format.h, NotedCommits). So a journal
// that did not is another's, though all else in the commit is what it would say itself.
#pragma once

#include "volume/commit.h"

namespace s3crate::volume {

void put_noted(CommitBody& body);
[[nodiscard]] bool is_noted(const CommitBody& body);

}  // namespace s3crate::volume
