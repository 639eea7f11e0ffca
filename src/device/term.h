// SPDX-License-Identifier: GPL-3.0-or-later
// Who has the volume open, whether the journal here belongs to it, and whether this mount may go on: the decisions before
// anything is written.
#pragma once

#include "device/disk.h"
#include "journal/journal.h"

namespace s3crate::device {

// The newest open, or the close that ended it.
struct Term {
  bool open = false;
  volume::Commit commit;  // that open or close; of a volume never opened, commit 1
};
[[nodiscard]] Result<Term> find_term(volume::Volume& volume, const volume::Commit& head);

// Whether the writer of this journal made that commit. The journal's id alone does not tell: a machine whose image was started twice
// has it twice. But whoever claims a term notes it here first, so what is of a term that was never noted is the other one's.
[[nodiscard]] bool is_own(const journal::Superblock& journal, const volume::CommitBody& commit);
// The same of one that is no guest, and neither is it a copy's of this machine that goes on with its memory: it has the same term, and
// its commits stand where ours would. But each is noted, by whoever puts it, before it is put (volume/noted.h).
[[nodiscard]] bool was_put_by(const journal::Superblock& journal, const volume::Commit& commit);
// Whether the newest term is this journal's, and all of it.
[[nodiscard]] Result<bool> is_ours(volume::Volume& volume, const volume::Commit& head, const Term& term, const journal::Superblock& journal);

// What recovery does with a journal found in the state directory.
enum class JournalUse {
  none,     // there is none, or nothing in it is needed: start afresh
  keep,     // the same, but a term that it claimed may come to be yet
  replay,   // it is the newest term's own
};
// kFenced: it is open elsewhere, or pending elsewhere; kCorrupt: rolled back; kBadArgument: a copy in another place, another
// volume's journal, a copied journal, or one whose writes the store lacks while another writer moved on. All with what to do.
[[nodiscard]] Result<JournalUse> decide(Env env, volume::Volume& volume, const volume::Commit& head, const Term& term,
                                        journal::Journal* journal, const DiskOptions& options);
// Holds the newest commit against the newest one that was ever seen here (device/seen.h). kCorrupt: the store shows an older state,
// or another history, or, for whoever may write, damage hides which; with --accept-rollback that is no error.
[[nodiscard]] Result<> check_seen(volume::Volume& volume, const volume::Commit& head, const std::optional<volume::CommitRef>& seen,
                                  const DiskOptions& options);
// The rule about homes alone; for writers.
[[nodiscard]] Result<> check_home(volume::Volume& volume, const volume::Commit& head, const DiskOptions& options);

[[nodiscard]] segment::Hash home_hash(const std::vector<std::string>& home);

}  // namespace s3crate::device
