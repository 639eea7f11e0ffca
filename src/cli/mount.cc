// SPDX-License-Identifier: GPL-3.0-or-later
// mount: plans and checks in front of the user, then unlocks and serves in the process that stays, since locked memory does
// not survive a fork.
#include <cstdio>

#include "cli/mount_session.h"
#include "cli/process.h"

namespace s3crate::cli {
namespace {

ExitStatus serve(Context& context, const MountPlan& plan, const Ready& ready) {
  MountSession session(context.env, context.arguments, plan);
  if (auto started = session.start(); !started) {
    std::fprintf(stderr, "s3crate-blk: %s\n", started.error().message().c_str());
    return exit_status(started.error().code());
  }
  context.out.print(session.greeting());
  ready();
  return session.run();
}

}  // namespace

CommandResult run_mount(Context& context) {
  const MountPlan plan = TRY(plan_mount(context.arguments));
  if (context.arguments.flag("foreground")) return serve(context, plan, [] {});
  return run_in_background([&](const Ready& ready) { return serve(context, plan, ready); });
}

}  // namespace s3crate::cli
