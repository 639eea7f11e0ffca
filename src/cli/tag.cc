// SPDX-License-Identifier: GPL-3.0-or-later
// tag, untag: names for points of the past, beside whoever has the volume mounted.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/guest_session.h"
#include "cli/tagging.h"
#include "volume/tag_name.h"
#include "volume/timeline.h"

namespace s3crate::cli {
namespace {

std::string text_of(const std::string& name, const Tagged& done) {
  if (!done.recorded_in) return fmt::format("{} is generation {} already", name, done.generation);
  if (!done.previous) return fmt::format("{} is generation {}", name, done.generation);
  return fmt::format("{} is generation {} now, {} before", name, done.generation, *done.previous);
}

}  // namespace

CommandResult run_tag(Context& context) {
  const Url url = TRY(url_argument(context.arguments, TakesPoint::yes));
  const WallTime now = context.env.clock.wall_now();
  const std::string name = context.arguments.positionals().at(1);
  TRY(volume::validate_tag_name(name, now));
  const auto point = TRY(point_of(url, now));
  const auto session = TRY(GuestSession::open(context, url, volume::CommitKind::tag));
  const volume::Commit& head = session->head();
  const Generation generation = point ? TRY(resolve_point(session->volume(), head, *point, url)).header.generation : head.header.generation;
  auto done = give_tag(session->guest(), session->volume(), head, generation,
                       {.url = url.text(), .name = name, .force = context.arguments.flag("force")});
  if (!done) return fail(session->reason(done.error()));
  context.out.print(text_of(name, *done));
  nlohmann::json json = {{"tag", name}};
  add_tagged(*done, json);
  context.out.print_json(json);
  return kDone;
}

CommandResult run_untag(Context& context) {
  const Url url = TRY(url_argument(context.arguments));
  const std::string name = context.arguments.positionals().at(1);
  if (!volume::is_tag_name(name)) return fail(Code::kBadArgument, "\"{}\" cannot be a tag", name);
  const auto session = TRY(GuestSession::open(context, url, volume::CommitKind::untag));
  auto there = TRY(volume::Timeline(session->volume(), session->head()).find_tag(name));
  const auto unknown = [&] {
    return fail(Code::kNotFound, "{}: there is no tag {}: `s3crate-blk history --tags {}` lists them", url.text(), name, url.text());
  };
  if (!there) return unknown();
  volume::CommitBody body;
  body.kind = volume::CommitKind::untag;
  body.tags = {{name, there->generation}};
  const auto recorded = session->guest().append(session->head(), body, [&](const volume::Commit& winner) -> Result<> {
    const auto theirs = std::ranges::find(winner.body.tags, name, &volume::Tag::name);
    if (theirs == winner.body.tags.end()) return {};
    if (winner.body.kind == volume::CommitKind::untag) return unknown();
    return fail(Code::kExists, "{}: somebody else has just moved the tag {} to generation {}: nothing was done", url.text(), name,
                theirs->generation);
  });
  if (!recorded) return fail(session->reason(recorded.error()));
  context.out.print(fmt::format("{} was generation {}", name, there->generation));
  context.out.print_json({{"tag", name}, {"generation", there->generation.value}, {"recorded_in", recorded->generation.value}});
  return kDone;
}

}  // namespace s3crate::cli
