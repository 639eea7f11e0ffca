// SPDX-License-Identifier: GPL-3.0-or-later
// What a rollback is made of: a commit that holds the roots of a checkpoint, of a map that was not made out of the one before it.
#pragma once

#include "volume/volume.h"

namespace s3crate::volume {

// Whether a commit holds the roots of a checkpoint: of a state before it, or, in a rollback, of its own.
[[nodiscard]] inline bool has_checkpoint(const CommitBody& body) {
  return body.kind == CommitKind::checkpoint || (body.kind == CommitKind::rollback && !body.roots.empty());
}

// Extension 1 of a body, of a rollback: whose map this is.
void put_rollback_point(CommitBody& body, Generation point);
[[nodiscard]] std::optional<Generation> rollback_point(const CommitBody& body);
// Whether it is the last commit of an import that changes more than runs of a commit can say: a rollback without a point.
[[nodiscard]] inline bool is_import(const CommitBody& body) {
  return body.kind == CommitKind::rollback && has_checkpoint(body) && !rollback_point(body);
}

// Extension 8 of a body: the newest rollback below it, if any. So a rollback whose commit is lost is not overlooked. Of an import the
// point is the generation below it, and the hash zeros: no commit below tells its map, nor may one be taken for it.
struct RollbackRef {
  Generation generation, point;
  Hash parent{};  // of the commit below it
  [[nodiscard]] bool is_import() const { return parent == Hash{}; }
  friend bool operator==(const RollbackRef&, const RollbackRef&) = default;
};
void put_rollback_below(CommitBody& body, const RollbackRef& rollback);
[[nodiscard]] std::optional<RollbackRef> rollback_below(const CommitBody& body);
// At or below this commit.
[[nodiscard]] std::optional<RollbackRef> newest_rollback(const Commit& commit);

// Notes in `ledger` that the map `to` stands where `from` stood. Maps of one volume share most pages, so only those that one of
// them has alone are read. What of `from` cannot be read stays counted. kCorrupt: something of `to` cannot be read, so nobody knows
// what it needs. kCancelled once it is `stopped`. Memory: the places of the pages of one level that the two do not share, some 80
// bytes each.
[[nodiscard]] Result<> note_switch(PageLoader& loader, const MaybeRoot& from, const MaybeRoot& to, Ledger& ledger,
                                   const std::function<bool()>& stopped = {});

}  // namespace s3crate::volume
