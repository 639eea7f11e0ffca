// SPDX-License-Identifier: GPL-3.0-or-later
// mount: plans and checks in front of the user, then unlocks and serves in the process that stays, since locked memory does
// not survive a fork.
#include "cli/mount.h"

#include <cstdio>

#include "cli/mount_session.h"
#include "cli/process.h"

namespace s3crate::cli {
namespace {

ExitStatus serve(Context& context, const MountPlan& plan, const Ready& ready) {
  MountSession session(context.env, context.arguments, plan);
  if (auto started = session.start(); !started) return report(started.error(), plan.json);
  if (plan.greets) context.out.print(session.greeting());
  ready();
  return session.run();
}

}  // namespace

CommandResult mount_in_background(Context& context, const MountPlan& plan) {
  return run_in_background([&](const Ready& ready) { return serve(context, plan, ready); });
}

CommandResult run_mount(Context& context) {
  const MountPlan plan = TRY(plan_mount(context.arguments, canonical_path(context.arguments.positionals().at(1))));
  if (context.arguments.flag("foreground")) return serve(context, plan, [] {});
  return mount_in_background(context, plan);
}

}  // namespace s3crate::cli
