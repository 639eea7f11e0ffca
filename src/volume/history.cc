// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/history.h"

namespace s3crate::volume {
namespace {

bool is_damage(Code code) {
  return code == Code::kCorrupt || code == Code::kNotFound || code == Code::kUnsupported;
}

// A few round trips, as there are no more than some thousand commits above a checkpoint.
Result<> get_parents_ahead(Volume& volume, const Commit& head, Generation from,
                           Generation down_to) {
  std::vector<Generation> parents;
  for (Generation g = from; g > down_to && parents.size() < kGetTogetherMax;
       g = Generation(g.value - 1))
    parents.push_back(g);
  return volume.get_ahead_of_view(head, parents);
}

Result<Hash> hash_by_parents(Volume& volume, const Commit& head, Generation generation) {
  CommitRef next{Generation(head.header.generation.value - 1), head.header.parent};
  for (std::size_t n = 0; next.generation > generation; ++n) {
    if (n % kGetTogetherMax == 0) TRY(get_parents_ahead(volume, head, next.generation, generation));
    auto commit = volume.load_commit(next);
    if (is(commit, Code::kCorrupt)) {
      const auto other = volume.load_commit(next.generation);
      if (other && other->hash != next.hash) return Hash{};
    }
    next = {Generation(next.generation.value - 1), TRY(std::move(commit)).header.parent};
  }
  return next.hash;
}

Result<Hash> hash_by_catalogue(Volume& volume, const Commit& head, Generation generation) {
  const CheckpointRef& checkpoint = head.body.checkpoint;
  const bool own = checkpoint.commit == head.header.generation;
  const Commit stored = own ? head : TRY(volume.load_commit(checkpoint.commit));
  if (crypto::blake2b(encode_roots(stored.body.roots)) != checkpoint.roots_hash)
    return fail(Code::kCorrupt, "the checkpoint in commit {} is not the one that commit {} names",
                checkpoint.commit, head.header.generation);
  CatalogueEntry wanted;
  wanted.generation = generation;
  Bytes key = encode_catalogue(wanted).key;
  auto row = TRY(tree_find(volume.pages(), companions_of(stored.body).catalogue, key));
  if (!row) return fail(Code::kNotFound, "the catalogue has no generation {}", generation);
  return TRY(decode_catalogue({std::move(key), std::move(*row)})).hash;
}

}  // namespace

Result<Hash> hash_below(Volume& volume, const Commit& head, Generation generation) {
  return generation > head.body.checkpoint.as_of ? hash_by_parents(volume, head, generation)
                                                 : hash_by_catalogue(volume, head, generation);
}

Result<History> History::open(Volume& volume, std::optional<Generation> start) {
  History history(volume);
  history.commit_ = TRY(volume.load_head());
  history.at_ = history.commit_->header.generation;
  if (start && (*start == Generation(0) || *start > history.at_))
    return fail(Code::kNotFound, "there is no generation {}: the newest is {}", *start,
                history.at_);
  history.note_tags(history.commit_->body);
  while (start && history.at_ > *start) TRY(history.advance());
  return history;
}

// The youngest word about a name counts.
void History::note_tags(const CommitBody& body) {
  if (body.kind != CommitKind::tag && body.kind != CommitKind::untag) return;
  for (const Tag& tag : body.tags)
    if (decided_.insert(tag.name).second && body.kind == CommitKind::tag)
      tags_[tag.generation].insert(tag.name);
}

HistoryEntry History::entry() {
  HistoryEntry out;
  out.generation = at_;
  out.problem = problem_;
  if (auto tags = tags_.extract(at_)) out.tags.assign(tags.mapped().begin(), tags.mapped().end());
  if (!commit_) return out;
  const CommitBody& body = commit_->body;
  out.kind = body.kind;
  out.time = body.time;
  out.host = body.host;
  out.epoch = body.epoch;
  out.disk_bytes = body.disk_bytes;
  for (const ObjectInfo& info : body.objects) {
    if (info.born != at_) continue;
    out.objects_added++;
    out.bytes_added += info.length;
  }
  return out;
}

Result<> History::advance() {
  const std::optional<Hash> hash = commit_ ? std::optional(commit_->header.parent) : std::nullopt;
  at_ = Generation(at_.value - 1);
  commit_.reset();
  problem_.clear();
  if (at_ == Generation(0)) return {};
  auto loaded = hash ? volume_->load_commit(CommitRef{at_, *hash}) : volume_->load_commit(at_);
  if (loaded) {
    commit_ = std::move(*loaded);
    note_tags(commit_->body);
    return {};
  }
  if (!is_damage(loaded.error().code())) return fail(loaded.error());
  problem_ = loaded.error().message();
  return {};
}

Result<std::vector<HistoryEntry>> History::next(std::size_t n, std::optional<WallTime> since) {
  std::vector<HistoryEntry> out;
  while (out.size() < n && at_ > Generation(0)) {
    if (since && commit_ && commit_->body.time < *since) {
      at_ = Generation(0);
      break;
    }
    out.push_back(entry());
    TRY(advance());
  }
  return out;
}

}  // namespace s3crate::volume
