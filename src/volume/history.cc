// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/history.h"

#include <algorithm>
#include <utility>

namespace s3crate::volume {

Result<Hash> hash_below(Volume& volume, const Commit& head, Generation generation) {
  Timeline below(volume, head);
  auto hash = below.hash(generation);
  if (!hash && below.contradicted()) return Hash{};
  return hash;
}

Result<History> History::open(Volume& volume, std::optional<Point> start) {
  History history(volume, TRY(volume.load_head()));
  history.at_ = start ? TRY(history.timeline_.find(*start)).generation : history.timeline_.head().generation;
  return history;
}

// The youngest word about a name counts.
Result<> History::note_tags(Generation lowest) {
  const auto note = [&](const std::string& name, std::optional<Generation> named) {
    if (decided_.insert(name).second && named && *named <= at_) tags_[*named].insert(name);
  };
  if (all_noted_) return {};
  const Generation as_of = timeline_.checkpoint_as_of();
  TRY(timeline_.visit_tag_events(std::max(lowest, as_of.next()), [&](const Event& event) {
    if (event.entry.generation > unnoted_) return;
    for (const Tag& tag : event.tags)
      note(tag.name, event.entry.kind == CommitKind::tag ? std::optional(tag.generation) : std::nullopt);
  }));
  unnoted_ = std::min(unnoted_, Generation(std::max(lowest, as_of.next()).value - 1));
  if (lowest > as_of) return {};
  all_noted_ = true;
  return timeline_.scan_tags([&](const TagEntry& tag) {
    note(tag.name, tag.generation);
    return true;
  });
}

Result<std::vector<HistoryEntry>> History::next(std::size_t n, std::optional<WallTime> since) {
  std::vector<HistoryEntry> out;
  if (at_ == Generation(0) || n == 0) return out;
  const std::vector<TimelineRow> rows = TRY(timeline_.rows(at_, n));
  TRY(note_tags(rows.back().entry.generation));
  for (const TimelineRow& row : rows) {
    if (since && row.problem.empty() && row.entry.time < *since) {
      at_ = Generation(0);
      return out;
    }
    HistoryEntry& entry = out.emplace_back(HistoryEntry{.generation = row.entry.generation, .problem = row.problem, .tags = {}});
    if (auto tags = tags_.extract(entry.generation)) entry.tags.assign(tags.mapped().begin(), tags.mapped().end());
    if (!row.problem.empty()) continue;
    entry.kind = row.entry.kind;
    entry.time = row.entry.time;
    entry.disk_bytes = row.entry.disk_bytes;
    entry.bytes_added = row.entry.bytes;
  }
  at_ = Generation(rows.back().entry.generation.value - 1);
  return out;
}

}  // namespace s3crate::volume
