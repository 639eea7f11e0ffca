// SPDX-License-Identifier: GPL-3.0-or-later
// snapshot: a generation of a mounted disk as it is now, with a name; filesystems on it may be frozen meanwhile. What is said to
// the process behind the mount: mount_snapshot.cc.
#include "base/time_text.h"
#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/freezer.h"
#include "cli/progress.h"
#include "volume/tag_name.h"

namespace s3crate::cli {
namespace {

// The generation is held apart from what is written from now on.
Result<> is_cut(const nlohmann::json& said) {
  if (said.value("cut", nlohmann::json()) == true) return {};
  return fail(Code::kIo, "a word that makes no sense came over the control socket");
}

Result<> hear_cut(ControlConnection& connection, Duration limit) {
  auto said = TRY(connection.receive(limit));
  if (!said) return fail(Code::kTransient, "the disk was not ready within {}: --freeze-timeout gives it longer", format_duration(limit));
  return is_cut(TRY(checked(std::move(*said))));
}

// While they are frozen: nothing is printed, as the terminal's log may be on one of them. Who is not told of the cut in time cannot
// know that they were frozen when it came, however the thaw ends.
Result<> cut_frozen(ControlConnection& connection, Freezer& freezer, Duration limit) {
  TRY(freezer.freeze());
  Result<> cut = connection.send({{"go", true}});
  if (cut) cut = hear_cut(connection, limit);
  TRY(freezer.thaw());
  return cut;
}

}  // namespace

CommandResult run_snapshot(Context& context) {
  const auto& arguments = context.arguments;
  if (!arguments.has("tag")) return fail(Code::kBadArgument, "--tag is missing: the name that the snapshot gets");
  const auto name = arguments.text("tag");
  TRY(volume::validate_tag_name(name, context.env.clock.wall_now()));
  const auto [url, mountpoint, owner] = TRY(find_volume(canonical_path(arguments.positionals().at(0))));
  const auto limit = arguments.time("freeze-timeout");
  auto freezer = TRY(Freezer::make(arguments.texts("freeze"), mountpoint, limit));

  const auto socket = control_socket_path(mountpoint, owner);
  auto connection = connect_control(socket);
  if (!connection) return fail(Code::kIo, "the process behind {} does not answer: {}", mountpoint, connection.error().message());
  const auto style = progress_style(arguments.text("progress"));
  const auto wait = [&] { return wait_with_progress(context.env.clock, *connection, socket, style, std::nullopt); };
  TRY(connection->send({{"command", "snapshot"}, {"tag", name}, {"force", arguments.flag("force")}}));
  if (auto ready = wait(); !ready) return fail(ready.error().within(mountpoint));
  const auto cut = [&]() -> Result<> {
    if (!freezer.empty()) return cut_frozen(*connection, freezer, limit);
    TRY(connection->send({{"go", true}}));
    return is_cut(*TRY(wait()));
  }();
  if (!cut) return fail(cut.error().within(fmt::format("{}: no snapshot", mountpoint)));
  TRY(connection->send({{"held", true}}));
  auto done = wait();
  if (!done) return fail(done.error().within(mountpoint));
  nlohmann::json& answer = **done;
  if (answer.erase("done") == 0) return fail(Code::kIo, "{}: no snapshot: a word that makes no sense came over the control socket", mountpoint);
  const auto generation = answer.value("generation", std::uint64_t{0});
  context.out.print(fmt::format("{} is generation {}", name, generation));
  context.out.print_json(answer);
  return kDone;
}

}  // namespace s3crate::cli
