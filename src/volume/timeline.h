// SPDX-License-Identifier: GPL-3.0-or-later
// Timeline: the generations and tags below a verified head, without a walk down the whole chain.
//
// What is answered is tied to the head by hashes: above its checkpoint from parent to parent, at and below it by the rows of the
// catalogue and of the tree of tags, whose roots the head names. So it costs, whatever the length of the history, at most the
// commits since the checkpoint (some 1,024, each once, many at a time) and a few pages.
//
// A time stands for the newest generation that was made at or before it, by the clocks of those who made them. A clock may have run
// backwards, and nothing about safety follows from any: what is promised then is a generation made at or before that time whose
// successor, if there is one, was made later. There may be several such; that of the catalogue is found by halving.
#pragma once

#include "volume/companions.h"
#include "volume/point.h"

namespace s3crate::volume {

// A generation that cannot be told about has a problem, and nothing else that counts.
struct TimelineRow {
  CatalogueEntry entry;
  std::string problem;
};

// Not thread-safe.
class Timeline {
 public:
  // `head` as load_head() answered. `volume` must outlive it. `at_once`: commits that are under way together, of kCommitBytesMax at
  // most each. Nothing is read yet.
  Timeline(Volume& volume, const Commit& head, std::size_t at_once = kGetTogetherMax);

  [[nodiscard]] const CommitRef& head() const { return head_; }
  // From now on below a newer head, which must stand on this one: else it stays as it is. kCorrupt: another history.
  [[nodiscard]] Result<> follow(const Commit& head);

  // Of all these: kNotFound if there is no such thing, in a sentence for users; kCorrupt if damage hides it.
  [[nodiscard]] Result<Hash> hash(Generation generation);
  [[nodiscard]] Result<CatalogueEntry> row(Generation generation);
  [[nodiscard]] Result<TagEntry> tag(std::string_view name);
  // nullopt: there is none. `untagged_in`, if given: where it was taken away, if that is above the checkpoint.
  [[nodiscard]] Result<std::optional<TagEntry>> find_tag(std::string_view name, Generation* untagged_in = nullptr);
  [[nodiscard]] Result<CatalogueEntry> find(const Point& point);
  // By name; no more than `max`.
  [[nodiscard]] Result<std::vector<TagEntry>> tags(std::size_t max);

  // The generations from `from` down, newest first, `n` of them or all. Damage is told and passed over.
  [[nodiscard]] Result<std::vector<TimelineRow>> rows(Generation from, std::size_t n);
  // What the commits from the head down to `generation`, or to the checkpoint, say about tags, newest first; as with rows().
  [[nodiscard]] Result<> visit_tag_events(Generation generation, const std::function<void(const Event&)>& each);
  // And what the checkpoint says; by name, until `each` answers false.
  [[nodiscard]] Result<> scan_tags(const std::function<bool(const TagEntry&)>& each);
  // What is above the checkpoint is newer than this.
  [[nodiscard]] Generation checkpoint_as_of() const { return checkpoint_.as_of; }

  // The store shows a commit, signed, which is not the one that its successor names.
  [[nodiscard]] bool contradicted() const { return contradicted_; }

 private:
  struct Above {
    Event event;
    std::string problem;  // if not empty, only the number is known
  };
  [[nodiscard]] Generation lowest_known() const { return above_.back().event.entry.generation; }
  [[nodiscard]] const Above& known(Generation g) const { return above_[head_.generation - g]; }
  [[nodiscard]] Result<> check_inside(Generation generation) const;
  // Until `stop` is known, or the checkpoint is reached.
  [[nodiscard]] Result<> walk_down_to(Generation stop);
  // Until `wanted` is known, and as far as what costs no more round trips.
  [[nodiscard]] Result<> walk_some_to(Generation wanted);
  [[nodiscard]] Result<> step_down();
  [[nodiscard]] Result<> refuse_gap(Generation above) const;
  [[nodiscard]] Result<> load_roots();
  [[nodiscard]] Result<std::optional<CatalogueEntry>> catalogue_row(Generation generation);
  [[nodiscard]] Result<std::optional<CatalogueEntry>> catalogue_row_from(Generation generation);
  [[nodiscard]] Result<CatalogueEntry> at_time(WallTime time);
  [[nodiscard]] Result<CatalogueEntry> at_time_in_catalogue(WallTime time, const CatalogueEntry& newest);
  [[nodiscard]] Result<> catalogue_rows(Generation from, std::size_t n, std::vector<TimelineRow>& out);

  Volume* volume_;
  std::size_t at_once_;
  CommitRef head_;
  CheckpointRef checkpoint_;
  std::vector<Above> above_;           // of the head and below, without a gap
  std::optional<Hash> next_hash_;      // of the one below them; nullopt: a gap lies between
  Generation gap_;                     // the newest that cannot be had; 0: none
  bool contradicted_ = false;
  bool roots_loaded_ = false;
  MaybeRoot catalogue_, tags_;
};

}  // namespace s3crate::volume
