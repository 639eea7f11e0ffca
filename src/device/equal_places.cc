// SPDX-License-Identifier: GPL-3.0-or-later
#include "device/equal_places.h"

#include <algorithm>
#include <cstring>

#include "volume/map_walk.h"

namespace s3crate::device {

using crypto::Fingerprint;
using volume::Run;

std::size_t EqualPlaces::Hash::operator()(const Fingerprint& fingerprint) const {
  std::size_t hash;
  std::memcpy(&hash, fingerprint.data(), sizeof hash);
  return hash;
}

EqualPlaces::EqualPlaces(Env env, volume::Volume& volume, ViewReader& now, std::size_t places_max)
    : volume_(volume), now_(now), places_max_(places_max) {
  if (volume.object().extent_bytes == volume::kFingerprintedBytes)
    fingerprints_ = volume::Fingerprints::make(env.executor, volume.store(), volume.keys(), now.view().companions.fingerprints,
                                               volume.keys()->reads_data() ? kPageCacheBytes : kBlindPageCacheBytes);
}

Result<std::optional<Run>> EqualPlaces::hint(const Fingerprint& fingerprint) {
  auto hint = TRY(fingerprints_->find(fingerprint));
  if (!hint || hint->count != blocks() || hint->first != 0) return std::nullopt;
  if (hint->extent.offset == 0) return std::nullopt;  // in no segment, and nothing that an import notes
  return hint;
}

Result<std::optional<Run>> EqualPlaces::find(const Fingerprint& fingerprint, ByteView content) {
  const auto hint = TRY(this->hint(fingerprint));
  const BlockIndex end(now_.size() / now_.block_size());
  if (!hint || hint->block >= end || end - hint->block < hint->count) return std::nullopt;
  std::vector<Run> runs;
  const auto add = [&](const Run& run) { runs.push_back(run); };
  Result<> found;
  now_.view().changes.tile(hint->block, hint->end(), add, [&](BlockIndex from, BlockIndex to) {
    if (found) found = volume::map_lookup(volume_.pages(), now_.view().map, from, to, add);
  });
  if (!found && volume::is_damage(found.error())) return std::nullopt;
  TRY(found);
  if (runs.size() != 1 || runs[0] != *hint) return std::nullopt;
  Bytes there(content.size());
  const auto read = TRY(now_.read(hint->block.value * now_.block_size(), there));
  if (!read.damaged.empty() || !equal(there, content)) return std::nullopt;
  return runs[0];
}

bool EqualPlaces::Mapped::is_damaged(BlockIndex from, BlockIndex to) const {
  return std::ranges::any_of(damaged, [&](const auto& range) { return range.first < to && from < range.second; });
}

bool EqualPlaces::Mapped::may_be_data(BlockIndex block) const {
  bool data = is_damaged(block, block.next());
  runs.visit(block, block.next(), [&](const Run&) { data = true; });
  return data;
}

Result<EqualPlaces::Mapped> EqualPlaces::mapped(BlockIndex from, BlockIndex to) {
  Mapped out;
  to = std::min(to, BlockIndex(now_.size() / now_.block_size()));
  if (from >= to) return out;
  const auto data = [&](const Run& run) {
    if (!run.hole) out.runs.put(run);
  };
  Result<> walked;
  now_.view().changes.tile(from, to, data, [&](BlockIndex a, BlockIndex b) {
    if (walked)
      walked = volume::map_walk(volume_.pages(), now_.view().map, a, b, data,
                                [&](BlockIndex bad, BlockIndex end, const Error&) { out.damaged.emplace_back(bad, end); });
  });
  TRY(walked);
  return out;
}

Result<bool> EqualPlaces::is_used(const Run& hint) {
  const Mapped there = TRY(mapped(hint.block, hint.end()));
  bool used = false;
  there.runs.visit(hint.block, hint.end(), [&](const Run& run) { used = used || run.extent == hint.extent; });
  return used;
}

const Run* EqualPlaces::noted(const Fingerprint& fingerprint) const {
  const auto at = places_.find(fingerprint);
  return at != places_.end() && at->second ? &*at->second : nullptr;
}

void EqualPlaces::note(const Fingerprint& fingerprint, const Run& run) {
  if (places_.size() >= places_max_ && !places_.contains(fingerprint)) return;
  places_.insert_or_assign(fingerprint, run);
  if (run.extent.offset == 0) open_.insert_or_assign(run.block.value, fingerprint);
}

void EqualPlaces::placed(std::span<const Run> runs) {
  for (const Run& run : runs) {
    const auto at = run.hole ? open_.end() : open_.find(run.block.value - run.first);
    if (at == open_.end()) continue;
    std::optional<Run>& noted = places_.at(at->second);
    if (noted && noted->extent.object == run.extent.object && noted->extent.number == run.extent.number) noted->extent.offset = run.extent.offset;
  }
  open_.clear();
}

void EqualPlaces::gone(const Fingerprint& fingerprint) {
  if (places_.size() < places_max_) places_.try_emplace(fingerprint, std::nullopt);
}

std::vector<volume::TreeChange> EqualPlaces::changes() const {
  std::vector<volume::TreeChange> out;
  for (const auto& [fingerprint, run] : places_) out.push_back(volume::Fingerprints::change_of(fingerprint, run));
  std::ranges::sort(out, {}, &volume::TreeChange::key);
  return out;
}

}  // namespace s3crate::device
