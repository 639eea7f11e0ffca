// SPDX-License-Identifier: GPL-3.0-or-later
// LongHistory: a volume with as many generations as wanted, made by the writer's chain alone: no
// disk, no data. All changes are holes of the first blocks, so the map of every checkpoint is empty,
// or the one that was given to stand_on(), and the volume mounts. Beside it stands what must be
// found: the blocks that each generation changed.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "segment/object_names.h"
#include "tests/support/open_chain.h"

namespace s3crate::test {

class LongHistory {
 public:
  static constexpr std::uint64_t kBlocks = 1024;

  // A writer on top of what `volume` shows. checkpoint_commits 0: none is made.
  LongHistory(Env env, volume::Volume& volume, std::uint64_t checkpoint_commits)
      : env_(env), volume_(volume), checkpoint_commits_(checkpoint_commits) {}

  Result<> open() {
    volume::Commit head = TRY(volume_.load_head());
    disk_bytes_ = head.body.disk_bytes;
    chain_ = TRY(open_chain(env_, volume_, head));
    return {};
  }
  // Until that generation is the newest one.
  Result<> grow_to(Generation newest) {
    while (chain_->head() < newest) {
      const bool due = checkpoint_commits_ > 0 && commits_ >= checkpoint_commits_;
      TRY(due ? checkpoint() : change());
    }
    return {};
  }
  Result<> change() {
    volume::CommitBody body;
    body.kind = volume::CommitKind::data;
    body.disk_bytes = disk_bytes_;
    const std::uint64_t block = block_of(chain_->head().next());
    body.runs = {{.block = BlockIndex(block), .count = 1, .hole = true, .first = 0, .extent = {}}};
    newest_ = TRY(chain_->append(std::move(body))).generation;
    commits_++;
    return {};
  }
  Result<> checkpoint() {
    if (catalogued_) TRY(note_history());
    volume::CommitBody body;
    body.kind = volume::CommitKind::checkpoint;
    body.disk_bytes = disk_bytes_;
    body.checkpoint.as_of = newest_;
    if (map_) body.roots.push_back(*map_);
    volume::put_companions(companions_, body);
    named_ = body.objects = std::exchange(made_, {});
    const Generation commit = TRY(chain_->append(std::move(body))).generation;
    for (volume::ObjectInfo& info : named_) info.born = commit;
    previous_ = {.commit = commit, .as_of = newest_};
    commits_ = 0;
    return {};
  }
  // The checkpoints that follow hold the catalogue and the tags, and are as large as those of a disk.
  void keep_catalogue() { catalogued_ = true; }
  // What all checkpoints hold from now on; `made`: the map objects that it took. Nothing of it is
  // in the blocks that change.
  void stand_on(const volume::MaybeRoot& map, volume::Companions companions,
                std::vector<volume::ObjectInfo> made) {
    map_ = map;
    companions_ = std::move(companions);
    made_ = std::move(made);
  }
  Result<> resize(std::uint64_t disk_bytes) {
    volume::CommitBody body;
    body.kind = volume::CommitKind::resize;
    body.disk_bytes = disk_bytes_ = disk_bytes;
    TRY(chain_->append(std::move(body)));
    return {};
  }
  // A party beside the writer names a generation. `more_bytes`: it claims that the disk is larger.
  Result<> guest(std::uint64_t more_bytes = 0) {
    volume::Commit head = TRY(volume_.load_head());
    volume::Commit tag;
    const auto keys = volume_.keys();
    tag.header = {.vid = volume_.vid(),
                  .generation = head.header.generation.next(),
                  .parent = head.hash,
                  .keys_generation = volume::keys_after(head),
                  .ring = keys->ring(),
                  .writer = keys->writer()};
    tag.body.kind = volume::CommitKind::tag;
    tag.body.epoch = head.body.epoch;
    tag.body.disk_bytes = head.body.disk_bytes + more_bytes;
    tag.body.committed = head.body.committed;
    tag.body.term = head.body.term;
    tag.body.checkpoint = head.body.checkpoint;
    tag.body.delta_base = volume::newest_change(head);
    tag.body.tags = {{fmt::format("t{}", tag.header.generation), head.header.generation}};
    const Bytes bytes =
        TRY(seal_commit(tag, keys->commit_sealing_key(), *keys->signer(), env_.random));
    return volume_.store().put(segment::commit_name(tag.header.generation), bytes);
  }
  Result<> close() {
    volume::CommitBody body;
    body.kind = volume::CommitKind::close;
    body.disk_bytes = disk_bytes_;
    TRY(chain_->append(std::move(body)));
    return {};
  }
  [[nodiscard]] volume::Chain& chain() { return *chain_; }
  [[nodiscard]] volume::Volume& volume() { return volume_; }
  [[nodiscard]] Generation newest_change() const { return newest_; }
  [[nodiscard]] volume::PageWriter page_writer(std::size_t page_bytes = volume::kPagePlainMax) {
    const auto keys = volume_.keys();
    return volume::PageWriter({.store = volume_.store(),
                               .random = env_.random,
                               .loader = volume_.pages(),
                               .vid = keys->vid(),
                               .ring = keys->ring(),
                               .page_key = keys->page_sealing_key(),
                               .new_id = [this] { return chain_->new_object_id(); },
                               .page_bytes = page_bytes});
  }
  [[nodiscard]] const volume::MaybeRoot& map() const { return map_; }
  [[nodiscard]] const volume::Companions& companions() const { return companions_; }

  // The block that a generation makes a hole, if it is one of data. Alone it tells nothing of
  // others, so a change that is missing from a view is noticed.
  static std::uint64_t block_of(Generation g) { return g.value * 7 % kBlocks; }

 private:
  // The generations since the checkpoint before.
  Result<> note_history() {
    volume::PageWriter writer = page_writer();
    const std::vector<volume::Event> seen = chain_->events(newest_);
    std::vector<volume::Event> events;
    for (Generation g = previous_.as_of.next(); g < seen.front().entry.generation; g = g.next())
      events.push_back(volume::event_of(TRY(volume_.load_commit(g))));
    events.insert(events.end(), seen.begin(), seen.end());
    std::vector<volume::TreeChange> carried;
    companions_ = TRY(volume::update_companions(
        volume_.pages(), writer, std::move(companions_),
        {.as_of = newest_, .previous = previous_, .objects = named_, .events = events}, carried));
    CHECK(carried.empty());
    std::ranges::move(TRY(writer.finish()), std::back_inserter(made_));
    chain_->forget_events(newest_);
    return {};
  }

  Env env_;
  volume::Volume& volume_;
  const std::uint64_t checkpoint_commits_;
  std::uint64_t disk_bytes_ = 0;
  std::unique_ptr<volume::Chain> chain_;
  Generation newest_;  // with changes
  std::uint64_t commits_ = 0;
  volume::MaybeRoot map_;
  volume::Companions companions_;
  std::vector<volume::ObjectInfo> made_, named_;  // by the next checkpoint; by the last one
  bool catalogued_ = false;
  volume::CheckpointRef previous_;
};

}  // namespace s3crate::test
