// SPDX-License-Identifier: GPL-3.0-or-later
// sync: until the store has what was acknowledged before.
#include "cli/command.h"
#include "cli/attachment.h"
#include "cli/progress.h"

namespace s3crate::cli {

CommandResult run_sync(Context& context) {
  const auto [url, mountpoint, owner] = TRY(find_volume(canonical_path(context.arguments.positionals().at(0))));
  const auto socket = control_socket_path(mountpoint, owner);
  auto connection = connect_control(socket);
  if (!connection) return fail(Code::kIo, "the process behind {} does not answer: {}", mountpoint, connection.error().message());
  TRY(connection->send({{"command", "sync"}}));
  const auto style = progress_style(context.arguments.text("progress"));
  auto answer = wait_with_progress(context.env.clock, *connection, socket, style, std::nullopt);
  if (!answer) return fail(answer.error().within(mountpoint));
  const auto generation = (**answer).value("generation", std::uint64_t{0});
  context.out.print(fmt::format("{}", generation));
  context.out.print_json({{"generation", generation}});
  return kDone;
}

}  // namespace s3crate::cli
