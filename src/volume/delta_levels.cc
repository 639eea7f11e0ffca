// SPDX-License-Identifier: GPL-3.0-or-later
#include "volume/delta_levels.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace s3crate::volume {
namespace {

// More than any takes: blocks, counts and places as long as they can be. Most take two thirds.
constexpr std::size_t kHoleBytes = 16;
constexpr std::size_t kRunBytes = 48;
constexpr std::size_t kObjectBytes = 192;

std::size_t bytes_of(const RunMap& runs, std::size_t objects) {
  // What is a hole is not looked at: the bound stays one.
  return runs.size() * kRunBytes + objects * kObjectBytes;
}

Generation block_start(Generation generation, int level) {
  return Generation(generation.value >> 4 * level << 4 * level);
}

}  // namespace

std::size_t encoded_max(std::span<const Run> runs, std::span<const ObjectInfo> objects) {
  std::size_t bytes = objects.size() * kObjectBytes;
  for (const Run& run : runs) bytes += run.hole ? kHoleBytes : kRunBytes;
  return bytes;
}

void DeltaLevels::Layer::add(std::span<const Run> more_runs,
                             std::span<const ObjectInfo> more_objects) {
  for (const Run& run : more_runs) runs.put(run);
  objects.insert(objects.end(), more_objects.begin(), more_objects.end());
  bytes = bytes_of(runs, objects.size());
}

DeltaLevels::DeltaLevels(const CommitRef& newest, std::vector<Generation> bases,
                         std::size_t bytes_max)
    : bytes_max_(bytes_max), chain_(std::move(bases)) {
  bases_.fill(newest);
  if (newest.generation == Generation(0)) known_ = kLevelMax;  // the empty disk
}

DeltaLevels::DeltaLevels(std::span<const BaseCommit> read, const CommitRef& below, Generation as_of,
                         std::size_t bytes_max)
    : bytes_max_(bytes_max), known_(kLevelMax) {
  bases_.fill(below);
  if (read.empty()) return;
  const CommitRef& newest = read.front().ref;
  bases_[0] = newest;
  // The first commit with changes of its block of 16^k generations is always among those that were
  // read, unless it is at or below the checkpoint: no level's base leads past it.
  for (int k = 1; k <= kLevelMax; ++k) {
    const Generation start = block_start(newest.generation, k);
    if (as_of >= start) break;
    for (const BaseCommit& commit : read)
      if (commit.ref.generation >= start) bases_[k] = commit.ref;
  }
  int k = kLevelMax;
  for (auto commit = read.rbegin(); commit != read.rend(); ++commit) {
    chain_.push_back(commit->ref.generation);
    while (bases_[k].generation < commit->ref.generation) --k;
    if (k >= known_) continue;
    layers_[k].add(commit->changes.runs, commit->changes.objects);
    keep_bounds();
  }
}

int DeltaLevels::level(Generation before, Generation generation) {
  CHECK(generation > before);
  return (static_cast<int>(std::bit_width(before.value ^ generation.value)) - 1) / 4;
}

std::optional<Changes> DeltaLevels::with_repeated(int level, const Changes& own) const {
  RunMap runs;
  Changes out;
  for (int k = level - 1; k >= 0; --k) {
    const Layer& layer = layers_[k];
    if (runs.empty())
      runs = layer.runs;
    else
      for (const Run& run : layer.runs.runs()) runs.put(run);
    out.objects.insert(out.objects.end(), layer.objects.begin(), layer.objects.end());
  }
  for (const Run& run : own.runs) runs.put(run);
  out.objects.insert(out.objects.end(), own.objects.begin(), own.objects.end());
  if (bytes_of(runs, out.objects.size()) > bytes_max_) return std::nullopt;
  out.runs = runs.runs();
  return out;
}

DeltaLevels::Plan DeltaLevels::plan(Generation generation, Changes own) const {
  for (int k = std::min(level(newest().generation, generation), known_); k > 0; --k) {
    const auto below = std::span(layers_).first(static_cast<std::size_t>(k));
    if (std::ranges::all_of(below, &Layer::empty)) continue;  // level 0 says the same
    if (auto changes = with_repeated(k, own)) return {bases_[k], std::move(*changes)};
  }
  return {newest(), std::move(own)};
}

void DeltaLevels::committed(const CommitRef& commit, const CommitRef& base,
                            std::span<const Run> runs, std::span<const ObjectInfo> objects) {
  const int own = level(newest().generation, commit.generation);
  const bool whole = own <= known_ && base == bases_[own];
  std::erase_if(chain_, [&](Generation g) { return g > base.generation; });
  chain_.push_back(commit.generation);
  for (int k = 0; k < own; ++k) layers_[k] = {};
  if (!whole) {
    forget_from(own);
    passed_over_ = commit.generation;
  } else if (own < known_) {
    layers_[own].add(runs, objects);
  }
  std::fill_n(bases_.begin(), own + 1, commit);
  keep_bounds();
}

void DeltaLevels::checkpoint(Generation as_of) {
  std::erase_if(chain_, [&](Generation g) { return g <= as_of; });
  const auto first =
      std::ranges::find_if(bases_, [&](const CommitRef& b) { return b.generation <= as_of; });
  if (first == bases_.end()) return;
  const auto k = static_cast<int>(first - bases_.begin());
  for (int j = k; j < kLevelMax; ++j) layers_[j] = {};
  std::fill(first, bases_.end(), CommitRef(*first));
  if (known_ >= k) known_ = kLevelMax;
}

void DeltaLevels::forget_from(int layer) {
  known_ = layer;
  for (int k = layer; k < kLevelMax; ++k) layers_[k] = {};
}

void DeltaLevels::keep_bounds() {
  for (int k = kLevelMax - 1; k >= 0 && bytes() > bytes_max_; --k)
    if (!layers_[k].empty()) forget_from(k);
}

std::size_t DeltaLevels::bytes() const {
  std::size_t bytes = 0;
  for (const Layer& layer : layers_) bytes += layer.bytes;
  return bytes;
}

void DeltaLevels::check_invariants() const {
  CHECK(bytes() <= bytes_max_);
  for (int k = 0; k < kLevelMax; ++k) {
    layers_[k].runs.check_invariants();
    CHECK(bases_[k].generation >= bases_[k + 1].generation);
    CHECK(layers_[k].empty() || (k < known_ && bases_[k].generation > bases_[k + 1].generation));
  }
  CHECK(std::ranges::is_sorted(chain_));
}

}  // namespace s3crate::volume
