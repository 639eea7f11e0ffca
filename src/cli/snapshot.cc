// SPDX-License-Identifier: GPL-3.0-or-later
// snapshot: a generation of a mounted disk as it is now, with a name; filesystems on it may be frozen meanwhile. What is said to
// the process behind the mount: mount_snapshot.cc.
#include "cli/attachment.h"
#include "cli/command.h"
#include "cli/freezer.h"
#include "cli/progress.h"
#include "volume/tag_name.h"

namespace s3crate::cli {
namespace {

// While they are frozen: nothing is printed, as the terminal's log may be on one of them.
Result<> cut_frozen(ControlConnection& connection, Freezer& freezer, Duration limit) {
  TRY(freezer.freeze());
  auto cut = connection.send({{"go", true}});
  if (cut) {
    auto answer = connection.receive(limit);
    if (!answer) cut = fail(answer.error());
    else if (*answer)
      if (auto good = checked(std::move(**answer)); !good) cut = fail(good.error());
    // Without an answer the time is over for the freeze as well, and thaw() says so.
  }
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
  if (auto cut = cut_frozen(*connection, freezer, limit); !cut) return fail(cut.error().within(fmt::format("{}: no snapshot", mountpoint)));
  TRY(connection->send({{"held", true}}));
  auto done = wait();
  if (!done) return fail(done.error().within(mountpoint));
  nlohmann::json& answer = **done;
  answer.erase("done");
  const auto generation = answer.value("generation", std::uint64_t{0});
  context.out.print(fmt::format("{} is generation {}", name, generation));
  context.out.print_json(answer);
  return kDone;
}

}  // namespace s3crate::cli
