// SPDX-License-Identifier: GPL-3.0-or-later
// rollback: a generation with the content and the size of an older one. The volume is opened as a mount would, and closed again.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/brief_writer.h"
#include "cli/command.h"
#include "cli/signals.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 64 << 20;
constexpr auto kCloseTime = std::chrono::seconds(30);

}  // namespace

CommandResult run_rollback(Context& context) {
  MountPlan plan;
  plan.url = TRY(url_argument(context.arguments, TakesPoint::yes));
  const std::string url = plan.url.text();
  const auto point = TRY(point_of(plan.url, context.env.clock.wall_now()));
  if (!point) return fail(Code::kBadArgument, "{}: which generation? Write {}@POINT: a generation, a tag, or a time", url, url);
  TRY(plan_writer(context.arguments, plan));
  auto stack = TRY(Stack::make(context.env, plan.url, context.arguments, Outage::kEnd));
  const auto volume = TRY(open_volume(context.env, *stack, plan.url, context.arguments, kPageCache));
  const auto head = TRY(volume->load_head());
  const auto commit = TRY(resolve_point(*volume, head, *point, plan.url));
  const auto past = TRY(volume->load_view(commit));

  const StopSignals stop(context.env.executor, [&] { stack->cancel(); });
  complete_for_command(plan, *stack);
  auto disk = device::Disk::open(context.env, io::uring_file_io(), *volume, plan.disk);
  if (!disk) return fail(stack->given_up().value_or(unmount_first(disk.error(), url)));
  const std::uint64_t bytes_before = (*disk)->size();
  const auto before = (*disk)->sync(stop.flag());
  // Nothing came after that point but the `open` of this command; nor had a journal anything.
  const bool same = before && commit.header.generation == head.header.generation && *before == head.header.generation.next();
  auto generation = !before || same ? before : (*disk)->roll_back(past, stop.flag());
  auto closed = (*disk)->close(stop.came() ? Duration::zero() : Duration(kCloseTime));
  if (auto given_up = stack->given_up()) return fail(std::move(*given_up));
  if (!generation) return fail(generation.error().within(url));
  if (!closed) return fail(closed.error().within(fmt::format("{} is as of generation {} now, but could not be closed", url, past.generation)));
  if (same)
    context.out.print(fmt::format("{} is as it was in generation {}, which is the newest: nothing was changed", url, past.generation));
  else
    context.out.print(fmt::format("{} is as it was in generation {}, and has {} (generation {})\nwhat it was before is generation {}", url,
                                  past.generation, format_bytes(past.disk_bytes), *generation, *before));
  context.out.print_json({{"generation", generation->value}, {"point", past.generation.value}, {"previous_generation", before->value},
                          {"disk_bytes", past.disk_bytes}, {"disk_bytes_before", bytes_before}});
  return kDone;
}

}  // namespace s3crate::cli
