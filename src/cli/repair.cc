// SPDX-License-Identifier: GPL-3.0-or-later
// repair: a map that is damaged or gone is rebuilt, and it is said what cannot be.
#include "device/repair.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/time_text.h"
#include "cli/brief_writer.h"
#include "cli/command.h"
#include "cli/progress_line.h"
#include "cli/salvage.h"
#include "cli/signals.h"
#include "cli/stack.h"

namespace s3crate::cli {
namespace {

constexpr std::uint64_t kPageCache = 64 << 20;

Error in_words(const Error& error, const std::string& url) {
  if (mounted_at(error, url)) return unmount_first(error, url);
  if (error.message().starts_with(url)) return error;  // of what this machine has seen of the volume: it says itself what to do
  if (error.code() != Code::kCorrupt) return error.within(url);
  return Error(error.code(), fmt::format("{}: {}. What its segments tell, `s3crate-blk repair {} --into NEWURL` makes a new volume of; "
                                         "nothing is changed here by that", url, error.message(), url));
}

std::string text_of(const volume::GenerationRange& range) {
  return range.first == range.last ? fmt::format("generation {}", range.first)
                                   : fmt::format("generations {} to {}", range.first, range.last);
}

nlohmann::json json_of(const device::RepairReport& report) {
  const auto& rebuilt = report.rebuilt;
  auto lost = nlohmann::json::array(), unreadable = nlohmann::json::array();
  for (const auto& range : rebuilt.lost) lost.push_back({range.first.value, range.last.value});
  for (const auto& range : rebuilt.unreadable) unreadable.push_back({range.offset, range.length});
  nlohmann::json past = nullptr;
  if (rebuilt.past) past = {rebuilt.past->first.value, rebuilt.past->last.value};
  return {{"repaired", !rebuilt.sound},
          {"generation", rebuilt.sound ? report.head.value : report.generation.value},
          {"from_generation", rebuilt.from.as_of.value},
          {"commits_read", rebuilt.commits},
          {"runs", rebuilt.runs},
          {"damages", rebuilt.damages},
          {"lost_generations", lost},
          {"past_unreadable", past},
          {"unreadable", unreadable}};
}

void print(const Output& out, const std::string& url, const device::RepairReport& report) {
  const auto& rebuilt = report.rebuilt;
  for (const auto& damage : rebuilt.damages) out.print(fmt::format("damaged: {}", damage));
  if (rebuilt.sound) {
    out.print(fmt::format("the map of generation {} of {} is whole, and all that is kept beside it: there is nothing to repair\n"
                          "whether the data is there as well, check says (with --read-data)", report.head, url));
  } else {
    const auto from = rebuilt.from.as_of == Generation(0)
                          ? std::string("the empty disk")
                          : fmt::format("the map of generation {}, which is whole", rebuilt.from.as_of);
    out.print(fmt::format("generation {} of {} has a map again: {} commits read, {} pieces laid over {}", report.generation, url,
                          rebuilt.commits, rebuilt.runs, from));
  }
  if (rebuilt.past)
    out.print(fmt::format("not repaired: {}, of which parts of the map are lost: they cannot be read as a whole. s3crate-blk repair {}@POINT --into NEWURL "
                          "makes a new volume of one of them", text_of(*rebuilt.past), url));
  for (const auto& range : rebuilt.lost)
    out.print(fmt::format("not repaired: {}, of which the commits are lost: they cannot be read, and tags that were given there are gone "
                          "unless a checkpoint holds them", text_of(range)));
  if (!rebuilt.unreadable.empty())
    out.print("not repaired: these bytes of the disk, as nothing names the objects that hold them (offset and length):");
  for (const auto& range : rebuilt.unreadable) out.print(fmt::format("  {} {}", range.offset, range.length));
}

}  // namespace

CommandResult run_repair(Context& context) {
  const auto& arguments = context.arguments;
  if (arguments.has("into")) return run_salvage(context);
  for (const std::string_view name : {"through-gaps", "single-writer", "new-key-file", "new-passphrase-file"})
    if (arguments.has(name)) return fail(Code::kBadArgument, "--{} is for the new volume of --into NEWURL", name);
  MountPlan plan;
  plan.url = TRY(url_argument(arguments));
  const std::string url = plan.url.text();
  TRY(plan_writer(arguments, plan));
  auto stack = TRY(Stack::make(context.env, plan.url, arguments, Outage::kEnd));
  const auto volume = TRY(open_volume(context.env, *stack, plan.url, arguments, kPageCache));
  const StopSignals stop(context.env.executor, [&] { stack->cancel(); });
  complete_for_command(plan, *stack);
  ProgressLine line(context.env.clock, progress_style(arguments.text("progress")));
  device::RepairOptions how;
  how.rebuild.stop = stop.flag();
  how.rebuild.progress = [&](const volume::CheckProgress& p) {
    line.show({.phase = p.phase == "map" ? "pages of the map" : std::string(p.phase), .done = p.done, .total = p.total,
               .bytes = p.bytes, .in_bytes = false});
  };
  const auto report = device::repair(context.env, io::uring_file_io(), *volume, plan.disk, how);
  if (stop.came() && !report)
    return fail(Code::kCancelled, "{}: the repair was stopped: what was damaged is so still; the same command begins anew", url);
  if (!report) return fail(stack->given_up().value_or(in_words(report.error(), url)));
  print(context.out, url, *report);
  context.out.print_json(json_of(*report));
  return report->rebuilt.unreadable.empty() ? kDone : kDamaged;
}

}  // namespace s3crate::cli
