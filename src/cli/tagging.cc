// SPDX-License-Identifier: GPL-3.0-or-later
#include "cli/tagging.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "volume/timeline.h"

namespace s3crate::cli {
namespace {

nlohmann::json number_or_null(const std::optional<Generation>& generation) {
  return generation ? nlohmann::json(generation->value) : nlohmann::json();
}

}  // namespace

void add_tagged(const Tagged& tagged, nlohmann::json& json) {
  json["generation"] = tagged.generation.value;
  json["previous_generation"] = number_or_null(tagged.previous);
  json["recorded_in"] = number_or_null(tagged.recorded_in);
}

Error tag_exists(const TagRequest& request, Generation generation) {
  return {Code::kExists, fmt::format("{}: the tag {} is there already and names generation {}: --force moves it", request.url, request.name,
                                     generation)};
}

Result<Tagged> give_tag(volume::Guest& guest, volume::Volume& volume, const volume::Commit& head, Generation generation,
                        const TagRequest& request) {
  Tagged out;
  out.generation = generation;
  if (const auto there = TRY(volume::Timeline(volume, head).find_tag(request.name))) out.previous = there->generation;
  if (out.previous == generation) return out;
  if (out.previous && !request.force) return fail(tag_exists(request, *out.previous));
  volume::CommitBody body;
  body.kind = volume::CommitKind::tag;
  body.tags = {{request.name, generation}};
  const auto recorded = TRY(guest.append(head, body, [&](const volume::Commit& winner) -> Result<> {
    const auto theirs = std::ranges::find(winner.body.tags, request.name, &volume::Tag::name);
    if (theirs == winner.body.tags.end()) return {};
    const bool given = winner.body.kind == volume::CommitKind::tag;
    if (given && !request.force) return fail(tag_exists(request, theirs->generation));
    out.previous = given ? std::optional(theirs->generation) : std::nullopt;
    return {};
  }));
  out.recorded_in = recorded.generation;
  return out;
}

}  // namespace s3crate::cli
