// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/timeline.h"

#include <algorithm>

#include "base/time_text.h"

namespace s3crate::volume {
namespace {

// Rows of it are in memory; no honest volume goes so long without a checkpoint while somebody writes.
constexpr std::size_t kAboveMax = 1 << 16;

bool is_damage(const Error& error) {
  return error.code() == Code::kCorrupt || error.code() == Code::kNotFound || error.code() == Code::kUnsupported;
}

Bytes catalogue_key(Generation generation) {
  CatalogueEntry row;
  row.generation = generation;
  return encode_catalogue(row).key;
}

}  // namespace

Timeline::Timeline(Volume& volume, const Commit& head, std::size_t at_once)
    : volume_(&volume), at_once_(at_once), head_{head.header.generation, head.hash}, checkpoint_(head.body.checkpoint) {
  above_.push_back({event_of(head), {}});
  next_hash_ = head.header.parent;
}

Result<> Timeline::follow(const Commit& head) {
  const CommitRef ref{head.header.generation, head.hash};
  if (ref == head_) return {};
  Timeline newer(*volume_, head, at_once_);
  if (ref.generation < head_.generation) return {};  // a stale answer, or worse: we know better
  if (ref.generation == head_.generation || TRY(newer.hash(head_.generation)) != head_.hash)
    return fail(Code::kCorrupt, "the store shows another history than before: generation {} is not the one that was seen",
                head_.generation);
  const Generation as_of = newer.checkpoint_.as_of;
  if (head_.generation > as_of) {  // it was walked down to above ours: the rest is here
    for (Above& row : above_)
      if (row.event.entry.generation > as_of) newer.above_.push_back(std::move(row));
    newer.next_hash_ = next_hash_;
    newer.gap_ = gap_ > as_of ? gap_ : Generation(0);
  }
  *this = std::move(newer);
  return {};
}

Result<> Timeline::check_inside(Generation generation) const {
  if (generation == Generation(0) || generation > head_.generation)
    return fail(Code::kNotFound, "there is no generation {}: the newest is {}", generation, head_.generation);
  return {};
}

Result<> Timeline::step_down() {
  if (above_.size() >= kAboveMax) return fail(Code::kCorrupt, "there are too many commits since the checkpoint");
  const Generation at(lowest_known().value - 1);
  auto commit = next_hash_ ? volume_->load_commit(CommitRef{at, *next_hash_}) : volume_->load_commit(at);
  if (!commit && !is_damage(commit.error())) return fail(commit.error());
  Above row;
  if (commit) {
    row.event = event_of(*commit);
    next_hash_ = commit->header.parent;
  } else {
    row.event.entry.generation = at;
    row.problem = commit.error().message();
    if (next_hash_) {
      row.event.entry.hash = *next_hash_;
      const auto other = volume_->load_commit(at);
      contradicted_ = contradicted_ || (other && other->hash != *next_hash_);
    }
    next_hash_.reset();
    gap_ = std::max(gap_, at);
  }
  above_.push_back(std::move(row));
  return {};
}

Result<> Timeline::walk_down_to(Generation stop) {
  stop = std::max(stop, checkpoint_.as_of.next());
  while (lowest_known() > stop) {
    std::vector<Generation> soon;
    for (Generation g = lowest_known(); g > stop && soon.size() < at_once_;) soon.push_back(g = Generation(g.value - 1));
    TRY(volume_->get_ahead(soon));
    for (std::size_t i = 0; i < soon.size(); ++i) TRY(step_down());
  }
  return {};
}

Result<> Timeline::walk_some_to(Generation wanted) {
  if (lowest_known() <= wanted) return {};
  return walk_down_to(Generation(wanted.value - std::min<std::uint64_t>(wanted.value, at_once_ - 1)));
}

// What lies at or below a commit that cannot be had is not tied to the head.
Result<> Timeline::refuse_gap(Generation above) const {
  if (gap_ <= above) return {};
  return fail(Code::kCorrupt, "{}; what lies below it cannot be trusted until it is there again", known(gap_).problem);
}

Result<> Timeline::load_roots() {
  if (roots_loaded_ || checkpoint_.commit == Generation(0)) return {};
  auto found = volume_->load_commit(checkpoint_.commit);
  if (is(found, Code::kNotFound)) return fail(Code::kCorrupt, "commit {}, a checkpoint, is missing", checkpoint_.commit);
  const Commit commit = TRY(std::move(found));
  if (crypto::blake2b(encode_roots(commit.body.roots)) != checkpoint_.roots_hash)
    return fail(Code::kCorrupt, "the checkpoint in commit {} is not the one that commit {} names", checkpoint_.commit,
                head_.generation);
  const Companions companions = companions_of(commit.body);
  catalogue_ = companions.catalogue;
  tags_ = companions.tags;
  roots_loaded_ = true;
  return {};
}

Result<std::optional<CatalogueEntry>> Timeline::catalogue_row(Generation generation) {
  TRY(load_roots());
  Bytes key = catalogue_key(generation);
  auto value = TRY(tree_find(volume_->pages(), catalogue_, key));
  if (!value) return std::nullopt;
  return TRY(decode_catalogue({std::move(key), std::move(*value)}));
}

// The first one at or above it: rows of commits that were damaged when the checkpoint was made are missing.
Result<std::optional<CatalogueEntry>> Timeline::catalogue_row_from(Generation generation) {
  TRY(load_roots());
  std::optional<CatalogueEntry> found;
  TRY(tree_scan(volume_->pages(), catalogue_, catalogue_key(generation), [&](const PageEntry& entry) -> Result<bool> {
    found = TRY(decode_catalogue(entry));
    return false;
  }));
  return found;
}

Result<Hash> Timeline::hash(Generation generation) {
  TRY(check_inside(generation));
  if (generation <= checkpoint_.as_of) return TRY(row(generation)).hash;
  if (generation == head_.generation) return head_.hash;
  TRY(walk_down_to(generation.next()));
  TRY(refuse_gap(generation));
  // Its successor names it: it need not be there itself.
  if (lowest_known() > generation) return *next_hash_;
  return known(generation).event.entry.hash;
}

Result<CatalogueEntry> Timeline::row(Generation generation) {
  TRY(check_inside(generation));
  if (generation > checkpoint_.as_of) {
    TRY(walk_down_to(generation));
    TRY(refuse_gap(Generation(generation.value - 1)));
    return known(generation).event.entry;
  }
  auto found = TRY(catalogue_row(generation));
  if (!found) return fail(Code::kNotFound, "the catalogue has no generation {}: it was damaged when the checkpoint was made", generation);
  return std::move(*found);
}

Result<std::optional<TagEntry>> Timeline::find_tag(std::string_view name, Generation* untagged_in) {
  for (Generation at = head_.generation; at > checkpoint_.as_of; at = Generation(at.value - 1)) {
    TRY(walk_some_to(at));
    const Event& event = known(at).event;
    const auto named = std::ranges::find(event.tags, name, &Tag::name);
    if (named == event.tags.end()) continue;
    TRY(refuse_gap(Generation(at.value - 1)));
    if (event.entry.kind == CommitKind::tag) return TagEntry{std::string(name), named->generation, event.entry.time};
    if (untagged_in != nullptr) *untagged_in = at;
    return std::nullopt;
  }
  TRY(refuse_gap(Generation(0)));
  TRY(load_roots());
  Bytes key(name.begin(), name.end());
  auto value = tree_find(volume_->pages(), tags_, key);
  // That a page is gone does not say that there is no such tag.
  if (is(value, Code::kNotFound)) return fail(Code::kCorrupt, "{}", value.error().message());
  if (!TRY(value)) return std::nullopt;
  return TRY(decode_tag({std::move(key), std::move(**value)}));
}

Result<TagEntry> Timeline::tag(std::string_view name) {
  Generation untagged_in;
  auto found = TRY(find_tag(name, &untagged_in));
  if (found) return std::move(*found);
  if (untagged_in > Generation(0)) return fail(Code::kNotFound, "there is no tag {}: it was taken away in generation {}", name, untagged_in);
  return fail(Code::kNotFound, "there is no tag {} (a time is written as in 2026-11-20T12:00:00Z or \"2h ago\")", name);
}

Result<CatalogueEntry> Timeline::find(const Point& point) {
  if (const auto* generation = std::get_if<Generation>(&point)) return row(*generation);
  if (const auto* time = std::get_if<WallTime>(&point)) return at_time(*time);
  return row(TRY(tag(std::get<TagName>(point).text)).generation);
}

Result<CatalogueEntry> Timeline::at_time(WallTime time) {
  const CatalogueEntry& newest = above_.front().event.entry;
  if (newest.time <= time) return newest;
  auto stored = checkpoint_.as_of > Generation(0) ? row(checkpoint_.as_of) : Result<CatalogueEntry>();
  if (stored && stored->time > time) return at_time_in_catalogue(time, *stored);
  for (Generation at = head_.generation; at > checkpoint_.as_of; at = Generation(at.value - 1)) {
    TRY(walk_some_to(at));
    TRY(refuse_gap(Generation(at.value - 1)));
    if (known(at).event.entry.time <= time) return known(at).event.entry;
  }
  if (checkpoint_.as_of > Generation(0)) return stored;
  return fail(Code::kNotFound, "there is no generation as old as {}: the first was made at {}", format_time(time),
              format_time(known(Generation(1)).event.entry.time));
}

// `low` was made at or before the time; between it and `above` nothing is known, and what stands at `above` was made later.
Result<CatalogueEntry> Timeline::at_time_in_catalogue(WallTime time, const CatalogueEntry& newest) {
  auto first = TRY(catalogue_row_from(Generation(1)));
  if (!first || first->time > time)
    return fail(Code::kNotFound, "there is no generation as old as {}: the first was made at {}", format_time(time),
                format_time(first ? first->time : newest.time));
  CatalogueEntry low = *first;
  Generation above = newest.generation;
  while (above - low.generation > 1) {
    const Generation middle(low.generation.value + (above - low.generation) / 2);
    const auto row = TRY(catalogue_row_from(middle));
    if (row && row->generation < above && row->time <= time) low = *row;
    else above = middle;
  }
  return low;
}

Result<> Timeline::visit_tag_events(Generation generation, const std::function<void(const Event&)>& each) {
  TRY(walk_down_to(generation));
  for (const Above& row : above_) {
    if (row.event.entry.generation < generation) break;
    if (!row.event.tags.empty()) each(row.event);
  }
  return {};
}

Result<> Timeline::scan_tags(const std::function<bool(const TagEntry&)>& each) {
  TRY(load_roots());
  return tree_scan(volume_->pages(), tags_, {}, [&](const PageEntry& entry) -> Result<bool> {
    return each(TRY(decode_tag(entry)));
  });
}

Result<std::vector<TagEntry>> Timeline::tags(std::size_t max) {
  std::map<std::string, std::optional<TagEntry>> decided;
  TRY(visit_tag_events(Generation(1), [&](const Event& event) {
    const bool given = event.entry.kind == CommitKind::tag;
    for (const Tag& tag : event.tags)
      decided.try_emplace(tag.name, given ? std::optional(TagEntry{tag.name, tag.generation, event.entry.time}) : std::nullopt);
  }));
  const std::size_t enough = decided.size() + max;
  TRY(scan_tags([&](const TagEntry& tag) {
    decided.try_emplace(tag.name, tag);
    return decided.size() < enough;
  }));
  std::vector<TagEntry> out;
  for (auto& [name, tag] : decided)
    if (tag && out.size() < max) out.push_back(std::move(*tag));
  return out;
}

Result<std::vector<TimelineRow>> Timeline::rows(Generation from, std::size_t n) {
  TRY(check_inside(from));
  std::vector<TimelineRow> out;
  const Generation last(from.value - std::min<std::uint64_t>(n, from.value) + 1);
  TRY(walk_down_to(std::max(last, checkpoint_.as_of.next())));
  for (; from >= last && from > checkpoint_.as_of; from = Generation(from.value - 1))
    out.push_back({known(from).event.entry, known(from).problem});
  if (from >= last && from > Generation(0)) TRY(catalogue_rows(from, from - last + 1, out));
  return out;
}

Result<> Timeline::catalogue_rows(Generation from, std::size_t n, std::vector<TimelineRow>& out) {
  const Generation last(from.value - n + 1);
  std::map<Generation, CatalogueEntry> found;
  auto scanned = load_roots();
  if (scanned) {
    scanned = tree_scan(volume_->pages(), catalogue_, catalogue_key(last), [&](const PageEntry& entry) -> Result<bool> {
      const CatalogueEntry row = TRY(decode_catalogue(entry));
      found.emplace(row.generation, row);
      return true;
    }, catalogue_key(from.next()));
  }
  if (!scanned && !is_damage(scanned.error())) return scanned;
  for (Generation at = from; at >= last && at > Generation(0); at = Generation(at.value - 1)) {
    TimelineRow row;
    row.entry.generation = at;
    if (auto it = found.find(at); it != found.end()) row.entry = it->second;
    else if (scanned) row.problem = "it was damaged when the checkpoint was made";
    else if (auto alone = catalogue_row(at); alone && *alone) row.entry = **alone;
    else row.problem = fmt::format("the catalogue: {}", alone ? "it was damaged when the checkpoint was made" : alone.error().message());
    out.push_back(std::move(row));
  }
  return {};
}

}  // namespace s3crate::volume
