// SPDX-License-Identifier: GPL-3.0-or-later
// fork: a volume of its own out of a generation of another one, beside whoever has that mounted.
#include "volume/fork.h"

#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/files.h"
#include "cli/fork.h"
#include "cli/guest_session.h"
#include "cli/keys.h"
#include "cli/process.h"

namespace s3crate::cli {

Result<Url> place_of_fork(Url url, const Url& origin) {
  if (!url.fingerprint.empty()) return fail(Code::kBadArgument, "{}: a new volume has no fingerprint yet", url.text());
  const auto place = [](const Url& of) { return of.kind == Url::Kind::directory ? canonical_path(of.directory) + "/" : of.text() + "/"; };
  const auto here = place(url), there = place(origin);
  if (url.kind == origin.kind && (here.starts_with(there) || there.starts_with(here)))
    return fail(Code::kBadArgument, "{}: a fork needs a place of its own, which is not in that of {} and does not hold it", url.text(), origin.text());
  return url;
}

CommandResult fork_into(Context& context, const Url& url, const Url& fork_url, const ViewOf& view_of) {
  const Arguments& arguments = context.arguments;
  const auto point = TRY(point_of(url, context.env.clock.wall_now()));
  const auto target = TRY(Stack::make(context.env, fork_url, arguments, Outage::kFail));
  const auto session = TRY(GuestSession::open(context, url, volume::CommitKind::pin));
  session->cancel_too(*target);
  volume::Volume& origin = session->volume();
  const volume::Commit commit = point ? TRY(resolve_point(origin, session->head(), *point, url)) : session->head();
  auto view = view_of(origin, commit, session->stopped());
  if (!view) return fail(session->reason(view.error()));
  target->store().attach_all_of(session->stack().store(), url.text());

  volume::ForkOptions options;
  options.origin_url = url.text();
  options.note = fork_url.text();
  options.host = host_name();
  options.single_writer = arguments.flag("single-writer");
  auto slots = TRY(fork_slots(arguments, fork_url.text()));
  const auto put_guest = [&](const volume::CommitBody& body) -> Result<> {
    TRY(session->guest().append(TRY(origin.load_head()), body, [](const volume::Commit&) -> Result<> { return {}; }));
    return {};
  };
  const auto done = volume::fork(context.env, origin, commit, *view, target->store(), options, slots, put_guest);
  for (auto& slot : slots) {
    if (slot.passphrase) crypto::wipe(*slot.passphrase);
  }
  if (!done) return fail(target->given_up().value_or(session->reason(done.error())));
  const auto fingerprint = volume::fingerprint(done->vid);
  context.out.print(fmt::format("{} is a fork of generation {} of {}: {}, fingerprint {}\nIt needs that volume, which has noted this: keep it.\n"
                                "next: s3crate-blk mount {} MOUNTPOINT", fork_url.text(), done->origin_generation, url.text(),
                                format_bytes(done->disk_bytes), fingerprint, fork_url.text()));
  context.out.print_json({{"url", fork_url.text()}, {"vid", to_hex(done->vid)}, {"fingerprint", fingerprint}, {"origin_url", url.text()},
                          {"origin_vid", to_hex(origin.vid())}, {"origin_generation", done->origin_generation.value},
                          {"disk_bytes", done->disk_bytes}, {"bytes_put", done->bytes_put}});
  return kDone;
}

CommandResult run_fork(Context& context) {
  const Url url = TRY(url_argument(context.arguments, TakesPoint::yes));
  const Url fork_url = TRY(place_of_fork(TRY(url_argument(context.arguments, TakesPoint::no, 1)), url));
  return fork_into(context, url, fork_url, [](volume::Volume& origin, const volume::Commit& point, const auto*) { return origin.load_view(point); });
}

}  // namespace s3crate::cli
