// SPDX-License-Identifier: GPL-3.0-or-later
// Extension 9 of a body: where a generation stands in the line of those that have segments (segment/part.h). Every commit says so of the newest
// one at or below it: for what the next epoch, or a rollback, writes into indexes.
#pragma once

#include "segment/part.h"
#include "volume/commit.h"

namespace s3crate::volume {

void put_line_place(CommitBody& body, const segment::LinePlace& place);
// nullopt: it is not known, as a commit below was made by a program that did not note it.
[[nodiscard]] std::optional<segment::LinePlace> line_place(const CommitBody& body);

}  // namespace s3crate::volume
